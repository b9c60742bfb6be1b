"""What was stored without AWS's answer, and is to be asked for again (decision 47)."""

from collections import defaultdict
from collections.abc import Iterable
from datetime import timedelta

from django.db import connection

from api.clouds.aws.selectors import UNDESCRIBED, metered_accounts
from api.models import Instance
from util import postgres

INSTANCES_WITHIN = timedelta(days=2)
"""EC2 forgets what was terminated after about an hour, so older instances are not asked for."""

AT_ONCE = 2000
"""Most instances, and most images, that are asked for at once of one account."""

# Images whose tags may have changed without a log that tells so: ``api.images.tags.distrust_tags``
# forgets their descriptions.
_TAGS_UNREAD = """
account.tags_unread_until IS NOT NULL AND NOT EXISTS (
    SELECT FROM api_imagetags tags
    WHERE tags.cloud_account_id = account.id AND tags.machine_image_id = image.id
      AND tags.described_at IS NOT NULL
)
"""

# In any order: where there are more than are asked for at once, all have their turn.
_IMAGES = f"""
SELECT region, ami_id
FROM (
    SELECT DISTINCT instance.region, image.cloud_image_id AS ami_id
    FROM api_instance instance
    JOIN api_machineimage image ON image.id = instance.machine_image_id
    JOIN api_cloudaccount account ON account.id = instance.cloud_account_id
    WHERE instance.cloud_account_id = %s
      AND image.cloud_type = 'aws' AND ({UNDESCRIBED} OR {_TAGS_UNREAD})
    UNION
    SELECT image.region, image.cloud_image_id
    FROM api_imagetags known
    JOIN api_cloudaccount account ON account.id = known.cloud_account_id
    JOIN api_machineimage image ON image.id = known.machine_image_id
    WHERE known.cloud_account_id = %s AND image.region IS NOT NULL AND {_TAGS_UNREAD}
) AS missing
ORDER BY random()
LIMIT %s
"""  # noqa: S608 - made of constants

_ACCOUNTS = f"""
SELECT instance.cloud_account_id
FROM api_machineimage image
JOIN api_instance instance ON instance.machine_image_id = image.id
WHERE image.cloud_type = 'aws' AND {UNDESCRIBED}
UNION
SELECT cloud_account_id
FROM api_instance
WHERE cloud_type = 'aws' AND machine_image_id IS NULL AND created_at > %s
UNION
SELECT account.id
FROM api_cloudaccount account
WHERE account.tags_unread_until IS NOT NULL AND (
    EXISTS (
        SELECT FROM api_instance instance
        JOIN api_machineimage image ON image.id = instance.machine_image_id
        WHERE instance.cloud_account_id = account.id AND {_TAGS_UNREAD}
    ) OR EXISTS (
        SELECT FROM api_imagetags known
        JOIN api_machineimage image ON image.id = known.machine_image_id
        WHERE known.cloud_account_id = account.id AND image.region IS NOT NULL AND {_TAGS_UNREAD}
    )
)
"""  # noqa: S608 - made of constants


def missing_images(account_id: int) -> dict[str, set[str]]:
    """Return the AMIs that are to be described to an account, by region.

    Those of its instances that AWS did not describe to us, and those whose tags were not described
    since its logs left out a change of tags.
    """
    with connection.cursor() as cursor:
        cursor.execute(_IMAGES, [account_id, account_id, AT_ONCE])
        return _by_region(cursor.fetchall())


def missing_instances(account_id: int) -> dict[str, set[str]]:
    """Return an account's recent instances that AWS did not describe to us, by region."""
    rows = Instance.objects.filter(
        cloud_account_id=account_id,
        machine_image=None,
        created_at__gt=postgres.now() - INSTANCES_WITHIN,
    )
    newest_first = rows.order_by("-created_at", "-id")
    return _by_region(newest_first.values_list("region", "cloud_instance_id")[:AT_ONCE])


def accounts_with_gaps() -> list[int]:
    """Return the metered accounts of which something is missing."""
    with connection.cursor() as cursor:
        cursor.execute(_ACCOUNTS, [postgres.now() - INSTANCES_WITHIN])
        account_ids = [account_id for (account_id,) in cursor.fetchall()]
    metered = metered_accounts().filter(id__in=account_ids)
    return list(metered.order_by("id").values_list("id", flat=True))


def _by_region(rows: Iterable[tuple[str, str]]) -> dict[str, set[str]]:
    found: dict[str, set[str]] = defaultdict(set)
    for region, name in rows:
        found[region].add(name)
    return dict(found)
