"""Why an account could not be created, changed or enabled, in the customer's terms (03 §8)."""

from api.sources.codes import ErrorCode


class AccountError(Exception):
    """Something that the customer is told by a code; ``detail`` is for our log."""

    def __init__(self, code: ErrorCode, detail: str = "") -> None:
        super().__init__(code.name, detail)
        self.code = code
        self.detail = detail


class InvalidTokenError(AccountError):
    """The ARN or subscription id cannot be read, or is our own."""


class DuplicateAccountError(AccountError):
    """Another account has the ARN, the AWS account or the subscription."""


class PlatformIdsTakenError(AccountError):
    """Another account has the same authentication and application."""


class RefusedAccountError(AccountError):
    """The cloud account cannot be metered as it is."""


class UserGoneError(AccountError):
    """The customer was deleted meanwhile."""
