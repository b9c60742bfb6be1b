"""How our S3 buckets have to be configured: seen, and mended (spec 04 §5.3, 08 §17)."""

import json
import logging
from collections.abc import Callable
from typing import Any, Protocol

from botocore.exceptions import ClientError
from django.conf import settings

from api.clouds.aws.errors import code_of
from api.clouds.aws.provisioning.notifying_buckets import NotifyingBucket, trail_bucket
from api.clouds.aws.provisioning.queues import queue_arn
from api.clouds.aws.session import s3

logger = logging.getLogger(__name__)

PARTITIONS = ("aws", "aws-cn", "aws-us-gov")
"""Where customers' accounts may be."""

_UNSET = frozenset(
    {
        "NoSuchBucketPolicy",
        "NoSuchLifecycleConfiguration",
        "NoSuchPublicAccessBlockConfiguration",
        "ServerSideEncryptionConfigurationNotFoundError",
    }
)
_NOTHING_PUBLIC = dict.fromkeys(
    ("BlockPublicAcls", "IgnorePublicAcls", "BlockPublicPolicy", "RestrictPublicBuckets"), True
)


class Named(Protocol):
    """A bucket, whatever it is for."""

    @property
    def bucket(self) -> str:
        """Its name."""


def are_right(bucket: NotifyingBucket) -> bool:
    """Return whether a notifying bucket is configured as it has to be; changes nothing."""
    return all(right(bucket) for right, _ in _ASPECTS)


def mend(bucket: NotifyingBucket) -> None:
    """Mend what is wrong with a notifying bucket; its queue is made if it does not exist."""
    for right, put in _ASPECTS:
        if not right(bucket):
            put(bucket)


def read(call: Callable[..., dict[str, Any]], bucket: Named) -> dict[str, Any]:
    """Return what a bucket's configuration of some kind is, nothing where there is none."""
    try:
        return call(Bucket=bucket.bucket)
    except ClientError as error:
        if code_of(error) in _UNSET:
            return {}
        raise


def is_private(bucket: Named) -> bool:
    """Return whether nothing in a bucket can be public."""
    found = read(s3().get_public_access_block, bucket)
    return found.get("PublicAccessBlockConfiguration") == _NOTHING_PUBLIC


def make_private(bucket: Named) -> None:
    """Let nothing in a bucket be public."""
    s3().put_public_access_block(
        Bucket=bucket.bucket, PublicAccessBlockConfiguration=_NOTHING_PUBLIC
    )


def is_encrypted(bucket: Named) -> bool:
    """Return whether what is put into a bucket is encrypted."""
    # With whose key is for the account's owner to say.
    return bool(read(s3().get_bucket_encryption, bucket))


def encrypt(bucket: Named) -> None:
    """Have what is put into a bucket encrypted."""
    rule = {"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "AES256"}}
    s3().put_bucket_encryption(
        Bucket=bucket.bucket, ServerSideEncryptionConfiguration={"Rules": [rule]}
    )


def _has_policy(bucket: NotifyingBucket) -> bool:
    found = json.loads(read(s3().get_bucket_policy, bucket).get("Policy", "null"))
    return bool(found == _policy(bucket))


def _put_policy(bucket: NotifyingBucket) -> None:
    if policy := _policy(bucket):
        s3().put_bucket_policy(Bucket=bucket.bucket, Policy=json.dumps(policy))
    else:
        s3().delete_bucket_policy(Bucket=bucket.bucket)


def _policy(bucket: NotifyingBucket) -> dict[str, Any] | None:
    """Let CloudTrail, acting for a trail that has the name of ours, deliver logs that we then own.

    Trails of other names are not ours, whoever's account they are in; a customer's account may be
    in any partition. To the other bucket nobody but its owner has access, which needs no policy.
    """
    if bucket != trail_bucket():
        return None
    cloudtrail = {"Service": "cloudtrail.amazonaws.com"}
    of_our_trails = {
        "aws:SourceArn": [
            f"arn:{partition}:cloudtrail:*:*:trail/{settings.AWS_CLOUDTRAIL_NAME_PREFIX}*"
            for partition in PARTITIONS
        ]
    }
    return {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Sid": "AWSCloudTrailAclCheck",
                "Effect": "Allow",
                "Principal": cloudtrail,
                "Action": "s3:GetBucketAcl",
                "Resource": bucket.bucket_arn,
                "Condition": {"ArnLike": of_our_trails},
            },
            {
                "Sid": "AWSCloudTrailWrite",
                "Effect": "Allow",
                "Principal": cloudtrail,
                "Action": "s3:PutObject",
                "Resource": f"{bucket.bucket_arn}/{bucket.prefix}*",
                "Condition": {
                    "StringEquals": {"s3:x-amz-acl": "bucket-owner-full-control"},
                    "ArnLike": of_our_trails,
                },
            },
        ],
    }


