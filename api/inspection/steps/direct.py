"""Next step of an inspection without an instance: a worker reads the copy's blocks (spec 13 §4)."""

import importlib.util
import json
import logging
import time
from typing import Any, NamedTuple

from botocore.exceptions import BotoCoreError, ClientError
from django.conf import settings
from django.db import transaction

from api import outbox
from api.clouds.aws.errors import is_access_denied, is_transient
from api.clouds.aws.inspection import disk_copies
from api.clouds.aws.inspection.user_data import DEVICE
from api.clouds.aws.session import clients
from api.clouds.provider import TransientCloudError
from api.inspection import attempts
from api.inspection.attempts import Work
from api.inspection.request import start_waiting
from api.inspection.results.parse import parse_result
from api.inspection.results.save import save_results
from api.inspection.steps.copy import DELETE_SNAPSHOT, LAUNCH
from api.inspection.steps.launch import is_over, mark_inspecting, work_on_copy
from api.inspector import NAME, VERSION
from api.inspector.ebs import SnapshotSource
from api.inspector.isolation import DriveReport, NotStartedError, inspect_isolated
from api.inspector.limits import Limits
from api.inspector.results import make_entry, make_result
from api.models import MachineImage
from util.metrics import counter, histogram
from util.tasks import enqueue

logger = logging.getLogger(__name__)

READERS = ("pyfsxfs", "pyfsext")
"""Packages of the dependency group ``inspector``, which a worker may be without."""

FINAL = (ClientError, BotoCoreError, disk_copies.SnapshotFailedError, NotStartedError)
"""What repeating at once does not mend: the image is started again some day (spec 05 §7)."""

METHOD = "direct"
FALLBACK = "fallback"
FAILED = "failed"

OUTCOMES = counter(
    "cloudigrade_inspections_total", "Inspections that ended, by outcome", ("method", "outcome")
)
SECONDS = histogram(
    "cloudigrade_inspection_seconds", "Time that looking into a disk takes", ("method",)
)
BLOCKS = counter(
    "cloudigrade_inspection_blocks_read_total", "Blocks of snapshots that were asked for"
)


class _CannotReadError(Exception):
    """We are not able to read snapshots here; an instance is."""


class _Seen(NamedTuple):
    """What reading a snapshot gave, and took."""

    report: DriveReport
    blocks: int
    seconds: float


def inspect_snapshot(*, ami_id: str, snapshot_copy_id: str) -> None:
    """Look into a copy of an image's root disk, and save what is found.

    May be delivered again and cut off anywhere; whoever is first saves. Raises NotReadyError until
    the disk is copied, TransientCloudError while AWS is too busy. Where we have no right to read
    blocks, or no readers, an instance is launched instead.
    """
    work = work_on_copy(ami_id=ami_id, snapshot_copy_id=snapshot_copy_id)
    if work is None:
        return
    with attempts.noting_errors(work.attempt):
        try:
            seen = _look_or_explain(work, snapshot_copy_id)
        except _CannotReadError as error:
            _fall_back(ami_id, snapshot_copy_id, error)
            return
    _save(work, snapshot_copy_id, seen)
    start_waiting()


def _look_or_explain(work: Work, snapshot_copy_id: str) -> _Seen:
    """Look, and tell apart what an instance may do better, what passes, and the rest."""
    if not all(importlib.util.find_spec(reader) for reader in READERS):
        raise _CannotReadError("this worker has no readers of file systems")
    try:
        return _look(work, snapshot_copy_id)
    except FINAL as error:
        if is_access_denied(error):
            raise _CannotReadError(f"AWS denied access: {error}") from error
        if is_transient(error):
            raise TransientCloudError(str(error)) from error
        OUTCOMES.labels(METHOD, FAILED).inc()
        raise


def _look(work: Work, snapshot_copy_id: str) -> _Seen:
    started = time.monotonic()
    if not disk_copies.is_copied(snapshot_copy_id):
        raise disk_copies.SnapshotFailedError(f"snapshot copy {snapshot_copy_id} does not exist")
    client = clients.own("ebs", settings.AWS_DEFAULT_REGION)
    with SnapshotSource(client, snapshot_copy_id) as source:
        _begin(work, snapshot_copy_id)
        try:
            report = inspect_isolated(source, DEVICE, _limits())
        finally:
            BLOCKS.inc(source.blocks_read)
    return _Seen(report, source.blocks_read, time.monotonic() - started)


def _limits() -> Limits:
    return Limits(
        seconds=settings.INSPECTION_MAX_SECONDS,
        read_bytes=settings.INSPECTION_MAX_READ_BYTES,
        memory_bytes=settings.INSPECTION_MAX_MEMORY_BYTES,
    )


@transaction.atomic
def _begin(work: Work, snapshot_copy_id: str) -> None:
    mark_inspecting(work)
    attempts.note_progress(
        work.attempt,
        snapshot_copy_id=snapshot_copy_id,
        producer_name=NAME,
        producer_version=VERSION,
    )
    logger.info("Reading %s of image %s", snapshot_copy_id, work.image.cloud_image_id)


def _save(work: Work, snapshot_copy_id: str, seen: _Seen) -> None:
    """Save as results of instances are saved, and have the copy deleted, in one transaction."""
    ami_id = work.image.cloud_image_id
    entry = make_entry({DEVICE: seen.report.partitions}, seen.report.errors)
    document = make_result("aws", {ami_id: entry}, run=snapshot_copy_id)
    with transaction.atomic():
        # Images are locked before their attempts, and by one who saves at a time.
        MachineImage.objects.select_for_update(no_key=True).filter(id=work.image.id).first()
        if is_over(snapshot_copy_id):
            logger.info("Somebody else was faster to inspect %s", ami_id)
            return
        save_results([parse_result(json.dumps(document).encode())])
        delete_at_once(work, snapshot_copy_id)
    outcome = attempts.INCONCLUSIVE if entry["inconclusive"] else attempts.INSPECTED
    OUTCOMES.labels(METHOD, outcome).inc()
    SECONDS.labels(METHOD).observe(seen.seconds)
    logger.info(
        "Image %s is read: %s of %s, %s blocks in %.1f seconds",
        ami_id,
        outcome,
        snapshot_copy_id,
        seen.blocks,
        seen.seconds,
    )


def delete_at_once(work: Work, snapshot_copy_id: str) -> None:
    """Have the copy deleted when the transaction commits, even if Redis forgets it."""
    outbox.send(
        f"delete {snapshot_copy_id}",
        DELETE_SNAPSHOT,
        snapshot_copy_id,
        work.image.cloud_image_id,
        work.attempt.region or settings.AWS_DEFAULT_REGION,
    )


def _fall_back(ami_id: str, snapshot_copy_id: str, reason: Any) -> None:
    OUTCOMES.labels(METHOD, FALLBACK).inc()
    logger.warning(
        "Image %s is inspected by an instance, since %s cannot be read directly: %s",
        ami_id,
        snapshot_copy_id,
        reason,
    )
    enqueue(LAUNCH, ami_id, snapshot_copy_id)
