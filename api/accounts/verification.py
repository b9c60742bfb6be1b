"""Ask a cloud whether an account can be metered, and tell the answer in codes (spec 03 §6.6)."""

import datetime
import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from celery.exceptions import SoftTimeLimitExceeded
from django.db import InterfaceError, OperationalError

from api.accounts.errors import InvalidTokenError, RefusedAccountError
from api.accounts.identity import INVALID
from api.clouds.provider import (
    AccountRef,
    TransientCloudError,
    VerificationFailedError,
    VerificationProblem,
    provider_for,
)
from api.sources.codes import ErrorCode
from util.time_limit import TimeLimitReached

logger = logging.getLogger(__name__)

Answer = TypeVar("Answer")

CODES = {
    VerificationProblem.POLICY: ErrorCode.CG3003,
    VerificationProblem.ACCESS: ErrorCode.CG3002,
    VerificationProblem.TRAIL_LIMIT: ErrorCode.CG3001,
    VerificationProblem.NOT_VISIBLE: ErrorCode.CG3000,
    VerificationProblem.UNKNOWN: ErrorCode.CG3000,
}

WORTH_REPEATING = (
    TransientCloudError,
    OperationalError,
    InterfaceError,
    # One and the same, within a task and at its edge.
    TimeLimitReached,
    SoftTimeLimitExceeded,
)
"""Errors that say nothing of the account: the work that met one is repeated."""


def refuse_own(ref: AccountRef, *, retry_transient: bool = True) -> None:
    """Raise ``InvalidTokenError`` if the account is our own (decision 36), or as ``prepare``."""
    if not ref.is_synthetic and _ask(provider_for(ref.cloud_type).is_own, ref, retry_transient):
        raise InvalidTokenError(INVALID[ref.cloud_type], "it is our own account")


def verify(ref: AccountRef, *, retry_transient: bool = True) -> None:
    """Check what metering an account needs, changing nothing. Raises as ``prepare``."""
    if not ref.is_synthetic:
        _ask(provider_for(ref.cloud_type).verify, ref, retry_transient)


@dataclass(frozen=True, slots=True)
class Prepared:
    """An account that its cloud is ready for, unless what was set up is removed again."""

    ref: AccountRef
    last_removal: datetime.datetime | None

    def is_undone(self) -> bool:
        """Return whether a removal that was queued earlier has been carried out since.

        Once the account is stored as enabled there will be no more of them.
        """
        return self.last_removal != _last_removal(self.ref)


def prepare(ref: AccountRef, *, retry_transient: bool = True) -> Prepared:
    """Check what metering an account needs, and set up what reports its events.

    Raises ``RefusedAccountError``, or an error that is ``WORTH_REPEATING``; unless
    ``retry_transient``, a cloud that is out of order counts as a refusal. Not to be called in a
    transaction.
    """
    prepared = Prepared(ref, _last_removal(ref))
    if not ref.is_synthetic:
        provider = provider_for(ref.cloud_type)
        _ask(provider.verify, ref, retry_transient)
        _ask(provider.configure, ref, retry_transient)
    return prepared


def release(ref: AccountRef) -> None:
    """Queue the removal of what ``prepare`` set up."""
    if not ref.is_synthetic:
        provider_for(ref.cloud_type).release(ref)


def code_of(error: BaseException) -> ErrorCode:
    """Return the code of an error that is ``WORTH_REPEATING`` and goes on for too long."""
    return CODES[error.finding] if isinstance(error, TransientCloudError) else ErrorCode.CG3000


def _last_removal(ref: AccountRef) -> datetime.datetime | None:
    return None if ref.is_synthetic else provider_for(ref.cloud_type).last_removal(ref)


def _ask(
    question: Callable[[AccountRef], Answer], ref: AccountRef, retry_transient: bool
) -> Answer:
    try:
        return question(ref)
    except WORTH_REPEATING as error:
        if retry_transient or not isinstance(error, TransientCloudError):
            raise
        raise RefusedAccountError(code_of(error), str(error)) from error
    except VerificationFailedError as failure:
        code = CODES[failure.finding]
        raise RefusedAccountError(code, failure.detail or failure.finding.value) from failure
    except Exception as error:
        logger.exception("Account %s could not be verified", ref)
        raise RefusedAccountError(ErrorCode.CG3000, repr(error)) from error
