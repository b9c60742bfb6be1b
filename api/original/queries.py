"""What is read of the original, with what keeps a row from being copied (appendix A).

Each query yields rows that begin with two texts: why the row is left out, else null; and what is
remarkable about it, else null. Rows name others by what the clouds call them, not by ids: so a row
that was stored twice, under whatever ids, is one here. Content types are looked up by their names.
"""

from typing import Final

TABLES: Final = (
    "django_content_type",
    *(
        f"api_{name}"
        for name in (
            "user", "cloudaccount", "awscloudaccount", "azurecloudaccount", "instance",
            "awsinstance", "azureinstance", "instanceevent", "awsinstanceevent",
            "azureinstanceevent", "machineimage", "awsmachineimage", "awsmachineimagecopy",
            "azuremachineimage", "machineimageinspectionstart", "instancedefinition",
        )
    ),
)  # fmt: skip


def _type(alias: str) -> str:
    """Return the join with the content type of a row; null where it is another app's."""
    return f"""LEFT JOIN django_content_type {alias}_type
        ON {alias}_type.id = {alias}.content_type_id AND {alias}_type.app_label = 'api'"""


_OWNER = "coalesce(nullif(owner.uuid, ''), 'original-' || owner.id)"

_ACCOUNTS = f"""
account AS (
    SELECT found.*, CASE
        WHEN reason IS NULL AND 1 < row_number() OVER (
            PARTITION BY cloud_type, number, reason IS NULL ORDER BY id
        ) THEN true ELSE false END AS is_again
    FROM (
        SELECT account.*, {_OWNER} AS uuid, owner.account_number, owner.org_id,
               CASE WHEN account_type.model = 'awscloudaccount' THEN 'aws' ELSE 'azure' END
                   AS cloud_type,
               CASE WHEN account_type.model = 'awscloudaccount'
                    THEN lpad(trunc(aws.aws_account_id)::text, 12, '0')
                    ELSE azure.subscription_id::text END AS number,
               aws.account_arn,
               CASE
                   WHEN owner.id IS NULL THEN 'its user is missing'
                   WHEN account_type.model IS NULL OR account_type.model NOT IN
                       ('awscloudaccount', 'azurecloudaccount') THEN 'its content type is missing'
                   WHEN coalesce(aws.id, azure.id) IS NULL THEN 'the row of its cloud is missing'
                   WHEN aws.id IS NOT NULL AND (aws.account_arn IS NULL
                       OR aws.aws_account_id IS NULL
                       OR NOT aws.aws_account_id BETWEEN 1 AND 999999999999)
                       THEN 'no AWS account number or ARN'
                   WHEN azure.id IS NOT NULL AND azure.subscription_id IS NULL
                       THEN 'no subscription'
                   WHEN account.platform_authentication_id IS NULL
                       OR account.platform_application_id IS NULL
                       OR account.platform_source_id IS NULL THEN 'no ids of the sources service'
               END AS reason
        FROM api_cloudaccount account
        {_type("account")}
        LEFT JOIN api_user owner ON owner.id = account.user_id
        LEFT JOIN api_awscloudaccount aws
             ON account_type.model = 'awscloudaccount' AND aws.id = account.object_id
        LEFT JOIN api_azurecloudaccount azure
             ON account_type.model = 'azurecloudaccount' AND azure.id = account.object_id
    ) found
)"""  # noqa: S608 - made of constants

# Publisher and offer stand only in what the APIs show as the result of Azure's inspection.
_AZURE_PART = """coalesce(substring(image.inspection_json FROM '"{}": *"([^"]*)"'), '')"""

