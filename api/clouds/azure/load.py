"""Load: store a scan in one short transaction (spec 06 §5; 09 P1, P4, P5, P14).

The number of statements does not depend on how many machines there are, and what has not changed is
not written.
"""

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from django.db import connection
from django.db.models import QuerySet

from api.clouds.azure.compare import (
    POWER_OFF,
    POWER_ON,
    Changes,
    KnownMachine,
    SeenEvent,
    compare,
    unaccounted_images,
)
from api.clouds.azure.images import ImageEvidence, store_images
from api.clouds.azure.known import known_instances
from api.clouds.azure.records import corrections_of, facts_of
from api.clouds.azure.scan import Scan
from api.clouds.azure.transform import ImageKey, Machine
from api.clouds.corrections import save_corrections
from api.clouds.facts import store_facts
from api.clouds.freshness import EVENT_AGE, count_describe, note_ingest
from api.clouds.load import FoundInstance, NewEvent, save_events, save_instances
from api.metering.locking import lock_metering_of_accounts
from api.metering.runs import recalculate_runs
from api.metering.timeline import instant_of
from api.models import CloudAccount, CloudType, DescribeRun, InstanceEvent
from api.models.locking import lock_users
from util import postgres

logger = logging.getLogger(__name__)

_RELINK = """
UPDATE api_instance instance
SET machine_image_id = wanted.image, updated_at = %s,
    former_images = CASE WHEN wanted.until IS NULL THEN former_images
        ELSE COALESCE(former_images, '[]') || jsonb_build_array(jsonb_build_array(until, former))
    END
FROM unnest(%s::bigint[], %s::bigint[], %s::bigint[], %s::bigint[])
     AS wanted (id, image, until, former)
WHERE instance.id = wanted.id
"""

_SET_VM_IDS = """
UPDATE api_instance instance SET vm_id = told.vm_id
FROM unnest(%s::bigint[], %s::text[]) AS told (id, vm_id)
WHERE instance.id = told.id
"""

# A poll cannot have begun in the future, whatever a process of an older version wrote.
_BEGAN_LATER = """
SELECT EXISTS (
    SELECT FROM api_describerun
    WHERE cloud_account_id = %s AND kind = 'azure_poll'
      AND started_at > %s AND started_at <= clock_timestamp())
"""

MOST_NAMES = 100
"""Of scale sets that one record of a poll keeps."""


@dataclass(frozen=True, slots=True)
class Polled:
    """A poll to be stored: which account, which subscription it had, when it was begun.

    That is told by PostgreSQL's clock (decision 41).
    """

    account_id: int
    subscription_id: UUID
    started_at: datetime


def pollable_accounts() -> QuerySet[CloudAccount]:
    """Select the accounts that are polled: enabled, not paused, not made up (spec 06 §6)."""
    return CloudAccount.objects.filter(
        cloud_type=str(CloudType.AZURE),
        is_enabled=True,
        platform_application_is_paused=False,
        is_synthetic=False,
    )


def store_scan(polled: Polled, scan: Scan) -> Changes | None:
    """Store what a scan saw; runs follow the events in the same transaction. Return what changed.

    Store nothing, and return None, if the account or its subscription is not metered any more, or
    if the poll began before the account was enabled or before one that was recorded already,
    whatever came of that (decision 33).
    """
    accounts = pollable_accounts().filter(
        id=polled.account_id, subscription_id=polled.subscription_id
    )
    with lock_users(accounts.values_list("user_id", flat=True)) as held:
        account = accounts.filter(user_id__in=held).select_for_update(no_key=True).first()
        if account is None:
            logger.info("Azure account %s is not metered any more", polled.account_id)
            return None
        if reason := _why_outdated(account, polled):
            logger.info("A poll of Azure account %s changes nothing: %s", account.id, reason)
            return None
        previous = last_good_run(account.id)
        return _store(account, scan, _record(account, scan, polled), previous)


def _why_outdated(account: CloudAccount, polled: Polled) -> str:
    if account.enabled_at is not None and polled.started_at < account.enabled_at:
        return "it began before the account was enabled"
    with connection.cursor() as cursor:
        cursor.execute(_BEGAN_LATER, [account.id, polled.started_at])
        return "a later one is stored already" if cursor.fetchone()[0] else ""


def last_good_run(account_id: int) -> DescribeRun | None:
    """Return the account's last poll that saw everything."""
    runs = DescribeRun.objects.filter(cloud_account_id=account_id, outcome=DescribeRun.Outcome.OK)
    return runs.order_by("-started_at").first()


def _record(account: CloudAccount, scan: Scan, polled: Polled) -> DescribeRun:
    count_describe(CloudType.AZURE, DescribeRun.Kind.AZURE_POLL, scan.outcome)
    if scan.outcome == DescribeRun.Outcome.OK:
        note_ingest(CloudType.AZURE)
    return DescribeRun.objects.create(
        cloud_account=account,
        kind=DescribeRun.Kind.AZURE_POLL,
        started_at=polled.started_at,
        finished_at=postgres.now(),
        outcome=scan.outcome,
        error_code=scan.error_code,
        listed=len(scan.machines),
        running=scan.running,
        unreadable=sorted(scan.unreadable)[:MOST_NAMES] or None,
    )


