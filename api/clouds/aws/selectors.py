"""What we know already of accounts, instances and images that logs mention: a few plain reads."""

from collections.abc import Iterable
from datetime import datetime
from typing import NamedTuple

from django.db import connection
from django.db.models import QuerySet

from api.clouds.load import StoredInstance
from api.models import CloudAccount, CloudType

# The oldest event with a type is found by walking an index from its start, mostly one step.
_INSTANCES = """
SELECT instance.cloud_instance_id, instance.id, instance.cloud_account_id, instance.region,
       instance.machine_image_id, image.cloud_image_id, typed.occurred_at
FROM api_instance instance
LEFT JOIN api_machineimage image ON image.id = instance.machine_image_id
LEFT JOIN LATERAL (
    SELECT occurred_at FROM api_instanceevent
    WHERE instance_id = instance.id AND instance_type IS NOT NULL
    ORDER BY occurred_at LIMIT 1
) typed ON true
WHERE instance.cloud_type = 'aws' AND lower(instance.cloud_instance_id) = ANY(%s)
"""

UNDESCRIBED = """
(image.status = 'unavailable'
 OR image.status IN ('pending', 'error') AND image.owner_aws_account_id IS NULL
    AND image.reference_image_id IS NULL)
"""
"""Condition of AMIs that AWS did not show to us; one that is inspected again all the same is."""

_IMAGES = f"""
SELECT image.cloud_image_id, image.id, image.status, {UNDESCRIBED},
       image.status IN ('inspected', 'error') AND image.inspection_json IS NULL
           AND (image.status = 'error' OR image.rhel_detected_by_tag
                OR image.marketplace
                   AND image.product_codes @> '[{{"ProductCodeType": "marketplace"}}]' IS NOT TRUE),
       ARRAY(SELECT account.id
             FROM api_imagetags tags JOIN api_cloudaccount account ON account.id = cloud_account_id
             WHERE machine_image_id = image.id AND cloud_account_id = ANY(%s)
               AND described_at >= enabled_at)
FROM api_machineimage image
WHERE image.cloud_type = 'aws' AND image.cloud_image_id = ANY(%s)
"""  # noqa: S608 - made of constants


class Account(NamedTuple):
    """A stored AWS account, as far as ingest cares."""

    id: int
    user_id: int
    aws_account_id: str
    arn: str
    is_enabled: bool
    is_paused: bool
    enabled_at: datetime | None
    created_at: datetime


_ACCOUNT_COLUMNS = (
    "id",
    "user_id",
    "aws_account_id",
    "account_arn",
    "is_enabled",
    "platform_application_is_paused",
    "enabled_at",
    "created_at",
)


class KnownInstance(NamedTuple):
    """A stored instance, its image, and since when we know a type of it."""

    stored: StoredInstance
    ami_id: str | None
    typed_since: datetime | None


class KnownImage(NamedTuple):
    """A stored image.

    ``is_undescribed`` tells of one that AWS did not show to us, ``is_settled`` of one that nobody
    looked into, though one customer's tags or account may be all that settled it. ``described_to``
    are those of our accounts that AWS was asked about it for since they were enabled: each sees
    tags of its own only, and logs tell of what changed since.
    """

    id: int
    status: str
    is_undescribed: bool = False
    is_settled: bool = False
    described_to: frozenset[int] = frozenset()


def load_accounts(aws_account_ids: Iterable[str]) -> dict[str, Account]:
    """Return the stored accounts, in whatever state, among these."""
    wanted = set(aws_account_ids)
    if not wanted:
        return {}
    rows = CloudAccount.objects.filter(cloud_type=CloudType.AWS, aws_account_id__in=wanted)
    return {row[2]: Account(*row) for row in rows.values_list(*_ACCOUNT_COLUMNS)}


def real_accounts() -> QuerySet[CloudAccount]:
    """Select the AWS accounts that may have logs: in whatever state, but not made up."""
    return CloudAccount.objects.filter(cloud_type=CloudType.AWS, is_synthetic=False)


def metered_accounts() -> QuerySet[CloudAccount]:
    """Select the AWS accounts that are described: enabled, not paused, not made up."""
    return real_accounts().filter(is_enabled=True, platform_application_is_paused=False)


def load_metered(account_id: int) -> Account | None:
    """Return an AWS account if it is one that is described."""
    row = metered_accounts().filter(id=account_id).values_list(*_ACCOUNT_COLUMNS).first()
    return Account(*row) if row else None


def load_instances(instance_ids: Iterable[str]) -> dict[str, KnownInstance]:
    """Return the stored instances among these."""
    wanted = sorted({one.lower() for one in instance_ids})
    if not wanted:
        return {}
    with connection.cursor() as cursor:
        cursor.execute(_INSTANCES, [wanted])
        return {
            row[0].lower(): KnownInstance(StoredInstance(*row[1:5]), *row[5:])
            for row in cursor.fetchall()
        }


def load_images(ami_ids: Iterable[str], account_ids: Iterable[int] = ()) -> dict[str, KnownImage]:
    """Return the stored AMIs among these, and to which of some accounts they were described."""
    wanted = sorted(set(ami_ids))
    if not wanted:
        return {}
    with connection.cursor() as cursor:
        cursor.execute(_IMAGES, [sorted(set(account_ids)), wanted])
        return {
            row[0]: KnownImage(row[1], row[2], row[3], row[4], frozenset(row[5]))
            for row in cursor.fetchall()
        }
