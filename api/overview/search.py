"""What an id belongs to (spec 12 §1.1, §3): an operator has an id and wants the page about it."""

import re
from typing import NamedTuple

from django.db import connection

LONGEST = 2048
"""Characters of the longest id that a cloud gives, an ARN or a resource's path."""

MOST_HITS = 20

_NUMBER = re.compile(r"[0-9]{1,18}")

# Each part is one look into an index.
_HITS = """
(SELECT 'customer', id, id, 'org id or account number' FROM api_user
 WHERE org_id = %(text)s OR account_number = %(text)s LIMIT %(limit)s)
UNION ALL
(SELECT 'account', id, user_id, 'cloud account' FROM api_cloudaccount
 WHERE aws_account_id = %(text)s OR account_arn = %(text)s
    OR subscription_id = %(uuid)s::uuid LIMIT %(limit)s)
UNION ALL
(SELECT 'instance', id, NULL, 'instance' FROM api_instance
 WHERE lower(cloud_instance_id) = lower(%(text)s) LIMIT %(limit)s)
UNION ALL
(SELECT 'image', id, NULL, 'image' FROM api_machineimage
 WHERE cloud_type = 'aws' AND cloud_image_id = %(text)s LIMIT %(limit)s)
UNION ALL
(SELECT 'event', id, instance_id, 'event of CloudTrail' FROM api_instanceevent
 WHERE origin = 'cloudtrail' AND source_id = %(text)s AND %(text)s <> '' LIMIT %(limit)s)
UNION ALL
(SELECT 'event', id, instance_id, 'event' FROM api_instanceevent
 WHERE id = %(number)s LIMIT %(limit)s)
"""

_UUID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")


class Hit(NamedTuple):
    """Something that has the id: ``kind`` and row id, and the row that its page is about.

    ``owner_id`` is the customer of a customer or account, the instance of an event.
    """

    kind: str
    id: int
    owner_id: int | None
    what: str


def search(text: str) -> list[Hit]:
    """Return what has this id, at most 20 of a kind; one statement. Blanks around it are cut."""
    text = text.strip()
    if not text or len(text) > LONGEST or "\0" in text:
        return []
    parameters = {
        "text": text,
        "uuid": text if _UUID.fullmatch(text) else None,
        "number": int(text) if text.isascii() and _NUMBER.fullmatch(text) else None,
        "limit": MOST_HITS,
    }
    with connection.cursor() as cursor:
        cursor.execute(_HITS, parameters)
        return [Hit(*row) for row in cursor.fetchall()]
