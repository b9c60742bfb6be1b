"""Customers' snapshots that we may be permitted to copy, until we are not any more (05 §4.5).

A share is recorded before it is made, in a row that outlives image, inspection and customer, so
that it is ended whatever happens in between.
"""

from collections.abc import Iterable
from datetime import timedelta

from django.db import transaction
from django.db.models import QuerySet

from api.clouds.aws.inspection import disk_copies
from api.clouds.aws.session import own_account_id
from api.models import InspectionAttempt, SnapshotShare
from util import postgres

IN_USE_FOR = timedelta(hours=2)
"""For how long a share is left to the tasks that use it and end it."""


def record(*, customer_snapshot_id: str, region: str, arn: str, ami_id: str) -> None:
    """Remember that a snapshot is about to be shared with us."""
    now = postgres.now()
    SnapshotShare.objects.bulk_create(
        [
            SnapshotShare(
                customer_snapshot_id=customer_snapshot_id,
                region=region,
                arn=arn,
                ami_id=ami_id,
                created_at=now,
                updated_at=now,
            )
        ],
        update_conflicts=True,
        unique_fields=["customer_snapshot_id", "region"],
        update_fields=["arn", "ami_id", "error", "updated_at"],
    )


def in_use(customer_snapshot_ids: Iterable[str]) -> set[str]:
    """Select the snapshots that inspections are about to copy, or have begun to.

    Several images may have one snapshot, and an image may be inspected again at any time.
    """
    return set(_users(customer_snapshot_ids).values_list("customer_snapshot_id", flat=True))


def copies_of(customer_snapshot_id: str) -> set[str]:
    """Select the copies that inspections have of a snapshot; an empty id for one that has none."""
    return set(_users([customer_snapshot_id]).values_list("snapshot_copy_id", flat=True))


def _users(customer_snapshot_ids: Iterable[str]) -> QuerySet[InspectionAttempt]:
    return InspectionAttempt.objects.filter(
        customer_snapshot_id__in=list(customer_snapshot_ids),
        share_removed_at__isnull=True,
        finished_at__isnull=True,
        updated_at__gte=postgres.now() - IN_USE_FOR,
    )


def end(*, customer_snapshot_id: str, region: str, arn: str) -> None:
    """Take our right to a customer's snapshot away, and record that.

    Raises NotReadyError until AWS shows that it is gone, and what AWS raises.
    """
    share = SnapshotShare.objects.filter(
        customer_snapshot_id=customer_snapshot_id, region=region
    ).first()
    disk_copies.unshare(
        disk_copies.customer_ec2(arn, region), customer_snapshot_id, account_id=own_account_id()
    )
    now = postgres.now()
    with transaction.atomic():
        if share and not _forget(share):
            return
        InspectionAttempt.objects.filter(
            customer_snapshot_id=customer_snapshot_id, region=region, share_removed_at__isnull=True
        ).update(share_removed_at=now, updated_at=now)


def _forget(share: SnapshotShare) -> bool:
    """Delete a share's row, unless it was made once more in the meantime; tells which."""
    same = SnapshotShare.objects.filter(id=share.id, updated_at=share.updated_at)
    return bool(same.delete()[0])
