"""Find accounts that the sources service does not know any more (spec 03 §9.4, §9.5).

An account whose source is gone is disabled, and deleted only if it is still gone after some days: a
sources service that has lost something does not cost customers their history (decision 35).
"""

import datetime
import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from django.conf import settings
from django.db.models import Q, QuerySet

from api.accounts.checks import ensure_check
from api.accounts.lifecycle import tell_unavailable, tenant_of_account, turn_off
from api.accounts.locking import locked_account
from api.accounts.states import CAUSE_HEADER, SCHEDULE
from api.accounts.verification import release
from api.clouds.provider import AccountRef
from api.models import CloudAccount, CloudType, InstanceEvent
from api.sources import client
from api.sources.client import SourcesError
from util import postgres
from util.metrics import counter
from util.tasks import enqueue

logger = logging.getLogger(__name__)

DELETION = "api.tasks.delete_cloud_account"
IF_MISSING_HEADER = "only_if_missing"
"""Header of a deletion's Celery message: it gives way if the source has appeared again."""

ACCOUNTS_AT_ONCE = 500
ALWAYS_BELIEVED = 5
"""So many accounts may be disabled, or deleted, in one run, whatever their share."""

REFUSED = counter(
    "cloudigrade_cleanup_refused_total",
    "Runs that found suspiciously many accounts without a source and touched none.",
)
CLEANED = counter(
    "cloudigrade_cleanup_accounts_total",
    "Accounts without a source that were disabled or deleted, and those enabled again.",
    ("result",),
)


@dataclass(frozen=True, slots=True)
class FoundAccounts:
    """What a run found, as ids of accounts.

    ``missed`` have no source for the first time, ``waiting`` had none before, ``expired`` have had
    none for too long; ``known`` have one, ``back`` have one again. Of ``unclear`` ones sources did
    not say.
    """

    missed: list[int] = field(default_factory=list)
    waiting: list[int] = field(default_factory=list)
    expired: list[int] = field(default_factory=list)
    known: list[int] = field(default_factory=list)
    back: list[int] = field(default_factory=list)
    unclear: list[int] = field(default_factory=list)

    @property
    def missing(self) -> int:
        """How many have no source."""
        return len(self.missed) + len(self.waiting) + len(self.expired)

    @property
    def looked_up(self) -> int:
        """How many sources was asked about."""
        return self.missing + len(self.known) + len(self.back) + len(self.unclear)


def delete_accounts_not_in_sources() -> FoundAccounts:
    """Disable accounts whose source is gone; have those deleted that have been so for days.

    One whose source is there again is enabled. An account that cannot be looked up stays as it is.
    So do all, if too large a share of them would be touched, or if no source at all is found: then
    sources is rather to be doubted than they are.
    """
    age = settings.DELETE_CLOUD_ACCOUNTS_NOT_IN_SOURCES_UPDATED_MORE_THAN_SECONDS_AGO
    return _clean_up(CloudAccount.objects.filter(is_synthetic=False), age)


def delete_orphaned_accounts() -> FoundAccounts:
    """Do the same with accounts without their cloud's part.

    The database does not let such accounts come into being, so there is nothing to look up in
    sources unless somebody took its constraint away.
    """
    orphaned = CloudAccount.objects.filter(
        Q(cloud_type=CloudType.AWS, aws_account_id__isnull=True)
        | Q(cloud_type=CloudType.AZURE, subscription_id__isnull=True)
    )
    found = _clean_up(orphaned, settings.DELETE_ORPHANED_ACCOUNTS_UPDATED_MORE_THAN_SECONDS_AGO)
    for account_id in found.known:
        logger.error("Account %s lacks its cloud's part but has a source", account_id)
    return found


def _clean_up(accounts: QuerySet[CloudAccount], age: int) -> FoundAccounts:
    if not settings.SOURCES_ENABLE_DATA_MANAGEMENT:
        logger.info("Data management is off: no account is looked up in sources")
        return FoundAccounts()
    found = _look_up(accounts, age)
    if _is_doubtful(found):
        REFUSED.inc()
        logger.error(
            "No account is disabled or deleted: sources does not know %s of %s",
            found.missing,
            found.looked_up,
        )
        return FoundAccounts()
    for account_id in found.back:
        _take_back(account_id)
    for account_id in found.missed:
        _miss(account_id)
    for account_id in found.expired:
        _delete(account_id)
    return found


