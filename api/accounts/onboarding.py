"""The last step of a create message: from a token to an account (spec 03 §6.2, §6.3, §6.7)."""

import logging
from collections.abc import Mapping
from typing import Any

from api.accounts.creation import PlatformIds, create_account
from api.accounts.errors import AccountError, UserGoneError
from api.accounts.lifecycle import enable_account
from api.accounts.relocation import change_token
from api.accounts.states import Trigger
from api.accounts.users import UserConflictError, find_user, get_or_create_user
from api.accounts.verification import code_of
from api.models import CloudAccount, CloudType, User
from api.sources.codes import ErrorCode
from api.sources.messages import Tenant
from api.sources.status import notify_code
from util.metrics import counter

logger = logging.getLogger(__name__)

FOREIGN_MESSAGES = counter(
    "cloudigrade_foreign_creations_total",
    "Messages that would have changed the account of another customer.",
)

CREATION_TASKS: Mapping[Any, str] = {
    CloudType.AWS: "api.clouds.aws.tasks.configure_customer_aws_and_create_cloud_account",
    str(
        CloudType.AZURE
    ): "api.clouds.azure.tasks.check_azure_subscription_and_create_cloud_account",
}

APPLICATION_PAUSED_HEADER = "application_paused"
"""Header of a creation task's Celery message: present if the application was paused already."""


def onboard(
    *,
    cloud_type: str,
    tenant: Tenant,
    token: object,
    authentication_id: object,
    application_id: object,
    source_id: object,
    trigger: Trigger,
    paused: bool = False,
    create_user: bool = False,
) -> str:
    """Create the account that a customer added in sources; returns in words what came of it.

    An account that exists already is enabled again, with a new token if that has changed: messages
    may come more than once. ``create_user`` makes a user who was deleted since the message came; by
    default his absence is an error that the customer is told. Raises errors that are
    ``WORTH_REPEATING``.
    """
    platform_ids = PlatformIds.read(authentication_id, application_id, source_id)
    if platform_ids is None:
        logger.error(
            "No account is created for authentication %r, application %r, source %r",
            authentication_id,
            application_id,
            source_id,
        )
        return "an id is no number"
    user = _find_user(tenant, create_user)
    if user is None:
        notify_code(
            tenant=tenant,
            application_id=application_id,
            code=ErrorCode.CG1000,
            detail=f"there is no user for {tenant}",
        )
        return ErrorCode.CG1000.name
    known = CloudAccount.objects.filter(
        platform_authentication_id=platform_ids.authentication_id,
        platform_application_id=platform_ids.application_id,
        cloud_type=cloud_type,
    ).first()
    if known is not None:
        return _repeat(known, user, token, tenant, trigger)
    try:
        account = create_account(
            user=user,
            cloud_type=cloud_type,
            token=token,
            platform_ids=platform_ids,
            trigger=trigger,
            paused=paused,
        )
    except UserGoneError:
        if create_user:
            raise
        return ErrorCode.CG1000.name
    except AccountError as error:
        return f"{error.code.name} {error.detail}"
    return f"account {account.id} was created"


def tell_onboarding_fails(*, tenant: Tenant, application_id: object, error: BaseException) -> None:
    """Report to the customer that his account could not be created so far, for no fault of his."""
    notify_code(
        tenant=tenant,
        application_id=application_id,
        code=code_of(error),
        detail=f"creation fails again and again: {error}",
    )


def _find_user(tenant: Tenant, create: bool) -> User | None:
    if not create:
        return find_user(account_number=tenant.account_number, org_id=tenant.org_id)
    try:
        return get_or_create_user(account_number=tenant.account_number, org_id=tenant.org_id)
    except UserConflictError:
        return None


def _repeat(
    account: CloudAccount, user: User, token: object, tenant: Tenant, trigger: Trigger
) -> str:
    """Enable an account again; its own customer, and nobody else, may change its token."""
    if account.user_id == user.id:
        usable = change_token(account_id=account.id, token=token, tenant=tenant, trigger=trigger)
    else:
        FOREIGN_MESSAGES.inc()
        logger.error("Account %s is not of %s, who created it once more", account, user)
        usable = enable_account(account_id=account.id, trigger=trigger)
    return f"account {account.id} existed already and can{'' if usable else 'not'} be metered"
