"""Return an account another role, or move it to another AWS account or subscription (03 §6.4 B)."""

import logging

from django.db import IntegrityError, transaction

from api.accounts.erasure import erase_instances
from api.accounts.errors import AccountError
from api.accounts.identity import CloudIdentity, identify, refuse_duplicate
from api.accounts.lifecycle import enable_account, find_account, turn_off
from api.accounts.locking import locked_account
from api.accounts.states import Change, Trigger, record, state_of
from api.accounts.verification import refuse_own, release
from api.clouds.provider import AccountRef, provider_for
from api.models import CloudAccount
from api.sources.messages import Tenant
from api.sources.status import notify_code

logger = logging.getLogger(__name__)


def change_token(*, account_id: int, token: object, tenant: Tenant, trigger: Trigger) -> bool:
    """Store an account's new ARN or subscription id, then enable the account.

    Another AWS account or subscription costs the account all its instances, with their usage; it
    stays the same account to us. ``tenant`` is told if the new identity is invalid or taken: then
    nothing changes. Returns whether the account can be metered. Raises errors that are
    ``WORTH_REPEATING``; then the whole may be repeated.
    """
    account = find_account(account_id)
    if account is None:
        return False
    try:
        identity = identify(cloud_type=account.cloud_type, token=token)
        refuse_own(identity.ref())
        refuse_duplicate(identity, but=account.id)
        if not identity.is_cloud_account_of(account):
            _move(account, identity, trigger)
        else:
            _store(account.id, identity)
    except AccountError as error:
        notify_code(
            tenant=tenant,
            application_id=account.platform_application_id,
            code=error.code,
            detail=error.detail,
        )
        return False
    return enable_account(account_id=account.id, trigger=trigger)


def _move(seen: CloudAccount, identity: CloudIdentity, trigger: Trigger) -> None:
    """Leave the old cloud account, disabled first, so that it never looks alive half moved."""
    old = AccountRef.of(seen)
    with locked_account(seen.id) as account:
        if account is None or AccountRef.of(account) != old:
            logger.info("Account %s changed before it could be moved", seen.id)
            return
        turn_off(account, trigger, origin=None)
    release(old)
    with locked_account(seen.id) as account:
        if account is None or AccountRef.of(account) != old:
            return
        record(account, Change.MOVED, trigger=trigger, from_state=state_of(account))
        erase_instances(account)
        _write(account, identity)
        account.is_enabled = False
        account.save(update_fields=["is_enabled"])
    provider_for(old.cloud_type).forget(old)


def _store(account_id: int, identity: CloudIdentity) -> None:
    with locked_account(account_id) as account:
        if account is not None:
            _write(account, identity)


def _write(account: CloudAccount, identity: CloudIdentity) -> None:
    """Store the identity. Raises ``DuplicateAccountError`` if another account was quicker."""
    for column, value in identity.columns.items():
        setattr(account, column, value)
    try:
        with transaction.atomic():
            account.save(update_fields=list(identity.columns))
    except IntegrityError:
        refuse_duplicate(identity, but=account.id)
        raise
