"""Announce objects of the trail bucket to our queue again, as S3 does (spec 10 §3.3).

So they take the way of all others: with their repetitions, their dead letters, and their metrics.
"""

import json
from collections.abc import Sequence
from datetime import UTC
from typing import Any
from urllib.parse import quote_plus

from api.clouds.aws.cloudtrail.listing import ListedObject
from api.clouds.aws.errors import reachable
from api.clouds.aws.provisioning import queues
from api.clouds.aws.provisioning.notifying_buckets import trail_bucket


def requeue(objects: Sequence[ListedObject]) -> None:
    """Send a message for each object. Raises ``TransientCloudError`` and ``AwsError``."""
    bucket = trail_bucket()
    with reachable():
        queues.send(bucket, [notification(bucket.bucket, one) for one in objects])


def notification(bucket: str, one: ListedObject) -> str:
    """Write what S3 says of a new object."""
    modified_at = one.modified_at.astimezone(UTC)
    record: dict[str, Any] = {
        "eventVersion": "2.1",
        "eventSource": "aws:s3",
        "eventTime": f"{modified_at:%Y-%m-%dT%H:%M:%S}.{modified_at.microsecond // 1000:03}Z",
        "eventName": "ObjectCreated:Put",
        "s3": {
            "s3SchemaVersion": "1.0",
            "configurationId": "audit_logs",
            "bucket": {"name": bucket, "arn": f"arn:aws:s3:::{bucket}"},
            "object": {"key": quote_plus(one.key.text), "size": one.size, "eTag": one.etag},
        },
    }
    return json.dumps({"Records": [record]})
