"""Our S3 buckets: made where they are missing, and removed (spec 04 §5.3, §10.3)."""

import logging
from typing import Any

from botocore.exceptions import ClientError
from django.conf import settings

from api.clouds.aws.errors import code_of
from api.clouds.aws.provisioning import bucket_settings
from api.clouds.aws.provisioning.notifying_buckets import Pipe, pipes
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
            for pipe in pipes():
                ensure_bucket(pipe)
                bucket_settings.put_lifecycle(pipe)
            return
    if leader.completed_at():
        logger.info("The buckets' lifecycle was put in place a moment ago")
    else:
        logger.info("Another process is putting the buckets' lifecycle in place")
        leader.wait()


def ensure_bucket(pipe: Pipe) -> None:
    """Make a pipe's bucket with all it needs; one that exists is left alone."""
    if not exists(pipe):
        _create_bucket(pipe)


def exists(pipe: Pipe) -> bool:
    """Tell whether a pipe's bucket exists; raises ``ClientError`` if it is not ours."""
    try:
        s3().head_bucket(Bucket=pipe.bucket)
    except ClientError as error:
        if code_of(error) in _MISSING:
            return False
        raise
    return True


def _create_bucket(pipe: Pipe) -> None:
    logger.warning("Bucket %s does not exist and is created", pipe.bucket)
    location: dict[str, Any] = {}
    if settings.S3_DEFAULT_REGION != _DEFAULT_LOCATION:
        location = {"CreateBucketConfiguration": {"LocationConstraint": settings.S3_DEFAULT_REGION}}
    try:
        s3().create_bucket(Bucket=pipe.bucket, **location)
    except ClientError as error:
        # Another process was faster.
        if code_of(error) != "BucketAlreadyOwnedByYou":
            raise
    try:
        bucket_settings.mend(pipe)
    except Exception:
        # Half a bucket would pass for a whole one the next time.
        s3().delete_bucket(Bucket=pipe.bucket)
        raise


def is_right(pipe: Pipe) -> bool | None:
    """Tell whether a pipe's bucket is as it has to be, None where there is none; only reads."""
    return bucket_settings.are_right(pipe) if exists(pipe) else None


def configure_bucket(pipe: Pipe) -> None:
    """Make sure that a pipe's bucket exists and is as it has to be."""
    if exists(pipe):
        bucket_settings.mend(pipe)
    else:
        _create_bucket(pipe)


def remove_bucket(pipe: Pipe) -> None:
    """Delete a pipe's bucket with all that is in it."""
    if not exists(pipe):
        return
    for page in s3().get_paginator("list_object_versions").paginate(Bucket=pipe.bucket):
        objects = [
            {"Key": one["Key"], "VersionId": one["VersionId"]}
            for one in (*page.get("Versions", ()), *page.get("DeleteMarkers", ()))
        ]
        if objects:
            s3().delete_objects(Bucket=pipe.bucket, Delete={"Objects": objects, "Quiet": True})
    s3().delete_bucket(Bucket=pipe.bucket)
