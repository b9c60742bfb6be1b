"""Writing what was read of the original: each function stores a batch and returns how many are new.

Whatever is stored already stays as it is, so that a copy may be repeated. Parents are found by what
clouds call them. Ids are kept where nothing else has them; sequences go on behind them.
"""

import json
from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple

from django.db import connection, transaction

from api.images.changes import create_images
from api.models import CloudType, ImageFact, MachineImage

Rows = Sequence[Sequence[Any]]

SOURCE = "original"
"""How the events' ``source_name`` says where they come from."""

OUTCOME = "imported"

_FREE_ID = """CASE WHEN new.id IS NULL OR EXISTS (SELECT FROM {table} WHERE id = new.id)
    THEN nextval(pg_get_serial_sequence('{table}', 'id')) ELSE new.id END"""

# A customer is known by any of three names.
_USER = """LATERAL (
    SELECT id FROM (
        SELECT id, 1 AS place FROM api_user WHERE uuid = new.uuid
        UNION ALL SELECT id, 2 FROM api_user WHERE org_id = new.org_id
        UNION ALL SELECT id, 3 FROM api_user WHERE account_number = new.account_number
    ) known ORDER BY place LIMIT 1
)"""

_ACCOUNT = """LATERAL (
    SELECT id, user_id FROM api_cloudaccount
    WHERE new.cloud_type = 'aws' AND aws_account_id = new.number
    UNION ALL
    SELECT id, user_id FROM api_cloudaccount
    WHERE subscription_id = CASE WHEN new.cloud_type = 'azure' THEN new.number::uuid END
) account ON true"""

_USERS = f"""
INSERT INTO api_user (id, password, is_superuser, uuid, account_number, org_id, is_active,
                      is_permanent, date_joined)
SELECT {_FREE_ID.format(table="api_user")}, '!', false, uuid, account_number, org_id, is_active,
       is_permanent, date_joined
FROM unnest(%s::bigint[], %s::text[], %s::text[], %s::text[], %s::boolean[], %s::boolean[],
            %s::timestamptz[])
     AS new (id, uuid, account_number, org_id, is_active, is_permanent, date_joined)
WHERE NOT EXISTS (SELECT FROM {_USER} known)
ON CONFLICT DO NOTHING
"""  # noqa: S608 - made of constants
_LOCKS = """
INSERT INTO api_usertasklock (user_id, locked, created_at, updated_at)
SELECT id, false, now(), now() FROM api_user
WHERE NOT EXISTS (SELECT FROM api_usertasklock WHERE user_id = api_user.id)
ON CONFLICT DO NOTHING
"""

_DEFINITIONS = f"""
INSERT INTO api_instancedefinition (id, cloud_type, instance_type, memory_mib, vcpu,
                                    json_definition, created_at, updated_at)
SELECT {_FREE_ID.format(table="api_instancedefinition")}, cloud_type, instance_type, memory_mib,
       vcpu, json_definition, created_at, updated_at
FROM unnest(%s::bigint[], %s::text[], %s::text[], %s::bigint[], %s::numeric[], %s::jsonb[],
            %s::timestamptz[], %s::timestamptz[])
     AS new (id, cloud_type, instance_type, memory_mib, vcpu, json_definition, created_at,
             updated_at)
WHERE NOT EXISTS (SELECT FROM api_instancedefinition known
                  WHERE known.cloud_type = new.cloud_type
                    AND known.instance_type = new.instance_type)
ON CONFLICT DO NOTHING
"""  # noqa: S608 - made of constants

