"""Poll subscriptions: once when an account is enabled, then again and again (spec 06 §4.1, §6).

Azure has no stream of events. A poll gets everything there is, then stores the differences; Azure
is asked with no lock held and no transaction open.
"""

import logging
from uuid import UUID

import redis
from django.conf import settings
from django.core.cache import cache

from api.clouds.azure.compare import Changes
from api.clouds.azure.errors import AzureLoginError
from api.clouds.azure.images import known_architectures
from api.clouds.azure.load import Polled, last_good_run, pollable_accounts, store_scan
from api.clouds.azure.reader import scan_subscription
from api.clouds.azure.scan import Scan
from api.models import CloudAccount, DescribeRun
from util import postgres
from util.metrics import counter
from util.tasks import enqueue

logger = logging.getLogger(__name__)

POLL = "api.clouds.azure.tasks.update_azure_instance_events_for_account"
CHECK = "api.tasks.enable_account"

SECONDS_BETWEEN_POLLS = 0.25
"""How fast a round of polls is started, so that the tenant's calls do not come all at once."""

FAILURES_UNTIL_CHECK = 24
"""After so many failed polls in a row, and again after as many more, the account is checked."""

NEWEST_TASK_SECONDS = 4 * 60 * 60
"""How long it is remembered which task last began to poll an account."""

_POLLS = counter(
    "cloudigrade_azure_polls", "Polls of subscriptions, by what came of them", ("outcome", "code")
)
_UNREADABLE = counter(
    "cloudigrade_azure_scale_set_failures", "Scale sets that a poll could not read", ("code",)
)
_MACHINES = counter("cloudigrade_azure_machines_listed", "Virtual machines that polls saw")
_EVENTS = counter("cloudigrade_azure_events", "Events that polls stored", ("event_type",))


def discover_account(*, account_id: int, task_id: str = "", again: bool = False) -> None:
    """Poll an account that has been enabled; ends quietly if it is gone, disabled or paused.

    ``task_id`` and ``again`` are as for ``poll_subscription``. Raises ``AzureBusyError`` and
    ``AzureLoginError``, after which the whole may be repeated.
    """
    if not settings.ENABLE_AZURE_VM_DISCOVERY:
        logger.info("Discovery of Azure machines is switched off")
        return
    account = pollable_accounts().filter(id=account_id).first()
    if account is None:
        logger.info("There is no enabled Azure account %s to discover", account_id)
        return
    if _is_newest_task(account, task_id, again):
        _poll(account)


def poll_subscription(*, subscription_id: str, task_id: str = "", again: bool = False) -> None:
    """Poll a subscription again; ends quietly if no enabled account has it, or the login fails.

    ``task_id`` is that of the running task, which may run ``again`` after it failed: then it gives
    way to any task that began to poll the account meanwhile. Raises ``AzureBusyError``, after which
    the whole may be repeated.
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
    if not _is_newest_task(account, task_id, again):
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


def _is_newest_task(account: CloudAccount, task_id: str, again: bool) -> bool:
    """Return whether a task should poll; note that it does if it is not a repetition.

    So the repetitions of a task whose Azure asks for an hour never add up to those of the next
    round. Where the cache is away, all of them poll.
    """
    key = f"azure-newest-poll-{account.id}"
    try:
        if not again:
            cache.set(key, task_id, NEWEST_TASK_SECONDS)
            return True
        newest = cache.get(key)
    except redis.RedisError:
        return True
    if newest in {None, task_id}:
        return True
    logger.info("A newer task polls Azure account %s", account.id)
    return False


def _poll(account: CloudAccount) -> None:
    assert account.subscription_id is not None
    polled = Polled(account.id, account.subscription_id, postgres.now())
    known_images = known_architectures(account.user_id)
    scan = scan_subscription(str(polled.subscription_id), known_images=known_images)
    changes = store_scan(polled, scan)
    if changes is None:
        return
    _count(scan, changes)
    if scan.problems:
        logger.error(
            "The poll of Azure account %s, subscription %s, is incomplete: %s",
            account.id,
            polled.subscription_id,
            scan.problems,
        )
        _check_after_many_failures(account.id)
    if (problem := scan.problem_to_repeat_for()) is not None:
        raise problem


def _check_after_many_failures(account_id: int) -> None:
    """Have an account checked whose polls fail again and again.

    The check tells the customer, who may have withdrawn the delegation.
    """
    runs = DescribeRun.objects.filter(cloud_account_id=account_id)
    good = last_good_run(account_id)
    failed = runs if good is None else runs.filter(started_at__gt=good.started_at)
    if failed.count() % FAILURES_UNTIL_CHECK == 0:
        enqueue(CHECK, account_id)


def _count(scan: Scan, changes: Changes) -> None:
    _POLLS.labels(scan.outcome, scan.error_code).inc()
    for code in scan.unreadable.values():
        _UNREADABLE.labels(code).inc()
    _MACHINES.inc(len(scan.machines))
    for event in changes.events:
        _EVENTS.labels(event.event_type).inc()
