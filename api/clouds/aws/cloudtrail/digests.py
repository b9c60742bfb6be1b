"""Digests: what CloudTrail's log validation says about an hour's files (spec 09 P13). Pure."""

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from api.clouds.aws.cloudtrail.parse import UnreadableTextError

_OF_ANOTHER_SHAPE = (
    AttributeError,
    LookupError,
    OverflowError,
    RecursionError,
    TypeError,
    ValueError,
)


@dataclass(frozen=True, slots=True)
class Digest:
    """Which files CloudTrail delivered in a span of time."""

    start: datetime
    end: datetime
    previous_key: str
    file_names: list[str]


def read_digest(text: bytes | bytearray) -> Digest:
    """Read a digest file's text. Raises ``UnreadableTextError`` if it is none."""
    try:
        document = json.loads(text)
        return Digest(
            start=_time(document["digestStartTime"]),
            end=_time(document["digestEndTime"]),
            previous_key=_name(document.get("previousDigestS3Object") or ""),
            file_names=[_name(one["s3Object"]) for one in document.get("logFiles") or ()],
        )
    except _OF_ANOTHER_SHAPE as error:
        raise UnreadableTextError(f"no digest: {error}") from error


def _time(value: Any) -> datetime:
    moment = datetime.fromisoformat(value)
    if moment.tzinfo is None:
        raise ValueError(f"{value} is in no time zone")
    # A moment beyond the years of UTC would be stored, and could not be read again.
    return moment.astimezone(UTC)


def _name(value: Any) -> str:
    name = str(value)
    if not name.isprintable():
        raise ValueError("CloudTrail writes no such names")
    return name
