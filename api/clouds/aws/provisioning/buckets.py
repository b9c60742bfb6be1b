"""Our S3 buckets: made where they are missing, and removed (spec 04 §5.3, §10.3)."""

import logging
from typing import Any

from botocore.exceptions import ClientError
from django.conf import settings

from api.clouds.aws.errors import code_of
from api.clouds.aws.provisioning import bucket_settings
from api.clouds.aws.provisioning.bucket_settings import Named
from api.clouds.aws.provisioning.notifying_buckets import NotifyingBucket, notifying_buckets
from api.clouds.aws.session import s3
from util.locks import LeaderRun

logger = logging.getLogger(__name__)

LEADER_FEATURE = "sync-bucket-lifecycle"
_DEFAULT_LOCATION = "us-east-1"
_MISSING = frozenset({"404", "NoSuchBucket"})


def sync_lifecycle() -> None:
    """Put our lifecycle rule on both buckets, unless another process does or just did so."""
    leader = LeaderRun(LEADER_FEATURE)
    with leader.lead() as wanted:
        if wanted:
            for bucket in notifying_buckets():
                ensure_bucket(bucket)
                bucket_settings.put_lifecycle(bucket)
            return
    if leader.completed_at():
        logger.info("The buckets' lifecycle was put in place a moment ago")
    else:
        logger.info("Another process is putting the buckets' lifecycle in place")
        leader.wait()


def ensure_bucket(bucket: NotifyingBucket) -> None:
    """Make a notifying bucket with all it needs; one that exists is left alone."""
    if not exists(bucket):
        _create_bucket(bucket)


def exists(bucket: Named) -> bool:
    """Return whether a bucket exists; raises ``ClientError`` if it is not ours."""
    try:
        s3().head_bucket(Bucket=bucket.bucket)
    except ClientError as error:
        if code_of(error) in _MISSING:
            return False
        raise
    return True


def create_plain(bucket: Named) -> None:
    """Make a bucket as S3 makes them, unless another process is faster."""
    logger.warning("Bucket %s does not exist and is created", bucket.bucket)
    location: dict[str, Any] = {}
    if settings.S3_DEFAULT_REGION != _DEFAULT_LOCATION:
        location = {"CreateBucketConfiguration": {"LocationConstraint": settings.S3_DEFAULT_REGION}}
    try:
        s3().create_bucket(Bucket=bucket.bucket, **location)
    except ClientError as error:
        if code_of(error) != "BucketAlreadyOwnedByYou":
            raise


def _create_bucket(bucket: NotifyingBucket) -> None:
    create_plain(bucket)
    try:
        bucket_settings.mend(bucket)
    except Exception:
        # Half a bucket would pass for a whole one the next time.
        s3().delete_bucket(Bucket=bucket.bucket)
        raise


def is_right(bucket: NotifyingBucket) -> bool | None:
    """Return whether a bucket is as it has to be, None where there is none; only reads."""
    return bucket_settings.are_right(bucket) if exists(bucket) else None


def configure_bucket(bucket: NotifyingBucket) -> None:
    """Make sure that a notifying bucket exists and is as it has to be."""
    if exists(bucket):
        bucket_settings.mend(bucket)
    else:
        _create_bucket(bucket)


def remove_bucket(bucket: Named) -> None:
    """Delete a bucket with all that is in it."""
    if not exists(bucket):
        return
    for page in s3().get_paginator("list_object_versions").paginate(Bucket=bucket.bucket):
        objects = [
            {"Key": one["Key"], "VersionId": one["VersionId"]}
            for one in (*page.get("Versions", ()), *page.get("DeleteMarkers", ()))
        ]
        if objects:
            s3().delete_objects(Bucket=bucket.bucket, Delete={"Objects": objects, "Quiet": True})
    s3().delete_bucket(Bucket=bucket.bucket)
