"""Our S3 buckets: made where they are missing, and their lifecycle (spec 04 §5.3, §10.3)."""

import json
import logging
from typing import Any

from botocore.exceptions import ClientError
from django.conf import settings

from api.clouds.aws.errors import code_of
from api.clouds.aws.pipes import Pipe, pipes, trail_pipe
from api.clouds.aws.queues import queue_arn
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
                _put_lifecycle(pipe.bucket)
            return
    if leader.completed_at():
        logger.info("The buckets' lifecycle was put in place a moment ago")
    else:
        logger.info("Another process is putting the buckets' lifecycle in place")
        leader.wait()


def _put_lifecycle(bucket: str) -> None:
    rule = {
        "ID": settings.AWS_S3_BUCKET_LC_NAME,
        "Status": "Enabled",
        "Filter": {"Prefix": ""},
        "Transitions": [
            {"Days": settings.AWS_S3_BUCKET_LC_IA_TRANSITION, "StorageClass": "STANDARD_IA"},
            {"Days": settings.AWS_S3_BUCKET_LC_GLACIER_TRANSITION, "StorageClass": "GLACIER"},
        ],
        "Expiration": {"Days": settings.AWS_S3_BUCKET_LC_MAX_AGE},
    }
    s3().put_bucket_lifecycle_configuration(Bucket=bucket, LifecycleConfiguration={"Rules": [rule]})
    logger.info("Put the lifecycle of bucket %s in place", bucket)


def ensure_bucket(pipe: Pipe) -> None:
    """Make a pipe's bucket with its policies and notifications; one that exists is left alone."""
    try:
        s3().head_bucket(Bucket=pipe.bucket)
    except ClientError as error:
        if code_of(error) not in _MISSING:
            raise
        _create_bucket(pipe)


def _create_bucket(pipe: Pipe) -> None:
    logger.warning("Bucket %s does not exist and is created", pipe.bucket)
    location: dict[str, Any] = {}
    if settings.S3_DEFAULT_REGION != _DEFAULT_LOCATION:
        location = {"CreateBucketConfiguration": {"LocationConstraint": settings.S3_DEFAULT_REGION}}
    s3().create_bucket(Bucket=pipe.bucket, **location)
    try:
        configure(pipe)
    except Exception:
        # Half a bucket would pass for a whole one the next time.
        s3().delete_bucket(Bucket=pipe.bucket)
        raise


def configure(pipe: Pipe) -> None:
    """Give a pipe's bucket its policies, and tell its queue of new objects."""
    s3().put_public_access_block(
        Bucket=pipe.bucket,
        PublicAccessBlockConfiguration={
            "BlockPublicAcls": True,
            "IgnorePublicAcls": True,
            "BlockPublicPolicy": True,
            "RestrictPublicBuckets": True,
        },
    )
    if pipe == trail_pipe():
        policy = json.dumps(trail_bucket_policy(pipe))
        s3().put_bucket_policy(Bucket=pipe.bucket, Policy=policy)
    s3().put_bucket_notification_configuration(
        Bucket=pipe.bucket, NotificationConfiguration=pipe.notification(queue_arn(pipe))
    )


def trail_bucket_policy(pipe: Pipe) -> dict[str, Any]:
    """Let CloudTrail, acting for any customer, deliver logs that then belong to us."""
    cloudtrail = {"Service": "cloudtrail.amazonaws.com"}
    return {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Sid": "AWSCloudTrailAclCheck",
                "Effect": "Allow",
                "Principal": cloudtrail,
                "Action": "s3:GetBucketAcl",
                "Resource": pipe.bucket_arn,
            },
            {
                "Sid": "AWSCloudTrailWrite",
                "Effect": "Allow",
                "Principal": cloudtrail,
                "Action": "s3:PutObject",
                "Resource": f"{pipe.bucket_arn}/{pipe.prefix}*",
                "Condition": {"StringEquals": {"s3:x-amz-acl": "bucket-owner-full-control"}},
            },
        ],
    }
