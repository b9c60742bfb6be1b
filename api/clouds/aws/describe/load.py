"""Load: what a scan of an account's regions shows, in short transactions (spec 04 §7.3).

A region that cannot be stored spoils no other one.
"""

import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence

from django.db import IntegrityError, OperationalError

from api.clouds.aws.describe.diff import RegionScan, missed_power_events
from api.clouds.aws.describe.records import (
    AccountScan,
    Stored,
    corrections_of,
    events_of,
    listed_ids,
    observations_of,
    types_of,
)
from api.clouds.aws.images import (
    SavedImages,
    WantedImage,
    inspect_after_all,
    save_images,
    store_tags,
)
from api.clouds.aws.selectors import Account, load_metered
from api.clouds.corrections import save_corrections
from api.clouds.facts import save_facts
from api.clouds.freshness import count_describe
from api.clouds.load import (
    FoundInstance,
    KnownPower,
    SavedInstances,
    power_states,
    save_events,
    save_instances,
    untyped_instances,
)
from api.images.users import START_INSPECTIONS
from api.metering.locking import lock_metering_of_accounts
from api.metering.runs import recalculate_runs
from api.models import Cause, CloudType, DescribeRun
from api.models.locking import lock_users
from util import postgres
from util.tasks import enqueue

logger = logging.getLogger(__name__)

INSTANCES_AT_ONCE = 2000
"""About how many instances are stored in one transaction."""

IMAGE_EXISTS = ("api_instance_machine_image_id_", "api_run_machine_image_id_")
"""How the names begin of the constraints that the image of an instance, and of a run, exists.

Django adds a hash. Which of them is told depends on what was written last.
"""


def store_all(account_scan: AccountScan, scans: Sequence[RegionScan]) -> None:
    """Store what was read, as long as the account is metered; a failure is noted in its scan.

    Raises ``OperationalError`` if the database is away or busy.
    """
    for group in _groups(scans):
        if not _store_together_or_apart(account_scan, group):
            return


def _groups(scans: Iterable[RegionScan]) -> Iterator[list[RegionScan]]:
    """Put small regions together, so that they share a transaction."""
    group: list[RegionScan] = []
    size = 0
    for scan in scans:
        if group and size + len(scan.seen) > INSTANCES_AT_ONCE:
            yield group
            group, size = [], 0
        group.append(scan)
        size += len(scan.seen)
    if group:
        yield group


def _store_together_or_apart(account_scan: AccountScan, group: Sequence[RegionScan]) -> bool:
    """Store regions at once or, if that fails, each for itself; returns whether to go on.

    An image that is erased meanwhile, with the last customer who used it, costs a second attempt.
    """
    try:
        try:
            return store_region_scans(account_scan, group)
        except IntegrityError as error:
            if not postgres.violated_constraint(error).startswith(IMAGE_EXISTS):
                raise
            logger.info("An image was erased while a region that uses it was stored: %s", error)
            return store_region_scans(account_scan, group)
    except OperationalError:
        # It would concern all of them.
        raise
    except Exception as error:
        if len(group) == 1:
            logger.exception(
                "AWS account %s: what was read in %s cannot be stored",
                account_scan.account.aws_account_id,
                group[0].region,
            )
            group[0].problem = error
            return True
    return all(_store_together_or_apart(account_scan, [scan]) for scan in group)


def store_region_scans(account_scan: AccountScan, scans: Sequence[RegionScan]) -> bool:
    """Store what some regions show, unless the account is not metered as it was.

    Returns whether it still is: one that was disabled meanwhile, or disabled and enabled again, is
    not. Inspections of new images are queued when all is committed.
    """
    with lock_users([account_scan.account.user_id]):
        account = load_metered(account_scan.account.id)
        if account is None or _is_another(account, account_scan.account):
            logger.info(
                "AWS account %s is not metered any more", account_scan.account.aws_account_id
            )
            return False
        lock_metering_of_accounts(account_scan.account.user_id)
        _store(account_scan, scans)
    return True


def _is_another(account: Account, asked: Account) -> bool:
    return account.arn != asked.arn or account.enabled_at != asked.enabled_at


