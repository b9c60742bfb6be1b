"""Everything of ours in our own AWS account: seen, made, mended, removed (spec 08 §17).

What the program needs at run time, buckets and queues, is made by the same code as there.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

from django.conf import settings

from api.clouds.aws.provisioning import (
    buckets,
    direct_rights,
    export_bucket,
    launch_template,
    queues,
)
from api.clouds.aws.provisioning.notifying_buckets import notifying_buckets


@dataclass(frozen=True)
class CloudResource:
    """One thing in AWS."""

    title: str
    is_right: Callable[[], bool | None]
    """Tells whether it is as it has to be, None where there is none; changes nothing."""
    ensure: Callable[[], None]
    remove: Callable[[], None]


@dataclass(frozen=True)
class ResourceOutcome:
    """What was done to a resource, or would be."""

    title: str
    verdict: str
    changed: bool


def resources() -> list[CloudResource]:
    """Return all resources, each after those that it needs."""
    host = launch_template
    return [
        *(
            CloudResource(
                f"SQS queue {bucket.queue}",
                partial(queues.is_right, bucket),
                partial(queues.configure_queue, bucket),
                partial(queues.remove_queue, bucket),
            )
            for bucket in notifying_buckets()
        ),
        *(
            CloudResource(
                f"S3 bucket {bucket.bucket}",
                partial(buckets.is_right, bucket),
                partial(buckets.configure_bucket, bucket),
                partial(buckets.remove_bucket, bucket),
            )
            for bucket in notifying_buckets()
        ),
        CloudResource(
            f"S3 bucket {export_bucket.bucket().bucket}",
            export_bucket.is_right,
            export_bucket.ensure,
            export_bucket.remove,
        ),
        CloudResource(
            f"EC2 key pair {host.key_name()}", host.key_is_right, host.ensure_key, host.remove_key
        ),
        CloudResource(
            f"EC2 security group {host.group_name()}",
            host.group_is_right,
            host.ensure_group,
            host.remove_group,
        ),
        CloudResource(
            f"IAM role {host.role_name()}", host.role_is_right, host.ensure_role, host.remove_role
        ),
        CloudResource(
            f"EC2 launch template {host.template_name()}",
            host.template_is_right,
            host.ensure_template,
            host.remove_template,
        ),
        *_direct_rights(),
    ]


def _direct_rights() -> list[CloudResource]:
    """Return the right to read snapshots, where they are read without an instance (13 §4)."""
    if settings.AWS_INSPECTION_METHOD != "direct":
        return []
    return [
        CloudResource(
            f"IAM policy {direct_rights.policy_name()}",
            direct_rights.is_right,
            direct_rights.ensure,
            direct_rights.remove,
        )
    ]


def provision(*, dry_run: bool = False) -> Iterator[ResourceOutcome]:
    """Make what is missing and mend what is wrong, telling of each thing in turn.

    May be repeated, and run by several processes at once. A dry run only reads. Raises what AWS
    raises.
    """
    verdicts = {None: "made", False: "mended", True: "in order"}
    for resource in resources():
        right = resource.is_right()
        if not right and not dry_run:
            resource.ensure()
        yield ResourceOutcome(resource.title, verdicts[right], changed=not right)


def dismantle(*, dry_run: bool = False) -> Iterator[ResourceOutcome]:
    """Remove everything, buckets with all that is in them, telling of each thing in turn.

    A dry run only reads. Raises what AWS raises.
    """
    for resource in reversed(resources()):
        present = resource.is_right() is not None
        if present and not dry_run:
            resource.remove()
        yield ResourceOutcome(
            resource.title, "removed" if present else "not there", changed=present
        )
