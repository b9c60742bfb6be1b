"""Tasks for the life of accounts and users (spec 03 §3, §6, §9, §10.3)."""

from typing import Any

from celery import Task
from django.db import DatabaseError

from api import outbox
from api.accounts import cleanup, deletion, lifecycle, translation
from api.accounts.checks import begin_check
from api.accounts.onboarding import (
    APPLICATION_PAUSED_HEADER,
    CREATION_TASKS,
    onboard,
    tell_onboarding_fails,
)
from api.accounts.states import API, KAFKA, Trigger
from api.accounts.verification import WORTH_REPEATING
from api.models import CloudType
from api.sources.messages import Tenant
from api.sources.work import MessageOutcome
from api.tasks.sources import MessageLink, follow
from util.tasks import LONG, RetryPolicy, task

RETRY = RetryPolicy(errors=WORTH_REPEATING)
CHECK_RETRY = RetryPolicy(errors=WORTH_REPEATING, total_seconds=600)
"""An availability check comes again by itself."""

FAILURES_UNTIL_TOLD = 5
"""After so many, that is a minute at most, a customer hears of it, while we go on trying."""


@task(CREATION_TASKS[CloudType.AWS], bind=True, retry=RETRY)
def configure_customer_aws_and_create_cloud_account(
    self: Task,
    username: str | None,
    org_id: str | None,
    customer_arn: str,
    authentication_id: int | str,
    application_id: int | str,
    source_id: int | str,
) -> None:
    """Create the AWS account of an authentication."""
    platform_ids = (authentication_id, application_id, source_id)
    _onboard(self, str(CloudType.AWS), Tenant(username, org_id), customer_arn, platform_ids)


@task(CREATION_TASKS[CloudType.AZURE], bind=True, retry=RETRY)
def check_azure_subscription_and_create_cloud_account(
    self: Task,
    username: str | None,
    org_id: str | None,
    subscription_id: str,
    authentication_id: int | str,
    application_id: int | str,
    source_id: int | str,
) -> None:
    """Create the Azure account of an authentication."""
    platform_ids = (authentication_id, application_id, source_id)
    _onboard(self, str(CloudType.AZURE), Tenant(username, org_id), subscription_id, platform_ids)


@task("api.tasks.enable_account", bind=True, retry=CHECK_RETRY)
def enable_account(self: Task, cloud_account_id: int) -> None:
    """Verify an account, enable it, and tell sources the result."""
    with outbox.run(self.request) as wanted:
        if wanted:
            begin_check(cloud_account_id)
            last = self.request.retries >= CHECK_RETRY.retries
            lifecycle.enable_account(
                account_id=cloud_account_id, trigger=API, retry_transient=not last
            )


@task(
    "api.tasks.delete_cloud_account",
    bind=True,
    retry=RetryPolicy(errors=(DatabaseError,)),
    limit=LONG,
)
def delete_cloud_account(self: Task, cloud_account_id: int) -> None:
    """Delete an account with all that hangs on it."""
    deletion.delete_account(
        account_id=cloud_account_id,
        trigger=Trigger.of_task(self.request.headers),
        only_if_missing=cleanup.IF_MISSING_HEADER in (self.request.headers or {}),
    )


@task("api.tasks.delete_inactive_users", limit=LONG)
def delete_inactive_users() -> None:
    """Delete users without accounts who joined some time ago."""
    deletion.delete_inactive_users()


@task("api.tasks.delete_orphaned_cloud_accounts", limit=LONG)
def delete_orphaned_cloud_accounts() -> None:
    """Disable, and later delete, accounts without their cloud's part and without a source."""
    cleanup.delete_orphaned_accounts()


@task("api.tasks.delete_cloud_accounts_not_in_sources", limit=LONG)
def delete_cloud_accounts_not_in_sources() -> None:
    """Disable accounts whose source is gone, and delete them if that lasts."""
    cleanup.delete_accounts_not_in_sources()


@task("api.tasks.migrate_account_numbers_to_org_ids", limit=LONG)
def migrate_account_numbers_to_org_ids() -> None:
    """Learn missing org ids from the tenant translator."""
    translation.migrate_account_numbers_to_org_ids()


def _onboard(
    running: Task, cloud_type: str, tenant: Tenant, token: str, platform_ids: tuple[Any, Any, Any]
) -> None:
    authentication_id, application_id, source_id = platform_ids
    link = MessageLink.of(running)

    def create(trigger: Trigger, failures: int) -> str:
        try:
            return onboard(
                cloud_type=cloud_type,
                tenant=tenant,
                token=token,
                authentication_id=authentication_id,
                application_id=application_id,
                source_id=source_id,
                trigger=trigger,
                paused=APPLICATION_PAUSED_HEADER in (running.request.headers or {}),
                create_user=link is not None,
            )
        except WORTH_REPEATING as error:
            if failures == FAILURES_UNTIL_TOLD:
                tell_onboarding_fails(tenant=tenant, application_id=application_id, error=error)
            raise

    if link is not None:
        follow(
            running,
            link,
            lambda stored: MessageOutcome(create(Trigger.of_message(stored), stored.attempts)),
        )
    else:
        create(KAFKA, running.request.retries)