_ACCOUNTS = f"""
INSERT INTO api_cloudaccount (
    id, user_id, cloud_type, aws_account_id, account_arn, subscription_id, is_enabled, enabled_at,
    is_synthetic, platform_authentication_id, platform_application_id, platform_source_id,
    platform_application_is_paused, created_at, updated_at)
SELECT {_FREE_ID.format(table="api_cloudaccount")}, owner.id, new.cloud_type,
       CASE WHEN new.cloud_type = 'aws' THEN new.number END, new.account_arn,
       CASE WHEN new.cloud_type = 'azure' THEN new.number::uuid END, new.is_enabled,
       new.enabled_at, new.is_synthetic, new.authentication, new.application, new.source,
       new.is_paused, new.created_at, new.updated_at
FROM unnest(%s::bigint[], %s::text[], %s::text[], %s::text[], %s::text[], %s::text[], %s::text[],
            %s::boolean[], %s::timestamptz[], %s::boolean[], %s::bigint[], %s::bigint[],
            %s::bigint[], %s::boolean[], %s::timestamptz[], %s::timestamptz[])
     AS new (id, uuid, account_number, org_id, cloud_type, number, account_arn, is_enabled,
             enabled_at, is_synthetic, authentication, application, source, is_paused, created_at,
             updated_at)
JOIN {_USER} owner ON true
LEFT JOIN {_ACCOUNT}
WHERE account.id IS NULL
ON CONFLICT DO NOTHING
"""  # noqa: S608 - made of constants

# The log of accounts begins with the copy (09 P9).
_STATES = """
INSERT INTO api_accountstate (account_id, cloud_type, cloud_account_number, user_id, at, from_state,
                              to_state, code, cause, topic)
SELECT account.id, account.cloud_type,
       coalesce(account.aws_account_id, account.subscription_id::text), account.user_id, state.at,
       '', state.name, '', 'operator', ''
FROM api_cloudaccount account
CROSS JOIN LATERAL (VALUES
    (1, 'created', account.created_at),
    (2, CASE WHEN account.is_enabled THEN 'enabled' END, account.enabled_at),
    (3, CASE WHEN account.platform_application_is_paused THEN 'paused' END, account.updated_at)
) state (place, name, at)
WHERE state.name IS NOT NULL AND state.at IS NOT NULL
  AND NOT EXISTS (SELECT FROM api_accountstate known WHERE known.account_id = account.id)
ORDER BY state.at, account.id, state.place
"""

_IMAGE_TIMES = """
WITH told AS (
    SELECT * FROM unnest(%s::bigint[], %s::timestamptz[], %s::timestamptz[])
        AS told (id, created_at, updated_at)
), dated AS (
    UPDATE api_machineimage image SET created_at = told.created_at, updated_at = told.updated_at
    FROM told WHERE image.id = told.id
)
UPDATE api_imagefact fact SET valid_from = told.updated_at
FROM told WHERE fact.machine_image_id = told.id
"""

# Images come before their copies.
_REFERENCES = """
UPDATE api_machineimage image SET reference_image_id = reference.id
FROM unnest(%s::text[], %s::text[]) AS told (image, reference)
JOIN api_machineimage reference ON reference.cloud_image_id = told.reference
WHERE reference.cloud_type = 'aws' AND image.cloud_type = 'aws'
  AND image.cloud_image_id = told.image AND image.reference_image_id IS NULL
"""

_INSTANCES = f"""
INSERT INTO api_instance (id, cloud_account_id, machine_image_id, cloud_type, cloud_instance_id,
                          region, created_at, updated_at)
SELECT {_FREE_ID.format(table="api_instance")}, account.id, image.id, new.cloud_type, new.key,
       new.region, new.created_at, new.updated_at
FROM unnest(%s::bigint[], %s::text[], %s::text[], %s::text[], %s::text[], %s::text[], %s::text[],
            %s::text[], %s::timestamptz[], %s::timestamptz[])
     AS new (id, cloud_type, number, key, region, image, publisher, offer, created_at, updated_at)
JOIN {_ACCOUNT}
LEFT JOIN LATERAL (
    SELECT id FROM api_machineimage known
    WHERE new.cloud_type = 'aws' AND known.cloud_type = 'aws' AND known.cloud_image_id = new.image
    UNION ALL
    SELECT id FROM api_machineimage known
    WHERE new.cloud_type = 'azure' AND known.cloud_type = 'azure'
      AND known.user_id = account.user_id AND known.publisher = new.publisher
      AND known.offer = new.offer AND known.cloud_image_id = new.image
) image ON true
WHERE NOT EXISTS (SELECT FROM api_instance known WHERE known.cloud_type = new.cloud_type
                  AND lower(known.cloud_instance_id) = lower(new.key))
ON CONFLICT DO NOTHING
"""  # noqa: S608 - made of constants

