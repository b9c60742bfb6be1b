"""The bucket of exports: private, encrypted, and emptied by itself (spec 11 §5, 08 §17)."""

import logging
from dataclasses import dataclass
from typing import Any

from django.conf import settings

from api.clouds.aws.provisioning import bucket_settings, buckets
from api.clouds.aws.session import s3

logger = logging.getLogger(__name__)

KEPT_DAYS = 7
RULE = "expire-exports"


@dataclass(frozen=True, slots=True)
class ExportBucket:
    """A bucket that tells no queue of its objects."""

    bucket: str


def bucket() -> ExportBucket:
    """Return the bucket."""
    return ExportBucket(settings.AWS_EXPORT_BUCKET_NAME)


def is_right() -> bool | None:
    """Return whether the bucket is as it has to be, None where there is none; only reads."""
    ours = bucket()
    if not buckets.exists(ours):
        return None
    return (
        bucket_settings.is_private(ours) and bucket_settings.is_encrypted(ours) and _expires(ours)
    )


def ensure() -> None:
    """Make the bucket if there is none, and what is wrong with it right."""
    ours = bucket()
    if not buckets.exists(ours):
        buckets.create_plain(ours)
    if not bucket_settings.is_private(ours):
        bucket_settings.make_private(ours)
    if not bucket_settings.is_encrypted(ours):
        bucket_settings.encrypt(ours)
    if not _expires(ours):
        s3().put_bucket_lifecycle_configuration(
            Bucket=ours.bucket, LifecycleConfiguration={"Rules": [_rule()]}
        )
        logger.info("Objects of bucket %s expire after %s days", ours.bucket, KEPT_DAYS)


def remove() -> None:
    """Delete the bucket with all that is in it."""
    buckets.remove_bucket(bucket())


def _rule() -> dict[str, Any]:
    return {
        "ID": RULE,
        "Status": "Enabled",
        "Filter": {"Prefix": ""},
        "Expiration": {"Days": KEPT_DAYS},
    }


def _expires(ours: ExportBucket) -> bool:
    found = bucket_settings.read(s3().get_bucket_lifecycle_configuration, ours).get("Rules", [])
    # S3 may tell more of a rule than was put, and of an empty prefix nothing.
    told = [{**rule, "Filter": rule.get("Filter") or {"Prefix": ""}} for rule in found]
    return len(told) == 1 and _rule().items() <= told[0].items()
