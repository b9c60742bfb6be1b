"""Turn the tags that AMIs have into tags of accounts (README decision 34).

Nobody wrote down who had put a tag on an image. So each account that uses the image keeps it, and
so does the account that owns it if it is one of ours: no count changes by the upgrade. Each of
these accounts is asked for its own tags when it is described next, within hours; what it has not
put there itself goes then, and the image is inspected if nothing else is known of it.
"""

from django.db import migrations

ACCOUNTS = """
INSERT INTO api_imagetags
    (cloud_account_id, machine_image_id, rhel, openshift)
SELECT account.id, image.id, image.rhel_detected_by_tag, image.openshift_detected
FROM api_machineimage image
CROSS JOIN LATERAL (
    SELECT cloud_account_id AS id FROM api_instance WHERE machine_image_id = image.id
    UNION
    SELECT cloud_account_id FROM api_run WHERE machine_image_id = image.id
    UNION
    SELECT id FROM api_cloudaccount
    WHERE cloud_type = 'aws' AND aws_account_id = image.owner_aws_account_id
) account
WHERE image.cloud_type = 'aws' AND (image.rhel_detected_by_tag OR image.openshift_detected)
ON CONFLICT DO NOTHING
"""

# From now on history tells of customers' tags apart from what is said of the image itself.
HISTORY = """
INSERT INTO api_imagefact
    (machine_image_id, user_id, valid_from, is_rhel, architecture, role, sla, usage, service_type,
     rhel_version, reason, ref, evidence)
SELECT image.id, teller.user_id, now(), teller.is_rhel, image.architecture, image.role, image.sla,
       image.usage, image.service_type, image.rhel_version, 'tag', '',
       '{"rule": "kept for all who used it, when tags became those of customers"}'
FROM api_machineimage image
CROSS JOIN LATERAL (
    SELECT NULL::bigint AS user_id,
           image.rhel_detected_by_license OR image.is_cloud_access
           OR image.rhel_enabled_repos_found OR image.rhel_product_certs_found
           OR image.rhel_release_files_found OR image.rhel_signed_packages_found AS is_rhel
    UNION
    SELECT account.user_id, true
    FROM api_imagetags tags JOIN api_cloudaccount account ON account.id = tags.cloud_account_id
    WHERE tags.machine_image_id = image.id AND tags.rhel
) teller
WHERE image.cloud_type = 'aws' AND image.rhel_detected_by_tag
"""


class Migration(migrations.Migration):
    dependencies = [("api", "0008_image_tags")]

    operations = [
        migrations.RunSQL(ACCOUNTS, migrations.RunSQL.noop),
        migrations.RunSQL(HISTORY, migrations.RunSQL.noop),
    ]