def _store(account_scan: AccountScan, scans: Sequence[RegionScan]) -> None:
    run_ids = _save_runs(account_scan, scans)
    known = power_states(
        account_id=account_scan.account.id,
        regions=[scan.region for scan in scans],
        cloud_instance_ids=[one.instance.instance_id for scan in scans for one in scan.seen],
    )
    missing = list(
        missed_power_events(scans, known, seen=account_scan.seen, rules=account_scan.rules)
    )
    images = save_images(_wanted_images(account_scan, scans))
    untagged = store_tags(images, shown=account_scan.shown)
    instances = _save_instances(account_scan, scans, images)
    stored = Stored(run_ids, _ids(account_scan, known, instances), instances.image_filled)
    untyped = untyped_instances(listed_ids(scans, stored))
    typed = types_of(account_scan, scans, stored, untyped)
    events = save_events([*events_of(account_scan, missing, stored), *(one.event for one in typed)])
    facts = save_facts(observations_of(account_scan, scans, stored))
    corrections = list(corrections_of(account_scan, scans, missing, typed, stored, events))
    save_corrections(
        corrections,
        cloud_type=str(CloudType.AWS),
        before=min(scan.started_at for scan in scans),
    )
    touched = {event.instance_id for event in events} | instances.image_filled
    # Their CPU options may tell runs' sizes.
    touched |= {fact.instance_id for fact in facts if fact.cpu_cores is not None}
    corrected = {one.instance_id for one in corrections}
    user_id = account_scan.account.user_id
    recalculate_runs(user_id=user_id, instance_ids=corrected, because=Cause.CORRECTION)
    recalculate_runs(user_id=user_id, instance_ids=touched - corrected)
    _start_inspections(account_scan, scans, images)
    inspect_after_all(images, untagged)


def _save_runs(account_scan: AccountScan, scans: Iterable[RegionScan]) -> dict[str, int]:
    """Record the scans, unless at nothing but images (09 P4); returns their ids by region."""
    runs = DescribeRun.objects.bulk_create(
        DescribeRun(
            cloud_account_id=account_scan.account.id,
            region=scan.region,
            kind=account_scan.kind,
            started_at=scan.started_at,
            finished_at=scan.finished_at,
            outcome=DescribeRun.Outcome.OK,
            listed=len(scan.listed),
            running=scan.running,
        )
        for scan in scans
        if scan.is_complete or scan.seen
    )
    for run in runs:
        count_describe(CloudType.AWS, run.kind, run.outcome)
    return {run.region: run.id for run in runs if run.region is not None}


def _wanted_images(account_scan: AccountScan, scans: Iterable[RegionScan]) -> Iterator[WantedImage]:
    """Yield the images that instances use; Windows is what an instance says it runs (§7.4).

    Of an image whose instances are not listed, the image itself says it.
    """
    for scan in scans:
        used = {one.instance.image_id for one in scan.listed}
        windows = {one.instance.image_id for one in scan.listed if one.instance.is_windows}
        for ami_id in scan.ami_ids:
            described = account_scan.images.get(ami_id)
            by_itself = bool(described and described.is_windows)
            is_windows = ami_id in windows if ami_id in used else by_itself
            yield WantedImage(ami_id, described, scan.region, is_windows)


def _save_instances(
    account_scan: AccountScan, scans: Iterable[RegionScan], images: SavedImages
) -> SavedInstances:
    saved = save_instances(
        cloud_type=str(CloudType.AWS),
        found=[
            FoundInstance(
                one.instance.instance_id,
                account_scan.account.id,
                scan.region,
                images.id_of(one.instance.image_id),
            )
            for scan in scans
            for one in scan.listed
        ],
    )
    for name in sorted(saved.foreign):
        logger.error("Instance %s is another account's; its description is dropped", name)
    return saved


def _ids(
    account_scan: AccountScan, known: Mapping[str, KnownPower], instances: SavedInstances
) -> dict[str, int]:
    """Return the ids of all instances of the account that are listed or known there, by name."""
    return {name: state.instance_id for name, state in known.items()} | {
        name: row.id
        for name, row in instances.known.items()
        if row.account_id == account_scan.account.id
    }


def _start_inspections(
    account_scan: AccountScan, scans: Iterable[RegionScan], images: SavedImages
) -> None:
    """Queue the inspection of new images, once each, unless all their instances are Windows."""
    wanted: dict[str, str] = {}
    for scan in scans:
        used = {one.instance.image_id for one in scan.listed}
        candidates = {one.instance.image_id for one in scan.listed if not one.instance.is_windows}
        candidates |= {
            ami_id
            for ami_id in scan.asked_images - used
            if ami_id in account_scan.images and not account_scan.images[ami_id].is_windows
        }
        wanted |= {ami_id: scan.region for ami_id in candidates if ami_id and ami_id in images.new}
    if wanted:
        arn = account_scan.account.arn
        enqueue(START_INSPECTIONS, [[arn, ami_id, wanted[ami_id]] for ami_id in sorted(wanted)])
