"""What tells our queues of new objects (spec 04 §8.2; fault 28). Pure.

S3 itself, S3 through EventBridge, and CloudTrail's own notices, each of them with an envelope of
SNS around it or without.
"""

import enum
import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, NamedTuple
from urllib.parse import unquote_plus

TEST_EVENT = "s3:TestEvent"
VALIDATION = "CloudTrail validation message."
"""What CloudTrail sends, in place of JSON, to find out whether it may."""

CREATED = ("aws.s3", "Object Created")
"""Source and type of the one event of EventBridge that tells of a new object."""

MAX_BUCKET = 255
MAX_ETAG = 255
"""Characters that S3's names and ETags stay below."""
MAX_SIZE = 2**63
"""Bytes that our tables can tell; S3's objects stay far below."""


class Form(enum.StrEnum):
    """The forms that AWS documents, and that of a message which only tries out the way."""

    S3 = "s3"
    EVENTBRIDGE = "eventbridge"
    CLOUDTRAIL = "cloudtrail"
    TEST = "test"


class UnreadableBodyError(ValueError):
    """The message is none of those that we know."""


class UnknownFormError(UnreadableBodyError):
    """The message is a JSON object, but of none of the forms that we know."""


class NotifiedObject(NamedTuple):
    """A new object; what was not said of it is None or empty."""

    bucket: str
    key: str
    etag: str = ""
    size: int | None = None
    announced_at: datetime | None = None

    def __str__(self) -> str:
        return f"{self.bucket}/{self.key}"


class Notification(NamedTuple):
    """What a message says: which objects are new, in their order."""

    form: Form
    objects: list[NotifiedObject]


def parse_notification(body: str) -> Notification:
    """Read a message's body.

    Raises ``UnknownFormError`` for a JSON object of a form that we do not know, and
    ``UnreadableBodyError`` for anything else that AWS would not write.
    """
    if body == VALIDATION:
        return Notification(Form.TEST, [])
    document = _document(body)
    if document.get("Type") == "Notification" and "Records" not in document:
        if document.get("Message") == VALIDATION:
            return Notification(Form.TEST, [])
        document = _document(document.get("Message"))
    return _read(document)


def _read(document: Mapping[str, Any]) -> Notification:
    if "Records" in document:
        return Notification(Form.S3, [_of_s3(one) for one in _list(document["Records"])])
    if document.get("Event") == TEST_EVENT:
        return Notification(Form.TEST, [])
    if (document.get("source"), document.get("detail-type")) == CREATED:
        return Notification(Form.EVENTBRIDGE, [_of_eventbridge(document)])
    if "s3Bucket" in document and "s3ObjectKey" in document:
        bucket, keys = document["s3Bucket"], _list(document["s3ObjectKey"])
        return Notification(Form.CLOUDTRAIL, [_notified_object(bucket, key) for key in keys])
    raise UnknownFormError(f"members {', '.join(sorted(document))[:200]}")


def _document(text: Any) -> Mapping[str, Any]:
    try:
        document = json.loads(text)
    except (TypeError, ValueError, RecursionError) as error:
        raise UnreadableBodyError("not JSON") from error
    if not isinstance(document, Mapping):
        raise UnreadableBodyError("no JSON object")
    return document


def _list(value: Any) -> list[Any]:
    if not isinstance(value, list):
        raise UnreadableBodyError("what should be a list is none")
    return value


def _of_s3(record: Any) -> NotifiedObject:
    try:
        s3 = record["s3"]
        bucket, key = s3["bucket"]["name"], s3["object"]["key"]
        # S3 alone encodes the keys that it announces.
        key = unquote_plus(key) if isinstance(key, str) else key
        etag, size, at = s3["object"].get("eTag"), s3["object"].get("size"), record.get("eventTime")
    except (AttributeError, LookupError, TypeError) as error:
        raise UnreadableBodyError("a record names no object") from error
    return _notified_object(bucket, key, etag, size, at)


def _of_eventbridge(event: Mapping[str, Any]) -> NotifiedObject:
    try:
        bucket, found = event["detail"]["bucket"]["name"], event["detail"]["object"]
        key, etag, size = found["key"], found.get("etag"), found.get("size")
    except (AttributeError, LookupError, TypeError) as error:
        raise UnreadableBodyError("the event names no object") from error
    return _notified_object(bucket, key, etag, size, event.get("time"))


def _notified_object(
    bucket: Any, key: Any, etag: Any = None, size: Any = None, announced_at: Any = None
) -> NotifiedObject:
    if not (_is_name(bucket, MAX_BUCKET) and isinstance(key, str) and key):
        raise UnreadableBodyError("no bucket or key")
    # What is said beside that need not be true, and keeps nobody from reading the object.
    return NotifiedObject(
        bucket=bucket,
        key=key,
        etag=etag if _is_name(etag, MAX_ETAG) else "",
        size=size if type(size) is int and 0 <= size < MAX_SIZE else None,
        announced_at=_time(announced_at),
    )


def _is_name(value: Any, limit: int) -> bool:
    if not isinstance(value, str) or not 0 < len(value) <= limit:
        return False
    return value.isascii() and value.isprintable()


def _time(value: Any) -> datetime | None:
    try:
        moment = datetime.fromisoformat(value)
        return moment.astimezone(UTC) if moment.tzinfo else None
    except (TypeError, ValueError, OverflowError):
        return None
