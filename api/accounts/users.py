"""Find, create and merge customers (spec 03 §10.1, decisions 4, 8, 26)."""

import logging
from typing import NamedTuple

from django.db import IntegrityError, OperationalError, transaction

from api.models import CloudAccount, User
from api.models.locking import lock_users
from api.push import outbox
from api.sources.messages import TENANT_ID_LENGTH
from util import postgres
from util.metrics import counter

logger = logging.getLogger(__name__)

ATTEMPTS = 5
"""Another worker may create or change the same user while we look."""

CONFLICTS = counter(
    "cloudigrade_user_conflicts_total",
    "Pairs of account number and org id that did not fit the users we know.",
    ("kind",),
)


class UserConflictError(Exception):
    """The account number and the org id belong to different customers (decisions 4, 26)."""


class UnusableIdError(ValueError):
    """No customer can have such an account number or org id; ``field`` names which it is."""

    def __init__(self, field: str) -> None:
        super().__init__(f"{field} has more than {TENANT_ID_LENGTH} characters")
        self.field = field


def find_user(*, account_number: str | None, org_id: str | None) -> User | None:
    """Find a user by account number and org id if both are given, else by the one given."""
    wanted = {"account_number": account_number, "org_id": org_id}
    columns = {name: value for name, value in wanted.items() if value}
    return User.objects.filter(**columns).first() if columns else None


def get_or_create_user(*, account_number: str | None, org_id: str | None) -> User:
    """Find the customer with these identifiers, complete what we know of him, or create him.

    Works for several callers at once: they end up with the same user. Raises ``ValueError`` without
    any identifier, ``UnusableIdError`` for one that is too long, ``UserConflictError`` if the two
    belong to different customers: then nothing was changed, and trying again will not help.
    """
    account_number, org_id = account_number or None, org_id or None
    if not account_number and not org_id:
        raise ValueError("A user needs an account number or an org id")
    for field, text in (("account_number", account_number), ("org_id", org_id)):
        if len(text or "") > TENANT_ID_LENGTH:
            raise UnusableIdError(field)
    for _ in range(ATTEMPTS):
        try:
            with transaction.atomic():
                return _get_or_create(account_number, org_id)
        except (IntegrityError, _ChangedError):
            logger.info("Account %s, org %s is being changed elsewhere", account_number, org_id)
    raise OperationalError(f"account {account_number}, org {org_id} changed again and again")


class _ChangedError(Exception):
    """Another worker changed the users that we were about to change."""


class _Found(NamedTuple):
    by_account: User | None
    by_org: User | None

    @property
    def ids(self) -> list[int]:
        return [user.id for user in self if user is not None]


def _find(account_number: str | None, org_id: str | None) -> _Found:
    return _Found(
        find_user(account_number=account_number, org_id=None),
        find_user(account_number=None, org_id=org_id),
    )


def _get_or_create(account_number: str | None, org_id: str | None) -> User:
    found = _find(account_number, org_id)
    if found.by_account is not None and (not org_id or found.by_account.org_id):
        return _as_he_is(found.by_account, org_id)
    if found.by_org is not None and not account_number:
        return found.by_org
    if not found.ids:
        return User.objects.create_user(
            account_number=account_number, org_id=org_id, date_joined=postgres.now()
        )
    with lock_users(found.ids):
        still_found = _find(account_number, org_id)
        if still_found != found:
            raise _ChangedError
        return _complete(account_number, org_id, *still_found)


def _as_he_is(user: User, org_id: str | None) -> User:
    if org_id and user.org_id != org_id:
        logger.warning("Org %s was sent for %s, who is left unchanged", org_id, user)
    return user


def _complete(
    account_number: str | None, org_id: str | None, by_account: User | None, by_org: User | None
) -> User:
    """Return the customer the identifier that he lacks, as far as it is not another's."""
    if by_account is not None and by_org is not None:
        if by_org.account_number is None:
            return _merge(by_account, by_org)
        _count("org_id_of_other_account", account_number, org_id)
        return by_account
    if by_account is not None:
        by_account.org_id = org_id
        by_account.save(update_fields=["org_id"])
        outbox.record_again(by_account.id)
        return by_account
    assert by_org is not None
    if by_org.account_number is not None:
        _count("org_id_of_other_account", account_number, org_id)
        raise UserConflictError(f"org {org_id} has account number {by_org.account_number}")
    by_org.account_number = account_number
    by_org.save(update_fields=["account_number"])
    outbox.record_again(by_org.id)
    return by_org


def _merge(by_account: User, by_org: User) -> User:
    """Make one user of two; the one with accounts stays, else the one with the account number."""
    accounts = CloudAccount.objects.filter(user_id__in=[by_account.id, by_org.id])
    owners = set(accounts.values_list("user_id", flat=True).distinct())
    if len(owners) > 1:
        _count("both_own_accounts", by_account.account_number, by_org.org_id)
        raise UserConflictError(f"{by_account} and {by_org} both own accounts")
    survivor, other = (by_org, by_account) if by_org.id in owners else (by_account, by_org)
    survivor.account_number, survivor.org_id = by_account.account_number, by_org.org_id
    survivor.is_permanent |= other.is_permanent
    logger.info("%s becomes one with user %s", survivor, other.id)
    outbox.hand_over(from_user=other.id, to_user=survivor.id)
    other.delete()
    survivor.save(update_fields=["account_number", "org_id", "is_permanent"])
    return survivor


def _count(kind: str, account_number: str | None, org_id: str | None) -> None:
    CONFLICTS.labels(kind).inc()
    logger.error("Account number %s and org %s conflict: %s", account_number, org_id, kind)
