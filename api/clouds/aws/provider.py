"""AWS as the life of accounts sees it (spec 04 §4, §6)."""

import datetime
import logging
from collections.abc import Iterator
from contextlib import contextmanager

from botocore.exceptions import ClientError

from api import outbox
from api.clouds.aws.arn import Arn, parse_arn
from api.clouds.aws.cloudtrail.trail import LIMIT_EXCEEDED, configure_trail, removal_key
from api.clouds.aws.describe.requests import DESCRIBE, discovery_key
from api.clouds.aws.errors import code_of, is_access_denied, is_transient
from api.clouds.aws.policy import refused_actions
from api.clouds.aws.session import clients, own_account_id
from api.clouds.provider import (
    AccountRef,
    TransientCloudError,
    VerificationFailedError,
    VerificationProblem,
)
from api.models import CloudType

logger = logging.getLogger(__name__)

DELETE_TRAIL = "api.clouds.aws.tasks.delete_cloudtrail"


class AwsProvider:
    """The way to AWS; ``api.clouds.provider.Provider`` says what each method promises."""

    cloud_type = str(CloudType.AWS)

    def is_own(self, account: AccountRef) -> bool:
        """Return whether it is the account of our credentials, in whatever partition."""
        with _findings(account):
            return account.aws_account_id == own_account_id()

    def verify(self, account: AccountRef) -> None:
        """Assume the role and try every action of the policy (spec 04 §3.4)."""
        arn = _arn(account)
        # A session from before would not show that the role has gone.
        clients.forget(arn)
        with _findings(account):
            refused = refused_actions(clients.of_customer(arn, "ec2"))
        if refused:
            raise VerificationFailedError(VerificationProblem.POLICY, ", ".join(refused))

    def configure(self, account: AccountRef) -> None:
        """Create or update the trail."""
        with _findings(account):
            configure_trail(_arn(account))

    def release(self, account: AccountRef) -> None:
        """Queue the deletion of the trail; it works without the account's row."""
        key = removal_key(account.aws_account_id or "")
        outbox.send(key, DELETE_TRAIL, account.account_arn, account.aws_account_id)

    def last_removal(self, account: AccountRef) -> datetime.datetime | None:
        """Return when the trail was last deleted."""
        return outbox.last_done(removal_key(account.aws_account_id or ""))

    def forget(self, account: AccountRef) -> None:
        """Do nothing: a role is the customer's own to delete."""

    def discover(self, account: AccountRef) -> None:
        """Queue the description of all instances."""
        outbox.send(discovery_key(account.id), DESCRIBE, account.id)


def _arn(account: AccountRef) -> Arn:
    return parse_arn(account.account_arn or "")


@contextmanager
def _findings(account: AccountRef) -> Iterator[None]:
    """Say what an error means for the account (spec 04 §6.1, §6.2)."""
    try:
        yield
    except Exception as error:
        if is_transient(error):
            # An answer of AWS is told as its refusals are, in the end (spec 04 §6.1).
            finding = VerificationProblem.ACCESS if code_of(error) else VerificationProblem.UNKNOWN
            raise TransientCloudError(str(error), finding=finding) from error
        raise VerificationFailedError(_finding(account, error), str(error)) from error


def _finding(account: AccountRef, error: Exception) -> VerificationProblem:
    number = account.aws_account_id
    if not isinstance(error, ClientError):
        logger.error("Could not verify AWS account %s", number, exc_info=error)
        return VerificationProblem.UNKNOWN
    if code_of(error) == LIMIT_EXCEEDED:
        return VerificationProblem.TRAIL_LIMIT
    level = logging.WARNING if is_access_denied(error) else logging.ERROR
    logger.log(level, "AWS account %s refuses us: %s", number, error)
    return VerificationProblem.ACCESS
