"""Tasks of the Azure pipeline (spec 06 §1.3); creating accounts is in ``api.tasks.accounts``."""

from typing import Any
from uuid import UUID

from api import outbox
from api.clouds.azure.assignments import remove_assignment
from api.clouds.azure.definitions import repopulate_definitions
from api.clouds.azure.discovery import discover_account, poll_subscription, start_polls
from api.clouds.azure.errors import AzureLoginError
from api.clouds.provider import TransientCloudError
from util.tasks import LONG, RetryPolicy, task

PERSISTENT = RetryPolicy(errors=(TransientCloudError,))
WITHIN_THE_PERIOD = RetryPolicy(errors=(TransientCloudError,), total_seconds=900)
"""The next round of polls comes anyhow."""


@task(
    "api.clouds.azure.tasks.initial_azure_vm_discovery",
    retry=RetryPolicy(errors=(TransientCloudError, AzureLoginError)),
    limit=LONG,
    bind=True,
)
def initial_azure_vm_discovery(self: Any, azure_cloud_account_id: int) -> None:
    """Poll an account for the first time, or again because somebody asks for it."""
    with outbox.run(self.request) as wanted:
        if wanted:
            discover_account(account_id=int(azure_cloud_account_id), **_attempt(self))


@task("api.clouds.azure.tasks.update_azure_instance_events", limit=LONG)
def update_azure_instance_events() -> None:
    """Queue a poll of every subscription."""
    start_polls()


@task(
    "api.clouds.azure.tasks.update_azure_instance_events_for_account",
    retry=WITHIN_THE_PERIOD,
    limit=LONG,
    bind=True,
)
def update_azure_instance_events_for_account(self: Any, cloud_account_id: str) -> None:
    """Poll one subscription; ``cloud_account_id`` is its id (spec 06 §1.3)."""
    poll_subscription(subscription_id=str(cloud_account_id), **_attempt(self))


@task("api.clouds.azure.tasks.repopulate_azure_instance_mapping", retry=PERSISTENT, limit=LONG)
def repopulate_azure_instance_mapping() -> None:
    """Store sizes of virtual machines that are new."""
    repopulate_definitions()


@task(
    "api.clouds.azure.tasks.remove_lighthouse_assignment",
    retry=PERSISTENT,
    limit=LONG,
    bind=True,
)
def remove_lighthouse_assignment(self: Any, subscription_id: str) -> None:
    """Return the delegation of a subscription whose account was deleted."""
    with outbox.run(self.request) as wanted:
        if wanted:
            remove_assignment(subscription_id=UUID(str(subscription_id)))


def _attempt(running: Any) -> dict[str, Any]:
    """Return which task is running, and whether it has failed before."""
    return {"task_id": running.request.id or "", "again": running.request.retries > 0}
