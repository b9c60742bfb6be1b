"""What S3 announces on a queue: new objects (spec 04 §8.2). Pure."""

import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any, NamedTuple
from urllib.parse import unquote_plus


class UnreadableBodyError(ValueError):
    """The message is none of those that we know."""


class Announced(NamedTuple):
    """A new object; what S3 does not say of it is None or empty."""

    bucket: str
    key: str
    etag: str
    size: int | None
    announced_at: datetime | None

    def __str__(self) -> str:
        return f"{self.bucket}/{self.key}"


def parse_announcements(body: str) -> list[Announced]:
    """Read a message's body; one that announces nothing, as S3's test messages, gives none.

    Raises ``UnreadableBodyError`` for anything that S3, or SNS for it, would not write.
    """
    document = _document(body)
    if document.get("Type") == "Notification" and "Records" not in document:
        document = _document(document.get("Message"))
    records = document.get("Records", [])
    if not isinstance(records, list):
        raise UnreadableBodyError("the records are no list")
    return [_announced(record) for record in records]


def is_test_message(body: str) -> bool:
    """Tell whether S3 is only trying out whether it may send."""
    try:
        return _document(body).get("Event") == "s3:TestEvent"
    except UnreadableBodyError:
        return False


def _document(text: Any) -> Mapping[str, Any]:
    try:
        document = json.loads(text)
    except (TypeError, ValueError, RecursionError) as error:
        raise UnreadableBodyError("not JSON") from error
    if not isinstance(document, Mapping):
        raise UnreadableBodyError("no JSON object")
    return document


def _announced(record: Any) -> Announced:
    try:
        s3 = record["s3"]
        bucket, key = s3["bucket"]["name"], s3["object"]["key"]
        size, etag = s3["object"].get("size"), s3["object"].get("eTag")
    except (AttributeError, LookupError, TypeError) as error:
        raise UnreadableBodyError("a record names no object") from error
    if not (isinstance(bucket, str) and isinstance(key, str) and bucket and key):
        raise UnreadableBodyError("a record names no object")
    return Announced(
        bucket=bucket,
        key=unquote_plus(key),
        etag=etag if isinstance(etag, str) else "",
        size=size if type(size) is int else None,
        announced_at=_time(record.get("eventTime")),
    )


def _time(value: Any) -> datetime | None:
    try:
        moment = datetime.fromisoformat(value)
    except (TypeError, ValueError):
        return None
    return moment if moment.tzinfo else None
