"""What inspections left behind, in customers' accounts and ours, and its removal (05 §11.3).

Open shares are known from rows of their own. What lies in our own account carries our tags. So
both are found even when the images and their records are gone.
"""

import logging
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from functools import partial
from typing import Any, NamedTuple

from botocore.exceptions import BotoCoreError, ClientError
from django.conf import settings

from api.clouds.aws.arn import InvalidArnError
from api.clouds.aws.errors import AwsError, NotReadyError, code_of
from api.clouds.aws.inspection.disk_copies import own_ec2
from api.clouds.aws.inspection.instance import GONE
from api.clouds.aws.inspection.tags import AMI, ours, value_of
from api.clouds.provider import TransientCloudError
from api.inspection import attempts, shares
from api.inspection.states import UNFINISHED
from api.inspection.steps.release import discard_copy
from api.models import InspectionAttempt, SnapshotShare
from util import postgres

logger = logging.getLogger(__name__)

INSTANCE_AGE = timedelta(hours=2)
"""The inspector switches itself off after one hour."""

GRACE = timedelta(minutes=10)
"""How long the result of an inspector that has ended may be on its way."""

AT_ONCE = 200
"""Shares that one sweep ends, and instances that EC2 is asked about in one request."""

AWS_TROUBLE = (
    ClientError,
    BotoCoreError,
    AwsError,
    NotReadyError,
    InvalidArnError,
    TransientCloudError,
)


class Leftover(NamedTuple):
    """Something that nobody needs any more, and how to remove it."""

    kind: str
    id: str
    ami_id: str
    since: datetime
    remove: Callable[[], Any]


def sweep() -> int:
    """Remove all leftovers, and end attempts whose inspector is gone; gives how many were removed.

    What cannot be removed is logged, and tried again by the next sweep.
    """
    removed = sum(remove(leftover) for leftover in find_leftovers())
    _report_lost_inspectors()
    return removed


def remove(leftover: Leftover) -> bool:
    """Remove one leftover; tells whether that worked."""
    try:
        leftover.remove()
    except AWS_TROUBLE as error:
        logger.warning("Cannot remove %s %s: %s", leftover.kind, leftover.id, error)
        return False
    logger.info("Removed %s %s of image %s", leftover.kind, leftover.id, leftover.ami_id)
    return True


def find_leftovers() -> Iterator[Leftover]:
    """Return what was left behind. A place that AWS does not let us see is logged and left out."""
    yield from _shares()
    for find in (_instances, _volumes, _snapshots):
        try:
            yield from find()
        except AWS_TROUBLE as error:
            logger.warning("Cannot look for leftover%s: %s", find.__name__, error)


def _shares() -> Iterator[Leftover]:
    """Return shares that no task has ended, but for those that an inspection is about to use."""
    old = SnapshotShare.objects.filter(updated_at__lt=postgres.now() - shares.IN_USE_FOR)
    found = list(old.order_by("updated_at")[:AT_ONCE])
    in_use = shares.in_use(share.customer_snapshot_id for share in found)
    for share in found:
        if share.customer_snapshot_id not in in_use:
            yield Leftover(
                "share",
                share.customer_snapshot_id,
                share.ami_id,
                share.created_at,
                partial(_end_share, share),
            )


def _end_share(share: SnapshotShare) -> None:
    try:
        shares.end(
            customer_snapshot_id=share.customer_snapshot_id, region=share.region, arn=share.arn
        )
    except Exception as error:
        # It comes last the next time, and not before some hours have passed.
        SnapshotShare.objects.filter(id=share.id).update(
            error=str(error)[: attempts.MAX_ERROR], updated_at=postgres.now()
        )
        raise


