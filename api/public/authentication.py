"""Who a request is for: identity headers, pre-shared keys and our users (spec 01 §2, 02 §3)."""

import logging

from django.conf import settings
from django.contrib.auth.models import AnonymousUser
from rest_framework.authentication import BaseAuthentication
from rest_framework.exceptions import AuthenticationFailed
from rest_framework.request import Request

from api.models import User
from util.identity import Caller, IdentityError, MissingTenant, read_caller
from util.log_context import set_customer
from util.metrics import counter
from util.replica import connection
from util.request_id import INSIGHTS_HEADER

logger = logging.getLogger(__name__)

tenant_mismatches = counter(
    "cloudigrade_tenant_mismatches_total",
    "Requests with the account number of one customer and the org id of another",
)

_COLUMNS = [column.attname for column in User._meta.concrete_fields]
# Every request begins with this statement. An id that is not given is null and matches nobody.
_FIND = f"SELECT {', '.join(_COLUMNS)} FROM api_user WHERE account_number = %s OR org_id = %s"  # noqa: S608


class IdentityHeaderAuthentication(BaseAuthentication):
    """The rule of the public routes: the caller names a customer, and we know that customer.

    Other routes differ by the class attributes. ``request.auth`` is the ``Caller``. Failures are
    answered with 403, never 401 (spec 01 §2.2).
    """

    tenant_required = True
    """Whether an account number or an org id must be given."""

    user_required = True
    """Whether the customer must be known to us; otherwise the request goes on anonymously."""

    fake_identity_allowed = False
    """Whether the fake identity header stands in for the real one."""

    def authenticate(self, request: Request) -> tuple[User | AnonymousUser, Caller] | None:
        """Return user and caller; None if the headers say nothing of a caller.

        Raises AuthenticationFailed.
        """
        try:
            caller = read_caller(
                request.headers,
                psks=settings.CLOUDIGRADE_PSKS,
                fake_identity_allowed=self.fake_identity_allowed,
            )
            if self.tenant_required:
                _require_tenant(caller)
        except IdentityError as error:
            logger.info("Request refused: %s", error.message)
            raise AuthenticationFailed(error.message) from error
        user = self.find_user(caller) if caller is not None and caller.has_tenant else None
        _log(request, caller, user)
        if user is None and self.user_required:
            raise AuthenticationFailed
        return None if caller is None else (user or AnonymousUser(), caller)

    def find_user(self, caller: Caller) -> User | None:
        """Return the customer that a caller with an account number or an org id means, if known."""
        return find_user(caller)


class UserNotRequiredAuthentication(IdentityHeaderAuthentication):
    """For what customers must see before we know them."""

    user_required = False


class InternalOptionalAuthentication(IdentityHeaderAuthentication):
    """For internal routes: nobody has to say who is calling."""

    tenant_required = False
    user_required = False


class InternalFakeIdentityAuthentication(IdentityHeaderAuthentication):
    """For internal routes on which associates look through a customer's eyes."""

    fake_identity_allowed = True


def find_user(caller: Caller) -> User | None:
    """Return the user with the caller's account number, or else the one with the org id.

    Where the two belong to different customers, a warning is logged: of two users the account
    number's wins, and an account number that nobody has leaves the org id's, whoever that is
    (spec 01 §2.2, README decision 8).
    """
    with connection.cursor() as cursor:
        cursor.execute(_FIND, [caller.account_number, caller.org_id])
        users = [User.from_db(connection.alias, _COLUMNS, row) for row in cursor.fetchall()]
    by_account = [
        user
        for user in users
        if caller.account_number and user.account_number == caller.account_number
    ]
    user = next(iter(by_account or users), None)
    if user is not None and (len(users) > 1 or not _is_same_customer(caller, user)):
        tenant_mismatches.inc()
        logger.warning(
            "Account number %r and org id %r are not one customer's: the request is answered for"
            " user %s",
            caller.account_number,
            caller.org_id,
            user.id,
        )
    return user


def _is_same_customer(caller: Caller, user: User) -> bool:
    """Check whether no id of the caller differs from one that is known of the user."""
    pairs = (
        (caller.account_number, user.account_number),
        (caller.org_id, user.org_id),
    )
    return all(not sent or not known or sent == known for sent, known in pairs)


def _require_tenant(caller: Caller | None) -> None:
    if caller is None:
        raise IdentityError
    if not caller.has_tenant:
        raise MissingTenant


def _log(request: Request, caller: Caller | None, user: User | None) -> None:
    if caller is None:
        return
    set_customer(caller.org_id, caller.account_number)
    logger.info(
        "Request of account %r, org %r, service %s: user %s, insights request %r",
        caller.account_number,
        caller.org_id,
        caller.service,
        user and user.id,
        request.headers.get(INSIGHTS_HEADER),
    )
    if settings.VERBOSE_INSIGHTS_IDENTITY_HEADER_LOGGING and caller.identity is not None:
        logger.info("Identity: %r", caller.identity)