_TAGS = """
INSERT INTO api_imagetags (cloud_account_id, machine_image_id, rhel, openshift)
SELECT account.id, image.id, new.rhel, new.openshift
FROM unnest(%s::text[], %s::text[], %s::boolean[], %s::boolean[])
     AS new (number, image, rhel, openshift)
JOIN api_cloudaccount account ON account.aws_account_id = new.number
JOIN api_machineimage image ON image.cloud_type = 'aws' AND image.cloud_image_id = new.image
ON CONFLICT DO NOTHING
"""

_ATTEMPTS = f"""
INSERT INTO api_inspectionattempt (
    id, machine_image_id, arn, region, copied_ami_id, customer_snapshot_id, snapshot_copy_id,
    inspector_instance_id, counts, outcome, error, finished_at, producer_name, producer_version,
    created_at, updated_at)
SELECT {_FREE_ID.format(table="api_inspectionattempt")}, image.id, '', '', '', '', '', '', true,
       '{OUTCOME}', '', new.updated_at, '', '', new.created_at, new.updated_at
FROM unnest(%s::bigint[], %s::text[], %s::timestamptz[], %s::timestamptz[])
     AS new (id, image, created_at, updated_at)
JOIN api_machineimage image ON image.cloud_type = 'aws' AND image.cloud_image_id = new.image
WHERE NOT EXISTS (SELECT FROM api_inspectionattempt known
                  WHERE known.machine_image_id = image.id AND known.created_at = new.created_at)
"""  # noqa: S608 - made of constants

# They count as stored now, so that the hourly pass looks at them whatever becomes of the copy.
_EVENTS = f"""
INSERT INTO api_instanceevent (
    id, instance_id, cloud_account_id, event_type, occurred_at, instance_type, subnet, origin,
    source_id, source_name, created_at, updated_at)
SELECT {_FREE_ID.format(table="api_instanceevent")}, instance.id, instance.cloud_account_id,
       new.event_type, new.occurred_at, new.instance_type, new.subnet, 'operator',
       '{SOURCE}:' || new.id, '{SOURCE}', new.created_at, greatest(now(), new.created_at)
FROM unnest(%s::bigint[], %s::text[], %s::text[], %s::text[], %s::timestamptz[], %s::text[],
            %s::text[], %s::timestamptz[]) WITH ORDINALITY
     AS new (id, cloud_type, key, event_type, occurred_at, instance_type, subnet, created_at, place)
JOIN api_instance instance ON instance.cloud_type = new.cloud_type
     AND lower(instance.cloud_instance_id) = new.key
WHERE NOT EXISTS (SELECT FROM api_instanceevent known
                  WHERE known.instance_id = instance.id AND known.occurred_at = new.occurred_at
                    AND known.event_type = new.event_type
                    AND known.source_id = '{SOURCE}:' || new.id)
ORDER BY new.place
ON CONFLICT DO NOTHING
"""  # noqa: S608 - made of constants

_RESERVE = """
SELECT setval(pg_get_serial_sequence(%(table)s, 'id'), greatest(%(last)s, (
    SELECT last_value FROM pg_sequences
    WHERE format('%%I.%%I', schemaname, sequencename) = pg_get_serial_sequence(%(table)s, 'id')
)))
"""


def _insert(statement: str, rows: Rows) -> int:
    """Run a statement that takes an array for each column; return how many rows it wrote."""
    columns = [list(column) for column in zip(*rows, strict=True)]
    with connection.cursor() as cursor:
        cursor.execute(statement, columns)
        return cursor.rowcount


def reserve_ids(table: str, last: int) -> None:
    """Let the sequence of a table go on behind an id that is about to be stored."""
    with connection.cursor() as cursor:
        cursor.execute(_RESERVE, {"table": table, "last": last})


def store_users(rows: Rows) -> int:
    """Store customers with their locks; nobody can log in as one."""
    with transaction.atomic():
        count = _insert(_USERS, rows)
        with connection.cursor() as cursor:
            cursor.execute(_LOCKS)
    return count


def store_definitions(rows: Rows) -> int:
    """Store sizes of instance types."""
    return _insert(_DEFINITIONS, rows)


def store_accounts(rows: Rows) -> int:
    """Store cloud accounts with the beginning of their logs."""
    with transaction.atomic():
        count = _insert(_ACCOUNTS, rows)
        with connection.cursor() as cursor:
            cursor.execute(_STATES)
    return count


