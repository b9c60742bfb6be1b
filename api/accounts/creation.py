"""Create cloud accounts (spec 03 §6.2, §6.3)."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from django.db import IntegrityError, transaction

from api.accounts.errors import (
    AccountError,
    DuplicateAccountError,
    PlatformIdsTakenError,
    UserGoneError,
)
from api.accounts.identity import CloudIdentity, identify, refuse_duplicate
from api.accounts.lifecycle import enable_account
from api.accounts.states import Change, Trigger, record, record_refusal
from api.accounts.verification import prepare, refuse_own, release, verify
from api.clouds.provider import AccountRef, provider_for
from api.models import CloudAccount, User
from api.models.locking import lock_users
from api.sources.codes import ErrorCode
from api.sources.messages import Tenant, platform_id
from api.sources.status import notify_available, notify_code
from util import postgres
from util.time_limit import TimeLimitReached

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class PlatformIds:
    """What the sources service calls an account."""

    authentication_id: int
    application_id: int
    source_id: int

    @classmethod
    def read(
        cls, authentication_id: object, application_id: object, source_id: object
    ) -> "PlatformIds | None":
        """Take the ids as sources spells them; None if one of them is no number."""
        authentication = platform_id(authentication_id)
        application = platform_id(application_id)
        source = platform_id(source_id)
        if authentication is None or application is None or source is None:
            return None
        return cls(authentication_id=authentication, application_id=application, source_id=source)


def create_account(
    *,
    user: User,
    cloud_type: str,
    token: object,
    platform_ids: PlatformIds,
    trigger: Trigger,
    paused: bool = False,
    retry_transient: bool = True,
) -> CloudAccount:
    """Create an account and enable it, or leave nothing behind; either way sources is told.

    ``token`` is the ARN or the subscription id. With ``paused`` the account is only verified, and
    waits, disabled, for the end of its application's pause. Not to be called in a transaction.

    Raises an ``AccountError`` that carries the code told to sources, or an error that is
    ``WORTH_REPEATING``, of which sources was not told; unless ``retry_transient``, a cloud that is
    out of order counts as a refusal.
    """
    tenant = Tenant(user.account_number, user.org_id)
    try:
        identity = identify(cloud_type=cloud_type, token=token)
        account, undone = _create(user, identity, platform_ids, trigger, paused, retry_transient)
    except AccountError as error:
        notify_code(
            tenant=tenant,
            application_id=platform_ids.application_id,
            code=error.code,
            detail=error.detail,
        )
        raise
    if undone:
        enable_account(account_id=account.id, trigger=trigger, retry_transient=retry_transient)
        return account
    if not paused:
        provider_for(cloud_type).discover(AccountRef.of(account))
    notify_available(tenant=tenant, application_id=platform_ids.application_id)
    return account


def _create(
    user: User,
    identity: CloudIdentity,
    platform_ids: PlatformIds,
    trigger: Trigger,
    paused: bool,
    retry_transient: bool,
) -> tuple[CloudAccount, bool]:
    """Return the new account, and whether it has to be set up once more."""
    ref = identity.ref()
    with _refusal_recorded(ref, user, platform_ids, trigger):
        refuse_own(ref, retry_transient=retry_transient)
    refuse_duplicate(identity)
    prepared = None
    with _refusal_recorded(ref, user, platform_ids, trigger):
        if paused:
            verify(ref, retry_transient=retry_transient)
        else:
            prepared = prepare(ref, retry_transient=retry_transient)
    try:
        account = _store(user, identity, platform_ids, trigger, paused)
    except (Exception, TimeLimitReached):
        # Removes what was set up, unless an account that was quicker needs it.
        release(ref)
        raise
    return account, prepared is not None and prepared.is_undone()


@contextmanager
def _refusal_recorded(
    ref: AccountRef, user: User, platform_ids: PlatformIds, trigger: Trigger
) -> Iterator[None]:
    """Write down that the cloud was asked, and why the account is refused."""
    try:
        yield
    except AccountError as refusal:
        record_refusal(
            ref,
            user.id,
            trigger=trigger,
            code=refusal.code,
            application_id=platform_ids.application_id,
        )
        raise


def _store(
    user: User,
    identity: CloudIdentity,
    platform_ids: PlatformIds,
    trigger: Trigger,
    paused: bool,
) -> CloudAccount:
    with lock_users([user.id]) as held:
        if not held:
            raise UserGoneError(ErrorCode.CG1000, f"user {user.id} was deleted meanwhile")
        # Events before these moments do not count, so they must not be a worker's whose clock is
        # ahead (decision 41).
        now = postgres.now()
        account = CloudAccount(
            user=user,
            created_at=now,
            updated_at=now,
            is_enabled=not paused,
            enabled_at=None if paused else now,
            platform_application_is_paused=paused,
            platform_authentication_id=platform_ids.authentication_id,
            platform_application_id=platform_ids.application_id,
            platform_source_id=platform_ids.source_id,
            **identity.columns,
        )
        try:
            with transaction.atomic():
                account.save(force_insert=True)
        except IntegrityError as error:
            raise _collision(identity, platform_ids) from error
        record(account, Change.CREATED, trigger=trigger)
        if paused:
            record(account, Change.PAUSED, trigger=trigger, from_state=Change.CREATED)
        else:
            record(account, Change.ENABLED, trigger=trigger, from_state=Change.CREATED)
    return account


def _collision(identity: CloudIdentity, platform_ids: PlatformIds) -> AccountError:
    """Return which unique value another account got first."""
    try:
        refuse_duplicate(identity)
    except DuplicateAccountError as duplicate:
        return duplicate
    return PlatformIdsTakenError(
        ErrorCode.CG3000,
        f"authentication {platform_ids.authentication_id} and application "
        f"{platform_ids.application_id} belong to another account",
    )
