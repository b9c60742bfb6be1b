"""Poll subscriptions: once when an account is enabled, then again and again (spec 06 §4.1, §6).

Azure has no stream of events. A poll gets everything there is, then stores the differences; Azure
is asked with no lock held and no transaction open.
"""

import logging
from uuid import UUID

from django.conf import settings
from django.db import transaction

from api.clouds.azure.compare import Changes
from api.clouds.azure.errors import AzureBusyError, AzureLoginError, AzureRefusedError, Problem
from api.clouds.azure.images import known_architectures
from api.clouds.azure.load import Polled, last_good_run, pollable_accounts, store_scan
from api.clouds.azure.scan import Scan, scan_subscription
from api.models import CloudAccount, DescribeRun
from util import clock
from util.metrics import counter
from util.tasks import enqueue

logger = logging.getLogger(__name__)

POLL = "api.clouds.azure.tasks.update_azure_instance_events_for_account"
CHECK = "api.tasks.enable_account"

SECONDS_BETWEEN_POLLS = 0.25
"""How fast a round of polls is started, so that the tenant's calls do not come all at once."""

FAILURES_UNTIL_CHECK = 24
"""After so many failed polls in a row, and again after as many more, the account is checked."""

_POLLS = counter(
    "cloudigrade_azure_polls", "Polls of subscriptions, by what came of them", ("outcome", "code")
)
_MACHINES = counter("cloudigrade_azure_machines_listed", "Virtual machines that polls saw")
_EVENTS = counter("cloudigrade_azure_events", "Events that polls stored", ("event_type",))


def discover_account(*, account_id: int) -> None:
    """Poll an account that has been enabled; ends quietly if it is gone, disabled or paused.

    Raises ``AzureBusyError`` and ``AzureLoginError``, after which the whole may be repeated.
    """
    if not settings.ENABLE_AZURE_VM_DISCOVERY:
        logger.info("Discovery of Azure machines is switched off")
        return
    account = pollable_accounts().filter(id=account_id).first()
    if account is None:
        logger.info("There is no enabled Azure account %s to discover", account_id)
        return
    _poll(account)


def poll_subscription(*, subscription_id: str) -> None:
    """Poll a subscription again; ends quietly if no enabled account has it, or the login fails.

    Raises ``AzureBusyError``, after which the whole may be repeated.
    """
    if not settings.ENABLE_AZURE_VM_DISCOVERY:
        return
    try:
        wanted = UUID(subscription_id)
    except ValueError:
        logger.warning("%r is not the id of a subscription", subscription_id)
        return
    account = pollable_accounts().filter(subscription_id=wanted).first()
    if account is None:
        logger.info("No enabled account has subscription %s", wanted)
        return
    try:
        _poll(account)
    except AzureLoginError:
        logger.error("Subscription %s is polled again in the next round", wanted)


def start_polls() -> int:
    """Queue a poll of each subscription that is metered, spread in time; returns how many."""
    if not settings.ENABLE_AZURE_VM_DISCOVERY:
        return 0
    accounts = pollable_accounts().order_by("id")
    subscription_ids = list(accounts.values_list("subscription_id", flat=True))
    period = settings.UPDATE_AZURE_INSTANCE_EVENTS_SCHEDULE
    pause = min(SECONDS_BETWEEN_POLLS, period / 2 / max(len(subscription_ids), 1))
    for number, subscription_id in enumerate(subscription_ids):
        enqueue(POLL, subscription_id, countdown=number * pause)
    return len(subscription_ids)


def _poll(account: CloudAccount) -> None:
    assert account.subscription_id is not None
    polled = Polled(account.id, account.subscription_id, clock.now())
    try:
        scan = scan_subscription(
            str(polled.subscription_id), known_images=known_architectures(account.user_id)
        )
    except (AzureBusyError, AzureRefusedError) as problem:
        _record_failure(polled, problem)
        if isinstance(problem, AzureBusyError | AzureLoginError):
            raise
        return
    changes = store_scan(polled, scan)
    if changes is not None:
        _count(scan, changes)
    if isinstance(scan.problem, AzureBusyError):
        raise scan.problem


def _record_failure(polled: Polled, problem: Problem) -> None:
    """Write down that a poll failed; have the account checked if that goes on and on.

    The check tells the customer, who may have withdrawn the delegation.
    """
    logger.error("Subscription %s can not be polled: %s", polled.subscription_id, problem)
    _POLLS.labels(problem.outcome, problem.code).inc()
    with transaction.atomic():
        accounts = pollable_accounts().select_for_update(no_key=True)
        if accounts.filter(id=polled.account_id).first() is None:
            return
        DescribeRun.objects.create(
            cloud_account_id=polled.account_id,
            kind=DescribeRun.Kind.AZURE_POLL,
            started_at=polled.started_at,
            finished_at=clock.now(),
            outcome=problem.outcome,
            error_code=problem.code,
        )
        if _failures(polled.account_id) % FAILURES_UNTIL_CHECK == 0:
            enqueue(CHECK, polled.account_id)


def _failures(account_id: int) -> int:
    """Count the polls that failed since the last good one."""
    runs = DescribeRun.objects.filter(cloud_account_id=account_id)
    good = last_good_run(account_id)
    return (runs if good is None else runs.filter(started_at__gt=good.started_at)).count()


def _count(scan: Scan, changes: Changes) -> None:
    _POLLS.labels(scan.outcome, scan.error_code).inc()
    _MACHINES.inc(len(scan.machines))
    for event in changes.events:
        _EVENTS.labels(event.event_type).inc()