def _store(
    account: CloudAccount, scan: Scan, run: DescribeRun, previous: DescribeRun | None
) -> Changes:
    lock_metering_of_accounts(account.user_id)
    now = postgres.now()
    known = known_instances(account.id)
    evidence = ImageEvidence(account, scan, run.id, unaccounted_images(known, scan))
    image_ids = store_images(evidence)
    changes = compare(known, scan, image_ids=image_ids, now=now)
    instance_ids = {key: instance.id for key, instance in known.items()}
    instance_ids |= _add_instances(account, changes.appeared, image_ids)
    _leave_out_foreign(changes, instance_ids)
    event_ids = _store_events(account, changes, known, instance_ids, run, now)
    store_facts(list(facts_of(changes, instance_ids, now)))
    corrections = corrections_of(
        changes,
        known,
        instance_ids,
        event_ids,
        run=run,
        is_first=not _looked_since_enabled(account, previous),
    )
    save_corrections(list(corrections), cloud_type=str(CloudType.AZURE), before=run.started_at)
    logger.info(
        "Azure account %s: %s machines listed, %s new, %s events",
        account.id,
        len(scan.machines),
        len(changes.appeared),
        len(changes.events),
    )
    return changes


def _store_events(
    account: CloudAccount,
    changes: Changes,
    known: Mapping[str, KnownMachine],
    instance_ids: Mapping[str, int],
    run: DescribeRun,
    now: datetime,
) -> dict[tuple[int, str], int]:
    """Store events, images and runs; return the ids of the events by instance and type.

    Runs that end do so before their instances get other images: they were runs of the old ones.
    """
    ids = _save(changes.ends, instance_ids, run)
    ended = {instance_ids[event.key] for event in changes.ends}
    recalculate_runs(user_id=account.user_id, instance_ids=ended)
    _relink_instances(changes, now)
    _set_vm_ids({instance_ids[key]: vm_id for key, vm_id in changes.vm_ids.items()})
    ids |= _save(changes.others, instance_ids, run)
    affected = _affected(changes, known, instance_ids)
    recalculate_runs(user_id=account.user_id, instance_ids=affected)
    return ids


def _add_instances(
    account: CloudAccount, machines: Sequence[Machine], image_ids: Mapping[ImageKey, int]
) -> dict[str, int]:
    """Store new instances; give the ids of those that are the account's."""
    saved = save_instances(
        cloud_type=str(CloudType.AZURE),
        found=[
            FoundInstance(
                machine.resource_id,
                account.id,
                machine.region,
                image_ids[machine.image_key] if machine.image_key else None,
            )
            for machine in machines
        ],
    )
    return {key: row.id for key, row in saved.known.items() if row.account_id == account.id}


def _relink_instances(changes: Changes, now: datetime) -> None:
    if changes.relinked:
        rows = []
        for instance_id, image_id in changes.relinked.items():
            until, former = changes.former_images.get(instance_id, (None, None))
            rows.append((instance_id, image_id, until and instant_of(until), former))
        with connection.cursor() as cursor:
            cursor.execute(_RELINK, [now, *map(list, zip(*rows, strict=True))])


def _set_vm_ids(vm_ids: Mapping[int, str]) -> None:
    if vm_ids:
        with connection.cursor() as cursor:
            cursor.execute(_SET_VM_IDS, [list(vm_ids), list(vm_ids.values())])


def _save(
    events: Iterable[SeenEvent], instance_ids: Mapping[str, int], run: DescribeRun
) -> dict[tuple[int, str], int]:
    new = list(events)
    age = EVENT_AGE.labels(str(CloudType.AZURE))
    for event in new:
        age.observe(((run.finished_at or event.occurred_at) - event.occurred_at).total_seconds())
    stored = save_events(
        [
            NewEvent(
                instance_id=instance_ids[event.key],
                account_id=run.cloud_account_id,
                event_type=event.event_type,
                occurred_at=event.occurred_at,
                instance_type=event.instance_type,
                subnet=None,
                origin=InstanceEvent.Origin.AZURE_POLL,
                source_id=str(run.id),
            )
            for event in new
        ]
    )
    return {(event.instance_id, event.event_type): event.id for event in stored}


def _looked_since_enabled(account: CloudAccount, previous: DescribeRun | None) -> bool:
    if previous is None or previous.finished_at is None:
        return False
    return account.enabled_at is None or previous.finished_at >= account.enabled_at


def _leave_out_foreign(changes: Changes, instance_ids: Mapping[str, int]) -> None:
    """Drop what concerns machines that could not be stored, another account having their ids."""
    if foreign := [machine.key for machine in changes.appeared if machine.key not in instance_ids]:
        logger.error("Azure listed machines of another account: %s", foreign[:10])
        changes.others = [event for event in changes.others if event.key in instance_ids]
        changes.facts = {key: changes.facts[key] for key in changes.facts if key in instance_ids}
        changes.vm_ids = {key: changes.vm_ids[key] for key in changes.vm_ids if key in instance_ids}


def _affected(
    changes: Changes, known: Mapping[str, KnownMachine], instance_ids: Mapping[str, int]
) -> set[int]:
    """Return the instances whose runs may differ by what is no end of a run.

    These are switched ones, and those with a first image.
    """
    switched = {
        instance_ids[event.key]
        for event in changes.others
        if event.event_type in {POWER_ON, POWER_OFF}
    }
    without_image = {instance.id for instance in known.values() if instance.image_id is None}
    return switched | (changes.relinked.keys() & without_image)
