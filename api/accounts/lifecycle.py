"""Enable, disable, pause and unpause cloud accounts (spec 03 §6.5).

The cloud is asked first, with no transaction open; then the account is locked, looked at again, and
changed; what others have to do about it is queued after commit. Any of it may be repeated.
"""

import logging

from api.accounts.errors import RefusedAccountError
from api.accounts.locking import locked_account
from api.accounts.power_off import switch_off_instances
from api.accounts.states import Change, Trigger, record, state_of
from api.accounts.verification import prepare, release, verify
from api.clouds.provider import AccountRef, provider_for
from api.models import CloudAccount, InstanceEvent
from api.sources.codes import ErrorCode
from api.sources.messages import Tenant
from api.sources.status import notify_available, notify_code, notify_unavailable
from util import postgres

logger = logging.getLogger(__name__)


def tenant_of_account(account: CloudAccount) -> Tenant:
    """Return whom news of an account goes to: its user."""
    return Tenant(account.user.account_number, account.user.org_id)


def enable_account(*, account_id: int, trigger: Trigger, retry_transient: bool = True) -> bool:
    """Verify an account, set up its cloud, enable it, and tell sources the result.

    An account that is enabled already is verified and described again, and stays enabled whatever
    the result; one that is paused is only verified. Returns whether the account can be metered.

    Raises errors that are ``WORTH_REPEATING``, and no others; unless ``retry_transient``, a cloud
    that is out of order counts as a refusal.
    """
    account = find_account(account_id)
    if account is None:
        logger.warning("Account %s is gone and cannot be enabled", account_id)
        return False
    ref = AccountRef.of(account)
    try:
        if account.platform_application_is_paused:
            verify(ref, retry_transient=retry_transient)
            return _report_verified(account, trigger)
        prepared = prepare(ref, retry_transient=retry_transient)
    except RefusedAccountError as refusal:
        return _refuse(account, refusal, trigger)
    if not _confirm(account, ref, trigger):
        return False
    if prepared.is_undone():
        logger.info("Account %s is set up once more: an earlier removal came late", ref.id)
        return enable_account(
            account_id=account_id, trigger=trigger, retry_transient=retry_transient
        )
    _welcome(account, ref)
    return True


def disable_account(
    *,
    account_id: int,
    trigger: Trigger,
    message: str = "",
    power_off: bool = True,
    notify: bool = True,
) -> bool:
    """Stop metering an account, if there is such an account, as is returned.

    ``message`` is what sources is told; ``power_off`` writes power-off events for what is running.
    """
    with locked_account(account_id) as account:
        if account is None:
            return False
        turn_off(account, trigger, origin=InstanceEvent.Origin.DISABLE if power_off else None)
    release(AccountRef.of(account))
    if notify:
        tell_unavailable(account, message)
    return True


def pause_application(*, application_id: int, trigger: Trigger) -> int:
    """Pause all accounts of an application, not telling sources; returns how many there are."""
    account_ids = _accounts_of(application_id)
    for account_id in account_ids:
        _pause(account_id, trigger)
    return len(account_ids)


def unpause_application(*, application_id: int, trigger: Trigger) -> int:
    """End the pause of an application's accounts and enable them; returns how many there are.

    Raises errors that are ``WORTH_REPEATING``; then the whole may be repeated.
    """
    account_ids = _accounts_of(application_id)
    for account_id in account_ids:
        with locked_account(account_id) as account:
            if account is not None and account.platform_application_is_paused:
                record(account, Change.UNPAUSED, trigger=trigger, from_state=state_of(account))
                account.platform_application_is_paused = False
                account.save(update_fields=["platform_application_is_paused"])
        enable_account(account_id=account_id, trigger=trigger)
    return len(account_ids)


def find_account(account_id: int) -> CloudAccount | None:
    """Read an account with its user; None if it is gone."""
    return CloudAccount.objects.select_related("user").filter(id=account_id).first()