_IMAGES = f"""
image AS (
    SELECT image.*,
           CASE WHEN image_type.model = 'azuremachineimage' THEN 'azure' ELSE 'aws' END
               AS cloud_type,
           coalesce(aws.ec2_ami_id, azure.resource_id) AS key,
           CASE WHEN azure.id IS NULL THEN '' ELSE {_AZURE_PART.format("publisher")} END
               AS publisher,
           CASE WHEN azure.id IS NULL THEN '' ELSE {_AZURE_PART.format("offer")} END AS offer,
           coalesce(aws.region, azure.region) AS region, aws.platform, aws.product_codes,
           aws.platform_details, aws.usage_operation,
           CASE WHEN aws.owner_aws_account_id BETWEEN 1 AND 999999999999
                THEN lpad(trunc(aws.owner_aws_account_id)::text, 12, '0') END AS owner,
           coalesce(aws.aws_marketplace_image, azure.azure_marketplace_image, false) AS marketplace,
           reference.ec2_ami_id AS reference,
           CASE
               WHEN image_type.model IS NULL OR image_type.model NOT IN
                   ('awsmachineimage', 'awsmachineimagecopy', 'azuremachineimage')
                   THEN 'its content type is missing'
               WHEN coalesce(aws.id, azure.id) IS NULL THEN 'the row of its cloud is missing'
               WHEN coalesce(aws.ec2_ami_id, azure.resource_id, '') = '' THEN 'no id of the cloud'
           END AS reason
    FROM api_machineimage image
    {_type("image")}
    LEFT JOIN api_awsmachineimage aws
         ON image_type.model IN ('awsmachineimage', 'awsmachineimagecopy')
        AND aws.id = image.object_id
    LEFT JOIN api_azuremachineimage azure
         ON image_type.model = 'azuremachineimage' AND azure.id = image.object_id
    LEFT JOIN api_awsmachineimagecopy copied ON copied.awsmachineimage_ptr_id = aws.id
    LEFT JOIN api_awsmachineimage reference ON reference.id = copied.reference_awsmachineimage_id
)"""  # noqa: S608 - made of constants

_INSTANCES = f"""
{_ACCOUNTS},
instance AS (
    SELECT found.*, CASE
        WHEN reason IS NULL AND 1 < row_number() OVER (
            PARTITION BY cloud_type, lower(key), reason IS NULL ORDER BY id
        ) THEN true ELSE false END AS is_again
    FROM (
        SELECT instance.*, account.cloud_type, account.number, account.uuid,
               account.account_number, account.org_id,
               coalesce(aws.ec2_instance_id, azure.resource_id) AS key,
               coalesce(aws.region, azure.region, '') AS region,
               CASE
                   WHEN account.id IS NULL THEN 'its account is missing'
                   WHEN account.reason IS NOT NULL THEN 'its account is left out'
                   WHEN instance_type.model IS NULL OR instance_type.model NOT IN
                       ('awsinstance', 'azureinstance') THEN 'its content type is missing'
                   WHEN coalesce(aws.id, azure.id) IS NULL THEN 'the row of its cloud is missing'
                   WHEN account.cloud_type || 'instance' <> instance_type.model
                       THEN 'its account is of another cloud'
                   WHEN coalesce(aws.ec2_instance_id, azure.resource_id, '') = ''
                       THEN 'no id of the cloud'
               END AS reason
        FROM api_instance instance
        {_type("instance")}
        LEFT JOIN account ON account.id = instance.cloud_account_id
        LEFT JOIN api_awsinstance aws
             ON instance_type.model = 'awsinstance' AND aws.id = instance.object_id
        LEFT JOIN api_azureinstance azure
             ON instance_type.model = 'azureinstance' AND azure.id = instance.object_id
    ) found
)"""  # noqa: S608 - made of constants

_AGAIN = "'stored twice'"

USERS: Final = f"""
SELECT NULL, CASE WHEN date_joined IS NULL THEN 'no date of joining: today' END,
       id, {_OWNER}, nullif(account_number, ''), nullif(org_id, ''), coalesce(is_active, true),
       coalesce(is_permanent, false), coalesce(date_joined::timestamptz, now())
FROM api_user owner ORDER BY id
"""  # noqa: S608 - made of constants