def store_instances(rows: Rows) -> int:
    """Store instances of accounts that are stored."""
    return _insert(_INSTANCES, rows)


def store_tags(rows: Rows) -> int:
    """Store which AMIs are tagged in which accounts."""
    return _insert(_TAGS, rows)


def store_attempts(rows: Rows) -> int:
    """Store attempts to inspect AMIs, all of them ended."""
    return _insert(_ATTEMPTS, rows)


def store_events(rows: Rows) -> int:
    """Store events of instances that are stored."""
    return _insert(_EVENTS, rows)


class ImageColumns(NamedTuple):
    """What is read of an image."""

    id: int | None
    uuid: str | None
    account_number: str | None
    org_id: str | None
    cloud_type: str
    key: str
    publisher: str
    offer: str
    name: str | None
    architecture: str | None
    status: str | None
    is_encrypted: bool
    region: str | None
    owner: str | None
    platform: str | None
    marketplace: bool
    product_codes: str | None
    platform_details: str | None
    usage_operation: str | None
    reference: str | None
    rhel_detected_by_tag: bool
    openshift_detected: bool
    inspection_json: str | None
    created_at: datetime
    updated_at: datetime


_USERS_OF_IMAGES = f"""
SELECT new.place, owner.id
FROM unnest(%s::bigint[], %s::text[], %s::text[], %s::text[])
     AS new (place, uuid, account_number, org_id)
JOIN {_USER} owner ON true
"""  # noqa: S608 - made of constants


@transaction.atomic
def store_images(rows: Rows) -> int:
    """Store images with their inspection results, and what follows from these."""
    told = list(map(ImageColumns._make, rows))
    users = _users_of(told)
    taken = set(
        MachineImage.objects.filter(id__in=[one.id for one in told if one.id]).values_list(
            "id", flat=True
        )
    )
    images, times = [], {}
    for place, one in enumerate(told):
        image = _image(one, users.get(place))
        image.id = None if one.id in taken else one.id
        images.append(image)
        times[_name(image)] = (one.created_at, one.updated_at)
    reason = ImageFact.Reason(ImageFact.Reason.OPERATOR)
    created = create_images(images=images, reason=reason, ref=SOURCE)
    if created:
        _insert(_IMAGE_TIMES, [(image.id, *times[_name(image)]) for image in created])
    if copies := [(one.key, one.reference) for one in told if one.reference]:
        _insert(_REFERENCES, copies)
    return len(created)


def _name(image: MachineImage) -> tuple[Any, ...]:
    return image.cloud_type, image.user_id, image.publisher, image.offer, image.cloud_image_id


def _users_of(images: Sequence[ImageColumns]) -> dict[int, int]:
    """Return the customers of Azure's images, by the places of these."""
    wanted = [
        (place, one.uuid, one.account_number, one.org_id)
        for place, one in enumerate(images)
        if one.cloud_type == CloudType.AZURE
    ]
    if not wanted:
        return {}
    with connection.cursor() as cursor:
        cursor.execute(_USERS_OF_IMAGES, [list(column) for column in zip(*wanted, strict=True)])
        return dict(cursor.fetchall())


def _image(told: ImageColumns, user_id: int | None) -> MachineImage:
    finished = set(MachineImage.Status.values) - {
        *(MachineImage.Status.PREPARING, MachineImage.Status.INSPECTING)
    }
    status = told.status if told.status in finished else None
    return MachineImage(
        cloud_type=told.cloud_type,
        cloud_image_id=told.key,
        user_id=user_id,
        publisher=told.publisher,
        offer=told.offer,
        name=told.name,
        architecture=told.architecture,
        status=status or MachineImage.Status.PENDING,
        is_encrypted=told.is_encrypted,
        region=told.region,
        owner_aws_account_id=told.owner,
        platform=told.platform if told.platform in MachineImage.Platform.values else None,
        marketplace=told.marketplace,
        product_codes=None if told.product_codes is None else json.loads(told.product_codes),
        platform_details=told.platform_details,
        usage_operation=told.usage_operation,
        rhel_detected_by_tag=told.rhel_detected_by_tag,
        openshift_detected=told.openshift_detected,
        inspection_json=told.inspection_json,
    )