def _look_up(accounts: QuerySet[CloudAccount], age: int) -> FoundAccounts:
    """Ask sources about each account that was not changed lately, or was missing before."""
    found = FoundAccounts()
    now = postgres.now()
    expired_before = now - datetime.timedelta(days=settings.CLEANUP_GRACE_DAYS)
    for account in _left_alone_since(now - datetime.timedelta(seconds=age), accounts):
        is_in_sources, since = _is_in_sources(account), account.missing_since
        if is_in_sources is None:
            group = found.unclear
        elif is_in_sources:
            group = found.known if since is None else found.back
        elif since is None:
            group = found.missed
        else:
            group = found.expired if since <= expired_before else found.waiting
        group.append(account.id)
    return found


def _left_alone_since(
    moment: datetime.datetime, accounts: QuerySet[CloudAccount]
) -> Iterator[CloudAccount]:
    """Go through the accounts not changed since, a bounded number of them in memory."""
    old = accounts.filter(Q(updated_at__lt=moment) | Q(missing_since__isnull=False))
    in_order = old.select_related("user").order_by("id")
    last_id = 0
    while chunk := list(in_order.filter(id__gt=last_id)[:ACCOUNTS_AT_ONCE]):
        yield from chunk
        last_id = chunk[-1].id


def _is_in_sources(account: CloudAccount) -> bool | None:
    """Return whether sources knows the account's source; None if it does not say.

    An account whose source exists is kept, as spec 03 §9.5 demands. Whether its application has to
    exist as well is for the operator to say.
    """
    lookups: list[tuple[Callable[..., client.Record | None], int]] = [
        (client.get_source, account.platform_source_id)
    ]
    if settings.DELETE_CLOUD_ACCOUNTS_NOT_IN_SOURCES_CHECK_APPLICATIONS:
        lookups.append((client.get_application, account.platform_application_id))
    tenant = tenant_of_account(account)
    try:
        return all(get(identifier, tenant=tenant) is not None for get, identifier in lookups)
    except SourcesError as error:
        logger.warning("Account %s stays as it is: %s", account.id, error)
        return None


def _is_doubtful(found: FoundAccounts) -> bool:
    """Check whether a run had rather do nothing."""
    if found.missing == found.looked_up > 1:
        return True
    most = found.looked_up * settings.DELETE_CLOUD_ACCOUNTS_NOT_IN_SOURCES_MAX_SHARE
    return any(
        touched > ALWAYS_BELIEVED and touched > most
        for touched in (len(found.missed), len(found.expired))
    )


def _miss(account_id: int) -> None:
    """Disable an account, and remember since when its source is gone: all of it or nothing."""
    with locked_account(account_id) as account:
        if account is None or account.missing_since is not None:
            return
        account.missing_since = postgres.now()
        account.save(update_fields=["missing_since"])
        turn_off(account, SCHEDULE, origin=InstanceEvent.Origin.DISABLE)
        release(AccountRef.of(account))
        tell_unavailable(account)
    CLEANED.labels("disabled").inc()
    logger.warning(
        "Account %s has no source any more: it is disabled, and deleted in %g days",
        account_id,
        settings.CLEANUP_GRACE_DAYS,
    )


def _take_back(account_id: int) -> None:
    """Forget that an account was missing, and have it enabled."""
    with locked_account(account_id) as account:
        if account is None or account.missing_since is None:
            return
        account.missing_since = None
        account.save(update_fields=["missing_since"])
        ensure_check(account_id)
    CLEANED.labels("enabled").inc()
    logger.warning("Account %s has its source again and is enabled", account_id)


def _delete(account_id: int) -> None:
    CLEANED.labels("deleted").inc()
    logger.warning("Account %s still has no source and is deleted", account_id)
    headers = {CAUSE_HEADER: SCHEDULE.cause, IF_MISSING_HEADER: "true"}
    enqueue(DELETION, account_id, headers=headers)