DEFINITIONS: Final = """
SELECT CASE WHEN coalesce(cloud_type NOT IN ('aws', 'azure'), true) OR instance_type IS NULL
            THEN 'no cloud or type' END, NULL,
       id, cloud_type, instance_type, coalesce(memory_mib, 0), coalesce(vcpu, 0),
       coalesce(json_definition::text, '{}'), created_at::timestamptz, updated_at::timestamptz
FROM api_instancedefinition ORDER BY id
"""

ACCOUNTS: Final = f"""
WITH {_ACCOUNTS}
SELECT coalesce(reason, CASE WHEN is_again THEN {_AGAIN}
           WHEN 1 < row_number() OVER (
               PARTITION BY platform_authentication_id, platform_application_id,
                            reason IS NULL AND NOT is_again ORDER BY id
           ) THEN 'another account has the same ids of the sources service' END),
       CASE WHEN is_enabled AND enabled_at IS NULL
            THEN 'enabled at no time: when it was created' END,
       id, uuid, account_number, org_id, cloud_type, number, account_arn,
       coalesce(is_enabled, false),
       CASE WHEN is_enabled THEN coalesce(enabled_at, created_at, now())
            ELSE enabled_at END::timestamptz,
       coalesce(is_synthetic, false), platform_authentication_id, platform_application_id,
       platform_source_id, coalesce(platform_application_is_paused, false),
       coalesce(created_at, now())::timestamptz, coalesce(updated_at, now())::timestamptz
FROM account ORDER BY id
"""  # noqa: S608 - made of constants

# An image of Azure is one for each customer who uses it (decision 25); it keeps its id if that is
# one customer.
IMAGES: Final = f"""
WITH {_INSTANCES}, {_IMAGES},
used AS (
    SELECT machine_image_id, uuid, min(account_number) AS account_number, min(org_id) AS org_id,
           row_number() OVER (PARTITION BY machine_image_id ORDER BY uuid) AS place
    FROM instance
    WHERE reason IS NULL AND cloud_type = 'azure' GROUP BY machine_image_id, uuid
)
SELECT coalesce(image.reason, CASE
           WHEN image.cloud_type = 'azure' AND used.uuid IS NULL THEN 'no machine has it' END),
       CASE WHEN image.status IN ('preparing', 'inspecting')
            THEN 'its inspection was in progress: pending' END,
       CASE WHEN coalesce(used.place, 1) = 1 THEN image.id END, used.uuid, used.account_number,
       used.org_id, image.cloud_type, image.key, image.publisher, image.offer, image.name,
       image.architecture, image.status, coalesce(image.is_encrypted, false), image.region,
       image.owner, image.platform, image.marketplace, image.product_codes::text,
       image.platform_details, image.usage_operation, image.reference,
       coalesce(image.rhel_detected_by_tag, false), coalesce(image.openshift_detected, false),
       image.inspection_json, coalesce(image.created_at, now())::timestamptz,
       coalesce(image.updated_at, now())::timestamptz
FROM image
LEFT JOIN used ON used.machine_image_id = image.id AND image.cloud_type = 'azure'
ORDER BY image.reference IS NOT NULL, image.id, used.place
"""  # noqa: S608 - made of constants

INSTANCES: Final = f"""
WITH {_INSTANCES}, {_IMAGES}
SELECT coalesce(instance.reason, CASE WHEN instance.is_again THEN {_AGAIN} END),
       CASE WHEN instance.machine_image_id IS NOT NULL AND (image.id IS NULL
                 OR image.reason IS NOT NULL OR image.cloud_type <> instance.cloud_type)
            THEN 'its image is missing' END,
       instance.id, instance.cloud_type, instance.number, instance.key, instance.region,
       CASE WHEN image.cloud_type = instance.cloud_type AND image.reason IS NULL
            THEN image.key END, coalesce(image.publisher, ''), coalesce(image.offer, ''),
       coalesce(instance.created_at, now())::timestamptz,
       coalesce(instance.updated_at, now())::timestamptz
FROM instance LEFT JOIN image ON image.id = instance.machine_image_id
ORDER BY instance.id
"""  # noqa: S608 - made of constants