def _instances() -> Iterator[Leftover]:
    ec2 = own_ec2()
    states = {"Name": "instance-state-name", "Values": ["pending", "running", "stopped"]}
    young = postgres.now() - INSTANCE_AGE
    for page in ec2.get_paginator("describe_instances").paginate(Filters=[ours(), states]):
        for reservation in page["Reservations"]:
            for one in reservation["Instances"]:
                if one["LaunchTime"] < young:
                    yield Leftover(
                        "instance",
                        one["InstanceId"],
                        value_of(one, AMI),
                        one["LaunchTime"],
                        partial(ec2.terminate_instances, InstanceIds=[one["InstanceId"]]),
                    )


def _volumes() -> Iterator[Leftover]:
    ec2 = own_ec2()
    unused = {"Name": "status", "Values": ["available"]}
    young = postgres.now() - INSTANCE_AGE
    for page in ec2.get_paginator("describe_volumes").paginate(Filters=[ours(), unused]):
        for one in page["Volumes"]:
            if one["CreateTime"] < young:
                yield Leftover(
                    "volume",
                    one["VolumeId"],
                    value_of(one, AMI),
                    one["CreateTime"],
                    partial(ec2.delete_volume, VolumeId=one["VolumeId"]),
                )


def _snapshots() -> Iterator[Leftover]:
    """Return copies that no attempt in progress needs, and that no task is about to delete."""
    age = timedelta(seconds=2 * settings.INSPECTION_SNAPSHOT_CLEAN_UP_INITIAL_DELAY)
    young = postgres.now() - age
    pages = own_ec2().get_paginator("describe_snapshots")
    for page in pages.paginate(OwnerIds=["self"], Filters=[ours()]):
        old = [one for one in page["Snapshots"] if one["StartTime"] < young]
        needed = _needed(one["SnapshotId"] for one in old)
        for one in old:
            if one["SnapshotId"] not in needed:
                yield Leftover(
                    "snapshot",
                    one["SnapshotId"],
                    value_of(one, AMI),
                    one["StartTime"],
                    partial(discard_copy, one["SnapshotId"]),
                )


def _needed(snapshot_copy_ids: Iterator[str]) -> set[str]:
    in_progress = InspectionAttempt.objects.filter(
        snapshot_copy_id__in=list(snapshot_copy_ids),
        finished_at__isnull=True,
        machine_image__status__in=UNFINISHED,
    )
    return set(in_progress.values_list("snapshot_copy_id", flat=True))


def _report_lost_inspectors() -> None:
    """End attempts whose instance is gone although no result came (spec 05 §11.4).

    The image stays as it is until its inspection is started again.
    """
    waiting = list(
        InspectionAttempt.objects.filter(
            finished_at__isnull=True, updated_at__lt=postgres.now() - GRACE
        )
        .exclude(inspector_instance_id="")
        .values_list("inspector_instance_id", flat=True)
    )
    lost: set[str] = set()
    try:
        for first in range(0, len(waiting), AT_ONCE):
            asked = waiting[first : first + AT_ONCE]
            lost |= set(asked) - _alive(asked)
    except AWS_TROUBLE as error:
        logger.warning("Cannot look for lost inspectors: %s", error)
    now = postgres.now()
    InspectionAttempt.objects.filter(
        inspector_instance_id__in=lost, finished_at__isnull=True
    ).update(
        outcome=attempts.LOST,
        error="the inspector ended without a result",
        finished_at=now,
        updated_at=now,
    )


def _alive(instance_ids: list[str]) -> set[str]:
    # A filter, unlike a list of ids, does not mind ids that are gone.
    wanted = {"Name": "instance-id", "Values": instance_ids}
    alive = set()
    try:
        for page in own_ec2().get_paginator("describe_instances").paginate(Filters=[wanted]):
            for reservation in page["Reservations"]:
                alive |= {
                    one["InstanceId"]
                    for one in reservation["Instances"]
                    if one["State"]["Name"] not in GONE
                }
    except ClientError as error:
        if code_of(error) != "InvalidInstanceID.NotFound":
            raise
    return alive
