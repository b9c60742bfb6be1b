"""Load: store a scan in one short transaction (spec 06 §5; 09 P1, P4, P5, P14).

The number of statements does not depend on how many machines there are, and what has not changed is
not written.
"""

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from django.db.models import QuerySet

from api.clouds.azure.compare import POWER_OFF, POWER_ON, Changes, KnownInstance, compare
from api.clouds.azure.images import store_images
from api.clouds.azure.known import known_instances
from api.clouds.azure.records import corrections_of, facts_of
from api.clouds.azure.rows import add_events, add_instances, relink_instances
from api.clouds.azure.scan import Scan
from api.metering.runs import recalculate_runs
from api.models import CloudAccount, CloudType, Correction, DescribeRun, InstanceFact
from api.models.locking import lock_users
from util import clock

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Polled:
    """A poll to be stored: which account, which subscription it had, when it was begun."""

    account_id: int
    subscription_id: UUID
    started_at: datetime


def pollable_accounts() -> QuerySet[CloudAccount]:
    """Select the accounts that are polled: enabled, not paused, not made up (spec 06 §6)."""
    return CloudAccount.objects.filter(
        cloud_type=CloudType.AZURE,
        is_enabled=True,
        platform_application_is_paused=False,
        is_synthetic=False,
    )


def store_scan(polled: Polled, scan: Scan) -> bool:
    """Store what a scan saw, unless the account or the subscription is not metered any more.

    Runs follow the events in the same transaction. Returns whether anything could be stored: not so
    if a poll that began later has been stored already.
    """
    accounts = pollable_accounts().filter(
        id=polled.account_id, subscription_id=polled.subscription_id
    )
    with lock_users(accounts.values_list("user_id", flat=True)) as held:
        account = accounts.filter(user_id__in=held).select_for_update(no_key=True).first()
        if account is None:
            logger.info("Azure account %s is not metered any more", polled.account_id)
            return False
        previous = last_good_run(account.id)
        if previous is not None and previous.started_at > polled.started_at:
            logger.info("A later poll of Azure account %s is stored already", account.id)
            return False
        _store(account, scan, _record(account, scan, polled), previous)
    return True


def last_good_run(account_id: int) -> DescribeRun | None:
    """Give the account's last poll that saw everything."""
    runs = DescribeRun.objects.filter(cloud_account_id=account_id, outcome=DescribeRun.Outcome.OK)
    return runs.order_by("-started_at").first()


def _record(account: CloudAccount, scan: Scan, polled: Polled) -> DescribeRun:
    if scan.problem is not None:
        outcome, code = scan.problem.outcome, scan.problem.code
    elif scan.malformed:
        outcome, code = str(DescribeRun.Outcome.FAILED), "MalformedEntry"
    else:
        outcome, code = str(DescribeRun.Outcome.OK), ""
    return DescribeRun.objects.create(
        cloud_account=account,
        kind=DescribeRun.Kind.AZURE_POLL,
        started_at=polled.started_at,
        finished_at=clock.now(),
        outcome=outcome,
        error_code=code,
        listed=len(scan.machines),
        running=scan.running,
    )


def _store(
    account: CloudAccount, scan: Scan, run: DescribeRun, previous: DescribeRun | None
) -> None:
    now = clock.now()
    image_ids = store_images(account=account, scan=scan, run_id=run.id)
    known = known_instances(account.id)
    changes = compare(known, scan, image_ids=image_ids, now=now)
    instance_ids = {key: instance.id for key, instance in known.items()}
    instance_ids |= add_instances(
        account_id=account.id, machines=changes.appeared, image_ids=image_ids, now=now
    )
    _leave_out_foreign(changes, instance_ids)
    relink_instances(changes.relinked, now=now)
    event_ids = add_events(
        account_id=account.id,
        run_id=run.id,
        events=changes.events,
        instance_ids=instance_ids,
        now=now,
    )
    InstanceFact.objects.bulk_create(facts_of(changes, instance_ids, now), batch_size=1000)
    contradictions = corrections_of(changes, known, instance_ids, event_ids, account, run, previous)
    Correction.objects.bulk_create(contradictions, batch_size=1000)
    affected = _affected(changes, known, instance_ids)
    recalculate_runs(user_id=account.user_id, instance_ids=affected)
    logger.info(
        "Azure account %s: %s machines listed, %s new, %s events",
        account.id,
        len(scan.machines),
        len(changes.appeared),
        len(changes.events),
    )


def _leave_out_foreign(changes: Changes, instance_ids: Mapping[str, int]) -> None:
    """Drop what concerns machines that could not be stored, another account having their ids."""
    if foreign := [machine.key for machine in changes.appeared if machine.key not in instance_ids]:
        logger.error("Azure listed machines of another account: %s", foreign[:10])
        changes.events = [event for event in changes.events if event.key in instance_ids]
        changes.facts = {key: changes.facts[key] for key in changes.facts if key in instance_ids}


def _affected(
    changes: Changes, known: Mapping[str, KnownInstance], instance_ids: Mapping[str, int]
) -> set[int]:
    """Give the instances whose runs may differ now: switched ones, and those with a first image."""
    switched = {
        instance_ids[event.key]
        for event in changes.events
        if event.event_type in {POWER_ON, POWER_OFF}
    }
    without_image = {instance.id for instance in known.values() if instance.image_id is None}
    return switched | (changes.relinked.keys() & without_image)
