"""Checks of the records that let a number be explained (spec 09, "Acceptance of day one")."""

import gzip
import json
from typing import Any

from deployment.local.demo.entry_points import Records, StoryError

_COUNTED_TABLES = (
    "api_cloudaccount",
    "api_instance",
    "api_instanceevent",
    "api_machineimage",
    "api_imagefact",
    "api_ingestobject",
    "api_ingesthour",
    "api_run",
    "api_concurrentusage",
    "api_usagerevision",
)


def row_counts(records: Records) -> dict[str, int]:
    """Return the number of rows of the tables that a second delivery must leave alone."""
    return {
        table: records.value(f"SELECT count(*) FROM {table}")  # noqa: S608 - names of our own
        for table in _COUNTED_TABLES
    }


def check_records(records: Records, s3: Any) -> None:
    """Check origins, sources of events, counts of files and revisions. Raises StoryError."""
    _require_none(records, "events without origin", "api_instanceevent WHERE origin = ''")
    _require_none(records, "usage without revision", "api_concurrentusage WHERE revision < 1")
    stored = records.value("SELECT COALESCE(sum(stored), 0) FROM api_ingesthour")
    events = records.value("SELECT count(*) FROM api_instanceevent WHERE origin = 'cloudtrail'")
    if stored != events or not events:
        raise StoryError(f"{events} events of CloudTrail are stored, the files' sum is {stored}")
    _check_sources(records, s3)


def _require_none(records: Records, what: str, of: str) -> None:
    number = records.value(f"SELECT count(*) FROM {of}")  # noqa: S608 - texts of our own
    if number:
        raise StoryError(f"there are {number} {what}")


def _check_sources(records: Records, s3: Any) -> None:
    """Check that each event names the record of the log file that it came from."""
    rows = records.rows(
        "SELECT object.bucket, object.key, event.source_index, event.source_id"
        " FROM api_instanceevent event"
        " LEFT JOIN api_ingestobject object ON object.id = event.source_object"
        " WHERE event.origin = 'cloudtrail'"
    )
    files: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for bucket, key, index, event_id in rows:
        if (bucket, key) not in files:
            body = s3.get_object(Bucket=bucket, Key=key)["Body"].read()
            files[bucket, key] = json.loads(gzip.decompress(body))["Records"]
        if files[bucket, key][index]["eventID"] != event_id:
            raise StoryError(f"record {index} of {key} is not the event {event_id}")
