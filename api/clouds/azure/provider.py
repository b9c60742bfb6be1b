"""Azure as the life of accounts sees it (spec 06 §2)."""

from collections.abc import Iterator
from contextlib import contextmanager

from api import outbox
from api.clouds.azure.errors import AzureRefusedError
from api.clouds.azure.own import is_own_subscription, is_own_tenant
from api.clouds.azure.visibility import listing
from api.clouds.provider import AccountRef, VerificationFailedError, VerificationProblem
from api.models import CloudType

DISCOVER = "api.clouds.azure.tasks.initial_azure_vm_discovery"
REMOVE_ASSIGNMENT = "api.clouds.azure.tasks.remove_lighthouse_assignment"


class AzureProvider:
    """The way to Azure; ``api.clouds.provider.Provider`` says what each method promises."""

    cloud_type = str(CloudType.AZURE)

    def is_own(self, account: AccountRef) -> bool:
        """Return whether it is the subscription that we ourselves use, or one of our tenant."""
        assert account.subscription_id is not None
        if is_own_subscription(account.subscription_id):
            return True
        with _findings():
            tenant = listing.tenant_of(account.subscription_id)
        return tenant is not None and is_own_tenant(tenant)

    def verify(self, account: AccountRef) -> None:
        """Look for the subscription among those that are delegated to us (spec 06 §2.3)."""
        assert account.subscription_id is not None
        with _findings():
            visible = listing.contains(account.subscription_id)
        if not visible:
            raise VerificationFailedError(
                VerificationProblem.NOT_VISIBLE, str(account.subscription_id)
            )

    def configure(self, account: AccountRef) -> None:
        """Do nothing: there is nothing to set up, polls ask for everything."""

    def release(self, account: AccountRef) -> None:
        """Do nothing: nothing was set up."""

    def last_removal(self, account: AccountRef) -> None:
        """Nothing was ever removed."""

    def forget(self, account: AccountRef) -> None:
        """Queue giving back the delegation; it works without the account's row."""
        key = f"assignment of {account.subscription_id}"
        outbox.send(key, REMOVE_ASSIGNMENT, account.subscription_id)

    def discover(self, account: AccountRef) -> None:
        """Queue the first poll."""
        outbox.send(f"discovery of account {account.id}", DISCOVER, account.id)


@contextmanager
def _findings() -> Iterator[None]:
    """Raise what Azure refuses as the finding that it is."""
    try:
        yield
    except AzureRefusedError as refusal:
        raise VerificationFailedError(VerificationProblem.UNKNOWN, str(refusal)) from refusal