# A tag stood on the image, whoever had set it; here it stands there for all who use the image, so
# that nobody's numbers change, until AWS tells better.
TAGS: Final = f"""
WITH {_INSTANCES}, {_IMAGES}
SELECT NULL, NULL, instance.number, image.key, bool_or(coalesce(image.rhel_detected_by_tag, false)),
       bool_or(coalesce(image.openshift_detected, false))
FROM instance JOIN image ON image.id = instance.machine_image_id
WHERE instance.reason IS NULL AND image.reason IS NULL
  AND instance.cloud_type = 'aws' AND image.cloud_type = 'aws'
  AND (image.rhel_detected_by_tag OR image.openshift_detected)
GROUP BY instance.number, image.key
ORDER BY image.key, instance.number
"""  # noqa: S608 - made of constants

ATTEMPTS: Final = f"""
WITH {_IMAGES}
SELECT CASE WHEN image.id IS NULL THEN 'its image is missing'
            WHEN image.reason IS NOT NULL THEN 'its image is left out'
            WHEN image.cloud_type <> 'aws' THEN 'its image is not inspected' END, NULL,
       attempt.id, image.key, attempt.created_at::timestamptz, attempt.updated_at::timestamptz
FROM api_machineimageinspectionstart attempt
LEFT JOIN image ON image.id = attempt.machineimage_id
ORDER BY attempt.id
"""  # noqa: S608 - made of constants

# Events of one instant count in the order of their ids. One that says what the one before it said
# changes nothing, and is left out; a third, that undoes a second, is not.
EVENTS: Final = f"""
WITH {_INSTANCES},
event AS (
    SELECT event.id, event.event_type, event.occurred_at::timestamptz, event.created_at,
           instance.cloud_type, instance.key, coalesce(aws.id, azure.id) IS NULL AS is_bare,
           coalesce(aws.instance_type, azure.instance_type) AS instance_type, aws.subnet,
           CASE
               WHEN instance.id IS NULL THEN 'its instance is missing'
               WHEN instance.reason IS NOT NULL THEN 'its instance is left out'
               WHEN event.event_type IS NULL OR event.event_type NOT IN
                   ('power_on', 'power_off', 'attribute_change') THEN 'an unknown type of event'
               WHEN event.occurred_at IS NULL THEN 'no time'
           END AS reason
    FROM api_instanceevent event
    {_type("event")}
    LEFT JOIN instance ON instance.id = event.instance_id
    LEFT JOIN api_awsinstanceevent aws
         ON event_type.model = 'awsinstanceevent' AND aws.id = event.object_id
    LEFT JOIN api_azureinstanceevent azure
         ON event_type.model = 'azureinstanceevent' AND azure.id = event.object_id
)
SELECT coalesce(reason, CASE
           WHEN event_type = lag(event_type) OVER instant AND (instance_type IS NULL
               OR instance_type = lag(instance_type) OVER instant) THEN {_AGAIN} END),
       CASE WHEN is_bare THEN 'the row of its cloud is missing: no instance type' END,
       id, cloud_type, lower(key), event_type, occurred_at,
       CASE WHEN length(instance_type) <= 64 THEN instance_type END, left(subnet, 256),
       coalesce(created_at, occurred_at, now())::timestamptz
FROM event
WINDOW instant AS (
    PARTITION BY cloud_type, lower(key), occurred_at, event_type = 'attribute_change',
                 reason IS NULL
    ORDER BY id
)
ORDER BY cloud_type, lower(key), id
"""  # noqa: S608 - made of constants
