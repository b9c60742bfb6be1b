"""Erase what an account's instances left with us, in few statements (spec 03 §9.2)."""

from django.db import connection

from api.images.tags import forget_tags
from api.images.users import inspect_after_all
from api.metering.staleness import mark_accounts_stale
from api.models import Cause, CloudAccount

_IMAGES = """
SELECT machine_image_id FROM api_instance
WHERE cloud_account_id = %(account_id)s AND machine_image_id IS NOT NULL
UNION
SELECT machine_image_id FROM api_run
WHERE cloud_account_id = %(account_id)s AND machine_image_id IS NOT NULL
"""

_INSTANCE_FACTS = """
DELETE FROM api_instancefact fact USING api_instance instance
WHERE fact.instance_id = instance.id AND instance.cloud_account_id = %(account_id)s
"""

# What refers to another table comes before that one.
_TABLES_OF_ACCOUNT = (
    "api_instanceevent",
    "api_run",
    "api_correction",
    "api_describerun",
    "api_instance",
)

# An image counts as used, too, by a run of an instance that has another image by now.
_UNUSED = """
image.id = ANY(%(image_ids)s)
AND NOT EXISTS (SELECT FROM api_instance WHERE machine_image_id = image.id)
AND NOT EXISTS (SELECT FROM api_run WHERE machine_image_id = image.id)
"""

# Whoever is about to use one of these images waits for us, and then finds it gone; or has been
# quicker, and the image is seen to be used when it is looked at again below.
_STILL_UNUSED = f"SELECT image.id FROM api_machineimage image WHERE {_UNUSED}"  # noqa: S608
_LOCK_UNUSED = f"{_STILL_UNUSED} ORDER BY image.id FOR UPDATE"

_REFERENCES_TO_IMAGES = (
    "DELETE FROM api_imagefact WHERE machine_image_id = ANY(%(image_ids)s)",
    "DELETE FROM api_imagetags WHERE machine_image_id = ANY(%(image_ids)s)",
    "DELETE FROM api_inspectionattempt WHERE machine_image_id = ANY(%(image_ids)s)",
    "DELETE FROM api_syntheticdatarequest_machine_images"
    " WHERE machineimage_id = ANY(%(image_ids)s)",
    "UPDATE api_machineimage SET reference_image_id = NULL"
    " WHERE reference_image_id = ANY(%(image_ids)s)",
    "DELETE FROM api_machineimage WHERE id = ANY(%(image_ids)s)",
)


def erase_instances(account: CloudAccount) -> None:
    """Delete an account's instances with all they have, and the images that nobody else uses.

    The days on which they were on are withdrawn for the account's user. What the account's tags
    said of images is forgotten too. To be called in a transaction that holds the account's lock.
    """
    mark_accounts_stale(account_ids=[account.id], cause=Cause.ACCOUNT_DELETED)
    untagged = forget_tags(account_id=account.id)
    parameters = {"account_id": account.id}
    with connection.cursor() as cursor:
        cursor.execute(_IMAGES, parameters)
        image_ids = [row[0] for row in cursor.fetchall()]
        cursor.execute(_INSTANCE_FACTS, parameters)
        for table in _TABLES_OF_ACCOUNT:
            cursor.execute(
                f"DELETE FROM {table} WHERE cloud_account_id = %(account_id)s",  # noqa: S608
                parameters,
            )
    inspect_after_all(untagged)
    _erase_unused_images(image_ids)


def _erase_unused_images(image_ids: list[int]) -> None:
    with connection.cursor() as cursor:
        for statement in (_LOCK_UNUSED, _STILL_UNUSED):
            cursor.execute(statement, {"image_ids": image_ids})
            image_ids = [row[0] for row in cursor.fetchall()]
        for statement in _REFERENCES_TO_IMAGES if image_ids else ():
            cursor.execute(statement, {"image_ids": image_ids})