def turn_off(account: CloudAccount, trigger: Trigger, *, origin: str | None) -> None:
    """Mark a locked account disabled; with an origin also write power-off events."""
    if account.is_enabled:
        record(account, Change.DISABLED, trigger=trigger, from_state=state_of(account))
        account.is_enabled = False
        account.save(update_fields=["is_enabled"])
    if origin is not None:
        switch_off_instances(account, origin=origin)


def tell_unavailable(account: CloudAccount, message: str = "") -> None:
    """Report to sources that an account's application cannot be used; nothing of synthetic ones."""
    if not account.is_synthetic:
        notify_unavailable(
            tenant=tenant_of_account(account),
            application_id=account.platform_application_id,
            error=message,
        )


def _tell_available(account: CloudAccount) -> None:
    if not account.is_synthetic:
        notify_available(
            tenant=tenant_of_account(account), application_id=account.platform_application_id
        )


def _tell_code(account: CloudAccount, code: ErrorCode, detail: str) -> None:
    if not account.is_synthetic:
        notify_code(
            tenant=tenant_of_account(account),
            application_id=account.platform_application_id,
            code=code,
            detail=detail,
        )


def _accounts_of(application_id: int) -> list[int]:
    accounts = CloudAccount.objects.filter(platform_application_id=application_id)
    return list(accounts.order_by("id").values_list("id", flat=True))


def _pause(account_id: int, trigger: Trigger) -> None:
    with locked_account(account_id) as account:
        if account is None:
            return
        if not account.platform_application_is_paused:
            record(account, Change.PAUSED, trigger=trigger, from_state=state_of(account))
            account.platform_application_is_paused = True
            account.save(update_fields=["platform_application_is_paused"])
        turn_off(account, trigger, origin=InstanceEvent.Origin.PAUSE)
    release(AccountRef.of(account))


def _confirm(seen: CloudAccount, ref: AccountRef, trigger: Trigger) -> bool:
    """Enable an account that its cloud is ready for, unless it has changed meanwhile."""
    with locked_account(seen.id) as account:
        if account is not None and _is_still(account, ref):
            _turn_on(account, trigger)
        else:
            account = None
    if account is None:
        logger.info("Account %s was deleted, moved or paused while it was verified", ref.id)
        release(ref)
    return account is not None


def _welcome(account: CloudAccount, ref: AccountRef) -> None:
    """Look at the instances of an account that is enabled, and tell sources."""
    if not account.is_synthetic:
        provider_for(ref.cloud_type).discover(ref)
    _tell_available(account)


def _is_still(account: CloudAccount, ref: AccountRef) -> bool:
    return not account.platform_application_is_paused and AccountRef.of(account) == ref


def _turn_on(account: CloudAccount, trigger: Trigger) -> None:
    if account.is_enabled:
        record(account, Change.VERIFIED, trigger=trigger, from_state=state_of(account))
        return
    record(account, Change.ENABLED, trigger=trigger, from_state=state_of(account))
    account.is_enabled = True
    # Events before this moment do not count, so it must not be a worker's whose clock is ahead.
    account.enabled_at = postgres.now()
    account.missing_since = None
    account.save(update_fields=["is_enabled", "enabled_at", "missing_since"])


def _report_verified(seen: CloudAccount, trigger: Trigger) -> bool:
    with locked_account(seen.id) as account:
        if account is None:
            return False
        record(account, Change.VERIFIED, trigger=trigger, from_state=state_of(account))
    _tell_available(account)
    return True


def _refuse(seen: CloudAccount, refusal: RefusedAccountError, trigger: Trigger) -> bool:
    """Return what is wrong. An account that was disabled is disabled once more, to leave no trace.

    One that was enabled stays so (decision 3), and one that is paused stays as it is.
    """
    with locked_account(seen.id) as account:
        if account is None:
            return False
        state = state_of(account)
        record(account, Change.FAILED, trigger=trigger, from_state=state, code=refusal.code)
        if state == Change.DISABLED:
            turn_off(account, trigger, origin=InstanceEvent.Origin.DISABLE)
    if state == Change.DISABLED:
        release(AccountRef.of(account))
    _tell_code(account, refusal.code, refusal.detail)
    return False
