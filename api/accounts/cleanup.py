"""Find accounts that the sources service does not know any more (spec 03 §9.4, §9.5)."""

import datetime
import logging
from collections.abc import Callable, Iterator

from django.conf import settings
from django.db.models import Q, QuerySet

from api.accounts.lifecycle import tenant_of_account
from api.accounts.states import CAUSE_HEADER, SCHEDULE
from api.models import CloudAccount, CloudType
from api.sources import client
from api.sources.client import SourcesError
from util import clock
from util.metrics import counter
from util.tasks import enqueue

logger = logging.getLogger(__name__)

DELETION = "api.tasks.delete_cloud_account"
ACCOUNTS_AT_ONCE = 500
ALWAYS_DELETED = 5
"""So many accounts may go in one run, whatever their share."""

BRAKED = counter(
    "cloudigrade_cleanup_refused_total",
    "Runs that would have deleted suspiciously many accounts and deleted none.",
)


def delete_accounts_not_in_sources() -> list[int]:
    """Queue the deletion of accounts whose source is gone; returns their ids.

    An account that can not be looked up is kept. So are all, if too large a share of them would go:
    then sources is rather to be doubted than they are.
    """
    if not settings.SOURCES_ENABLE_DATA_MANAGEMENT:
        logger.info("Data management is off: no account is looked up in sources")
        return []
    age = settings.DELETE_CLOUD_ACCOUNTS_NOT_IN_SOURCES_UPDATED_MORE_THAN_SECONDS_AGO
    gone: list[int] = []
    looked_up = 0
    for account in _left_alone_for(age, CloudAccount.objects.filter(is_synthetic=False)):
        looked_up += 1
        if not _is_in_sources(account):
            gone.append(account.id)
    if _are_too_many(len(gone), looked_up):
        BRAKED.inc()
        logger.error("None of %s accounts is deleted: %s would go", looked_up, len(gone))
        return []
    _queue_deletions(gone)
    return gone


def delete_orphaned_accounts() -> list[int]:
    """Queue the deletion of accounts without their cloud's part and without a source.

    The database does not let such accounts come into being, so there is nothing to look up in
    sources unless somebody took its constraint away. Returns the ids of what is deleted.
    """
    if not settings.SOURCES_ENABLE_DATA_MANAGEMENT:
        logger.info("Data management is off: orphaned accounts are not looked for")
        return []
    orphaned = CloudAccount.objects.filter(
        Q(cloud_type=CloudType.AWS, aws_account_id__isnull=True)
        | Q(cloud_type=CloudType.AZURE, subscription_id__isnull=True)
    )
    age = settings.DELETE_ORPHANED_ACCOUNTS_UPDATED_MORE_THAN_SECONDS_AGO
    gone: list[int] = []
    for account in _left_alone_for(age, orphaned):
        if _is_in_sources(account):
            logger.error("Account %s lacks its cloud's part but has a source", account.id)
        else:
            gone.append(account.id)
    _queue_deletions(gone)
    return gone


def _left_alone_for(seconds: int, accounts: QuerySet[CloudAccount]) -> Iterator[CloudAccount]:
    """Go through the accounts not changed for so long, a bounded number of them in memory."""
    updated_before = clock.now() - datetime.timedelta(seconds=seconds)
    old = accounts.filter(updated_at__lt=updated_before).select_related("user").order_by("id")
    last_id = 0
    while chunk := list(old.filter(id__gt=last_id)[:ACCOUNTS_AT_ONCE]):
        yield from chunk
        last_id = chunk[-1].id


def _is_in_sources(account: CloudAccount) -> bool:
    """Tell whether sources knows the account's source; if it does not say, yes.

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
        logger.warning("Account %s is kept: %s", account.id, error)
        return True


def _are_too_many(gone: int, looked_up: int) -> bool:
    share = settings.DELETE_CLOUD_ACCOUNTS_NOT_IN_SOURCES_MAX_SHARE
    return gone > ALWAYS_DELETED and gone > looked_up * share


def _queue_deletions(account_ids: list[int]) -> None:
    for account_id in account_ids:
        logger.info("Account %s has no source any more and is deleted", account_id)
        enqueue(DELETION, account_id, headers={CAUSE_HEADER: SCHEDULE.cause})
