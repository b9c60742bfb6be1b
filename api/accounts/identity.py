"""From the text that a customer gave the sources service to the cloud account it means (03 §5)."""

import dataclasses
import re
from collections.abc import Mapping
from dataclasses import dataclass
from uuid import UUID

from django.db.models import Q

from api.accounts.errors import DuplicateAccountError, InvalidTokenError
from api.clouds.aws.arn import InvalidArnError, parse_arn
from api.clouds.provider import AccountRef
from api.models import CloudAccount, CloudType
from api.sources.codes import ErrorCode

INVALID: Mapping[str, ErrorCode] = {
    str(CloudType.AWS): ErrorCode.CG1004,
    str(CloudType.AZURE): ErrorCode.CG1006,
}
"""The code of an ARN or subscription id that cannot be used, by cloud."""

UNSTORED_ID = 0
"""Id of an account that has no row."""

_UUID_DIGITS = re.compile(r"[0-9a-fA-F]{32}")


@dataclass(frozen=True, slots=True)
class CloudIdentity:
    """The columns of an account by which its cloud knows it."""

    cloud_type: str
    aws_account_id: str | None = None
    account_arn: str | None = None
    subscription_id: UUID | None = None

    @property
    def columns(self) -> dict[str, str | UUID | None]:
        """The columns as an account stores them."""
        return dataclasses.asdict(self)

    def ref(self) -> AccountRef:
        """Return what a provider needs, for an account that is not stored yet."""
        return AccountRef(id=UNSTORED_ID, is_synthetic=False, **dataclasses.asdict(self))

    def is_cloud_account_of(self, account: CloudAccount) -> bool:
        """Return whether it is the same AWS account or subscription, though maybe another role."""
        return (self.cloud_type, self.aws_account_id, self.subscription_id) == (
            account.cloud_type,
            account.aws_account_id,
            account.subscription_id,
        )


def identify(*, cloud_type: str, token: object) -> CloudIdentity:
    """Read an ARN or a subscription id. Raises ``InvalidTokenError``."""
    text = token if isinstance(token, str) else ""
    return _aws_identity(text) if cloud_type == CloudType.AWS else _azure_identity(text)


def _aws_identity(token: str) -> CloudIdentity:
    try:
        arn = parse_arn(token)
    except InvalidArnError as error:
        raise InvalidTokenError(INVALID[str(CloudType.AWS)], str(error)) from error
    return CloudIdentity(str(CloudType.AWS), aws_account_id=arn.account_id, account_arn=arn.text)


def _azure_identity(token: str) -> CloudIdentity:
    # As lenient as UUID() itself, which would take blanks and underscores for digits as well.
    digits = token.replace("urn:", "").replace("uuid:", "").strip("{}").replace("-", "")
    if not _UUID_DIGITS.fullmatch(digits):
        raise InvalidTokenError(INVALID[str(CloudType.AZURE)], f"{token!r} is no UUID")
    return CloudIdentity(str(CloudType.AZURE), subscription_id=UUID(digits))


def refuse_duplicate(identity: CloudIdentity, *, but: int = UNSTORED_ID) -> None:
    """Raise ``DuplicateAccountError`` if any customer's account, ``but`` one, has this identity."""
    taken = (
        CloudAccount.objects.filter(
            Q(account_arn=identity.account_arn, account_arn__isnull=False)
            | Q(aws_account_id=identity.aws_account_id, aws_account_id__isnull=False)
            | Q(subscription_id=identity.subscription_id, subscription_id__isnull=False)
        )
        .exclude(id=but)
        .values_list("id", "account_arn")
    )
    for account_id, arn in taken:
        if identity.cloud_type == CloudType.AZURE:
            code = ErrorCode.CG1005
        else:
            code = ErrorCode.CG1001 if arn == identity.account_arn else ErrorCode.CG1002
        raise DuplicateAccountError(code, f"account {account_id} has it")
