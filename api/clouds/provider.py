"""What each cloud must offer to the life of accounts, and where to find it.

The services above (``api.accounts``) know no cloud by name: they ask the registry. A cloud knows
neither the sources service nor its error codes: it says what it found, in terms of
``VerificationProblem``.
"""

import datetime
import enum
from dataclasses import dataclass
from typing import Protocol
from uuid import UUID

from api.models import CloudAccount


class VerificationProblem(enum.Enum):
    """What a verification found wrong (spec 03 §6.6)."""

    POLICY = "at least one action of the policy is refused"
    ACCESS = "the cloud refuses us"
    TRAIL_LIMIT = "the account has no room for another trail"
    NOT_VISIBLE = "the subscription is not delegated to us"
    UNKNOWN = "anything else"


class VerificationFailedError(Exception):
    """The cloud account cannot be metered as it is."""

    def __init__(self, finding: VerificationProblem, detail: str = ""):
        super().__init__(finding, detail)
        self.finding = finding
        self.detail = detail


class TransientCloudError(Exception):
    """The cloud is throttling us or out of order; the same call may succeed later.

    ``finding`` is what the customer is told if it goes on for long, ``retry_after`` for how many
    seconds the cloud asks us to stay away, if it does.
    """

    def __init__(
        self,
        *details: str,
        finding: VerificationProblem = VerificationProblem.UNKNOWN,
        retry_after: float | None = None,
    ):
        super().__init__(*details)
        self.finding = finding
        self.retry_after = retry_after


@dataclass(frozen=True, slots=True)
class AccountRef:
    """What is needed to reach a cloud account, even when its row is gone."""

    id: int
    cloud_type: str
    aws_account_id: str | None
    account_arn: str | None
    subscription_id: UUID | None
    is_synthetic: bool

    @property
    def cloud_account_number(self) -> str:
        """The cloud's own id as text: 12 digits for AWS, a lower-case UUID for Azure."""
        return self.aws_account_id or str(self.subscription_id)

    @classmethod
    def of(cls, account: CloudAccount) -> "AccountRef":
        """Take the reference from a stored account."""
        return cls(
            id=account.id,
            cloud_type=account.cloud_type,
            aws_account_id=account.aws_account_id,
            account_arn=account.account_arn,
            subscription_id=account.subscription_id,
            is_synthetic=account.is_synthetic,
        )


class Provider(Protocol):
    """One cloud. No method is called inside a database transaction, unless it says so."""

    cloud_type: str

    def is_own(self, account: AccountRef) -> bool:
        """Return whether the account is our own or our tenant's, and so nobody may register it.

        It is asked before anything else is (decisions 36 and 51). Raises
        ``VerificationFailedError`` or ``TransientCloudError``.
        """

    def verify(self, account: AccountRef) -> None:
        """Check that we may do what metering needs, changing nothing.

        Raises ``VerificationFailedError`` or ``TransientCloudError``.
        """

    def configure(self, account: AccountRef) -> None:
        """Set up what reports the account's events to us; repeating it does no harm.

        Raises ``VerificationFailedError`` or ``TransientCloudError``.
        """

    def release(self, account: AccountRef) -> None:
        """Queue the removal of what ``configure`` set up, after commit; never fails.

        It may be called inside a transaction. Nothing is removed of an account that is enabled by
        then.
        """

    def last_removal(self, account: AccountRef) -> datetime.datetime | None:
        """Return when a queued removal was last carried out; None: never, or long ago."""

    def forget(self, account: AccountRef) -> None:
        """Queue giving back the customer's delegation once the account is deleted; never fails."""

    def discover(self, account: AccountRef) -> None:
        """Queue the first look at the account's instances, after commit."""


class UnknownCloudError(LookupError):
    """No such cloud is installed."""


_providers: dict[str, Provider] = {}


def register(provider: Provider) -> None:
    """Install a cloud; done once by ``api.apps`` at start-up."""
    _providers[provider.cloud_type] = provider


def provider_for(cloud_type: str) -> Provider:
    """Find the cloud's provider. Raises ``UnknownCloudError``."""
    try:
        return _providers[cloud_type]
    except KeyError:
        raise UnknownCloudError(cloud_type) from None