def _notifies(bucket: NotifyingBucket) -> bool:
    found = read(s3().get_bucket_notification_configuration, bucket)
    # Only its region and name count, so that the queue need not exist for this.
    wanted = bucket.notification(f"arn:aws:sqs:{settings.SQS_DEFAULT_REGION}::{bucket.queue}")
    return _essence(found) == _essence(wanted)


def _essence(configuration: dict[str, Any]) -> dict[str, Any]:
    """Return what a configuration says: S3 tells of filters in another order and spelling."""
    rules = []
    for rule in configuration.get("QueueConfigurations", ()):
        arn = rule["QueueArn"].split(":")
        parts = rule.get("Filter", {}).get("Key", {}).get("FilterRules", ())
        filters = {part["Name"].lower(): part["Value"] for part in parts}
        rules.append((rule.get("Id"), arn[3], arn[5], rule["Events"], filters))
    ignored = ("QueueConfigurations", "ResponseMetadata")
    others = {kind: value for kind, value in configuration.items() if kind not in ignored}
    return {"queues": rules, **others}


def _notify(bucket: NotifyingBucket) -> None:
    s3().put_bucket_notification_configuration(
        Bucket=bucket.bucket,
        NotificationConfiguration=bucket.notification(queue_arn(bucket)),
    )


def _lifecycle() -> dict[str, Any]:
    return {
        "ID": settings.AWS_S3_BUCKET_LC_NAME,
        "Status": "Enabled",
        "Filter": {"Prefix": ""},
        "Transitions": [
            {"Days": settings.AWS_S3_BUCKET_LC_IA_TRANSITION, "StorageClass": "STANDARD_IA"},
            {"Days": settings.AWS_S3_BUCKET_LC_GLACIER_TRANSITION, "StorageClass": "GLACIER"},
        ],
        "Expiration": {"Days": settings.AWS_S3_BUCKET_LC_MAX_AGE},
    }


def _has_lifecycle(bucket: NotifyingBucket) -> bool:
    found = read(s3().get_bucket_lifecycle_configuration, bucket).get("Rules", [])
    # S3 may tell more of a rule than was put, and of an empty prefix nothing.
    told = [{**rule, "Filter": rule.get("Filter") or {"Prefix": ""}} for rule in found]
    return len(told) == 1 and _lifecycle().items() <= told[0].items()


def put_lifecycle(bucket: NotifyingBucket) -> None:
    """Put our lifecycle rule on a notifying bucket, in place of all others."""
    s3().put_bucket_lifecycle_configuration(
        Bucket=bucket.bucket, LifecycleConfiguration={"Rules": [_lifecycle()]}
    )
    logger.info("Put the lifecycle of bucket %s in place", bucket.bucket)


_ASPECTS: tuple[
    tuple[Callable[[NotifyingBucket], bool], Callable[[NotifyingBucket], None]], ...
] = (
    (is_private, make_private),
    (is_encrypted, encrypt),
    (_has_policy, _put_policy),
    (_notifies, _notify),
    (_has_lifecycle, put_lifecycle),
)
"""What a bucket has to be: how to see whether it is, and how to make it so."""
