"""Everything of ours in our own AWS account: made, kept in order, removed (spec 08 §17).

What the program needs at run time, buckets and queues, is made by the same code as there.
"""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

from botocore.exceptions import ClientError

from api.clouds.aws import buckets, inspection_host
from api.clouds.aws.errors import code_of
from api.clouds.aws.pipes import Pipe, pipes, trail_pipe
from api.clouds.aws.queues import configure_queue, is_missing_queue, queue_arn, urls
from api.clouds.aws.session import s3, sqs

_ABSENT = frozenset({"404", "NoSuchBucket", "NoSuchBucketPolicy"})


@dataclass(frozen=True)
class Resource:
    """One thing in AWS. ``ensure`` tells whether it had to do anything."""

    title: str
    ensure: Callable[[], bool]
    remove: Callable[[], None]


def resources() -> list[Resource]:
    """Give all resources, each after those that it needs."""
    return [
        *(
            Resource(
                f"SQS queue {pipe.queue}",
                partial(_ensure_queue, pipe),
                partial(_remove_queue, pipe),
            )
            for pipe in pipes()
        ),
        *(
            Resource(
                f"S3 bucket {pipe.bucket}",
                partial(_ensure_bucket, pipe),
                partial(_remove_bucket, pipe),
            )
            for pipe in pipes()
        ),
        Resource(
            f"EC2 key pair {inspection_host.key_name()}",
            inspection_host.ensure_key,
            inspection_host.remove_key,
        ),
        Resource(
            f"EC2 security group {inspection_host.group_name()}",
            inspection_host.ensure_group,
            inspection_host.remove_group,
        ),
        Resource(
            f"IAM role {inspection_host.role_name()}",
            inspection_host.ensure_role,
            inspection_host.remove_role,
        ),
        Resource(
            f"EC2 launch template {inspection_host.template_name()}",
            inspection_host.ensure_template,
            inspection_host.remove_template,
        ),
    ]


def provision() -> Iterator[tuple[str, bool]]:
    """Make what is missing and mend what is wrong, giving each thing and whether it was.

    May be repeated, and run by several processes at once. Raises what AWS raises.
    """
    for resource in resources():
        yield resource.title, resource.ensure()
    buckets.sync_lifecycle()


def dismantle() -> Iterator[str]:
    """Remove everything, buckets with all that is in them, giving each thing's name."""
    for resource in reversed(resources()):
        resource.remove()
        yield resource.title


def _ensure_queue(pipe: Pipe) -> bool:
    before = _queue_attributes(pipe)
    configure_queue(pipe)
    return _queue_attributes(pipe) != before


def _queue_attributes(pipe: Pipe) -> dict[str, str] | None:
    try:
        url = sqs().get_queue_url(QueueName=pipe.queue)["QueueUrl"]
    except ClientError as error:
        if is_missing_queue(error):
            return None
        raise
    names = ["Policy", "RedrivePolicy", "VisibilityTimeout", "MessageRetentionPeriod"]
    found: dict[str, str] = (
        sqs().get_queue_attributes(QueueUrl=url, AttributeNames=names).get("Attributes", {})
    )
    return found


def _remove_queue(pipe: Pipe) -> None:
    for name in (pipe.queue, pipe.dead_letter_queue):
        try:
            sqs().delete_queue(QueueUrl=sqs().get_queue_url(QueueName=name)["QueueUrl"])
        except ClientError as error:
            if not is_missing_queue(error):
                raise
    urls.forget()


def _ensure_bucket(pipe: Pipe) -> bool:
    before = _bucket_state(pipe)
    if before is None:
        buckets.ensure_bucket(pipe)
        return True
    if before == _wanted_state(pipe):
        return False
    buckets.configure(pipe)
    return True


def _wanted_state(pipe: Pipe) -> tuple[Any, ...]:
    policy = buckets.trail_bucket_policy(pipe) if pipe == trail_pipe() else None
    return policy, [(queue_arn(pipe), {pipe.prefix, pipe.suffix})]


def _bucket_state(pipe: Pipe) -> tuple[Any, ...] | None:
    """Give a bucket's policy and whom it tells of which objects, None where there is no bucket."""
    try:
        s3().head_bucket(Bucket=pipe.bucket)
    except ClientError as error:
        if code_of(error) in _ABSENT:
            return None
        raise
    told = s3().get_bucket_notification_configuration(Bucket=pipe.bucket)
    return _bucket_policy(pipe), [
        (
            rule["QueueArn"],
            {
                part["Value"]
                for part in rule.get("Filter", {}).get("Key", {}).get("FilterRules", ())
            },
        )
        for rule in told.get("QueueConfigurations", ())
    ]


def _bucket_policy(pipe: Pipe) -> Any:
    try:
        return json.loads(s3().get_bucket_policy(Bucket=pipe.bucket)["Policy"])
    except ClientError as error:
        if code_of(error) in _ABSENT:
            return None
        raise


def _remove_bucket(pipe: Pipe) -> None:
    try:
        for page in s3().get_paginator("list_object_versions").paginate(Bucket=pipe.bucket):
            objects = [
                {"Key": one["Key"], "VersionId": one["VersionId"]}
                for one in (*page.get("Versions", ()), *page.get("DeleteMarkers", ()))
            ]
            if objects:
                s3().delete_objects(Bucket=pipe.bucket, Delete={"Objects": objects, "Quiet": True})
        s3().delete_bucket(Bucket=pipe.bucket)
    except ClientError as error:
        if code_of(error) not in _ABSENT:
            raise
