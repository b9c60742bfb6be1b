"""Delete cloud accounts, and users who have none left (spec 03 §9)."""

import datetime
import logging

from django.conf import settings
from django.db import IntegrityError
from django.db.models import QuerySet

from api.accounts.erasure import erase_instances
from api.accounts.lifecycle import tell_unavailable, turn_off
from api.accounts.locking import locked_account
from api.accounts.states import Change, Trigger, record, state_of
from api.accounts.verification import release
from api.clouds.provider import AccountRef, provider_for
from api.models import CloudAccount, User
from api.models.locking import lock_users
from api.push import outbox
from util import postgres

logger = logging.getLogger(__name__)

USERS_AT_ONCE = 100


def delete_account(*, account_id: int, trigger: Trigger, only_if_missing: bool = False) -> bool:
    """Delete an account with everything that hangs on it; returns whether there was one.

    With ``only_if_missing`` an account stays whose source has appeared again (decision 35).

    The account is disabled, its trail's removal queued and sources told before anything is deleted:
    should the process die in between, the account looks disabled and can be deleted again. Its user
    goes too if it was the last account, unless permanent. No power-off events are written.
    """
    with locked_account(account_id) as account:
        if account is None:
            logger.info("Account %s is gone already", account_id)
            return False
        if only_if_missing and account.missing_since is None:
            logger.info("Account %s has its source again and is not deleted", account_id)
            return False
        turn_off(account, trigger, origin=None)
    ref = AccountRef.of(account)
    release(ref)
    tell_unavailable(account)
    with locked_account(account_id) as account:
        if account is None:
            return False
        enabled_meanwhile = account.is_enabled
        record(account, Change.DELETED, trigger=trigger, from_state=state_of(account))
        erase_instances(account)
        account.delete()
        delete_user_if_unused(user_id=account.user_id)
    if enabled_meanwhile:
        release(ref)
    if not ref.is_synthetic:
        provider_for(ref.cloud_type).forget(ref)
    return True


def delete_user_if_unused(*, user_id: int) -> bool:
    """Delete a user who has no account and is not permanent; returns whether that was so."""
    with lock_users([user_id]):
        user = User.objects.select_for_update().filter(id=user_id, is_permanent=False).first()
        if user is None or CloudAccount.objects.filter(user_id=user_id).exists():
            return False
        outbox.withdraw([user_id])
        user.delete()
    logger.info("User %s was deleted", user_id)
    return True


def delete_inactive_users() -> int:
    """Delete users who joined long enough ago and have no account; returns how many there were."""
    min_age = datetime.timedelta(seconds=settings.DELETE_INACTIVE_USERS_MIN_AGE)
    joined_before = postgres.now() - min_age
    inactive = User.objects.filter(
        is_superuser=False, date_joined__lt=joined_before, cloud_accounts__isnull=True
    )
    found = list(inactive.order_by("id").values_list("id", flat=True))
    deleted = 0
    for first in range(0, len(found), USERS_AT_ONCE):
        deleted += _delete_if_inactive(inactive, found[first : first + USERS_AT_ONCE])
    logger.info("Found %s inactive users, deleted %s", len(found), deleted)
    return deleted


def _delete_if_inactive(inactive: QuerySet[User], user_ids: list[int]) -> int:
    try:
        with lock_users(user_ids) as held:
            removable = inactive.filter(id__in=held, is_permanent=False)
            going = list(removable.values_list("id", flat=True))
            outbox.withdraw(going)
            _, by_model = User.objects.filter(id__in=going).delete()
    except IntegrityError:
        # One of them has just been given something that refers to him: the next run sees who.
        logger.warning("Some of users %s are not inactive any more", user_ids, exc_info=True)
        return 0
    return by_model.get(User._meta.label, 0)
