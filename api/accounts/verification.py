"""Ask a cloud whether an account can be metered, and tell the answer in codes (spec 03 §6.6)."""

import logging
from collections.abc import Callable

from celery.exceptions import SoftTimeLimitExceeded
from django.db import InterfaceError, OperationalError

from api.accounts.errors import RefusedAccountError
from api.clouds.provider import (
    AccountRef,
    Finding,
    TransientCloudError,
    VerificationFailedError,
    provider_for,
)
from api.sources.codes import ErrorCode

logger = logging.getLogger(__name__)

CODES = {
    Finding.POLICY: ErrorCode.CG3003,
    Finding.ACCESS: ErrorCode.CG3002,
    Finding.TRAIL_LIMIT: ErrorCode.CG3001,
    Finding.NOT_VISIBLE: ErrorCode.CG3000,
    Finding.UNKNOWN: ErrorCode.CG3000,
}

WORTH_REPEATING = (
    TransientCloudError,
    OperationalError,
    InterfaceError,
    SoftTimeLimitExceeded,
)
"""Errors that say nothing of the account: the work that met one is repeated."""


def verify(ref: AccountRef) -> None:
    """Check what metering an account needs, changing nothing. Raises as ``prepare``."""
    if not ref.is_synthetic:
        _ask(provider_for(ref.cloud_type).verify, ref)


def prepare(ref: AccountRef) -> None:
    """Check what metering an account needs, and set up what reports its events.

    Raises ``RefusedAccountError``, or an error that is ``WORTH_REPEATING``. Not to be called in a
    transaction.
    """
    if not ref.is_synthetic:
        provider = provider_for(ref.cloud_type)
        _ask(provider.verify, ref)
        _ask(provider.configure, ref)


def release(ref: AccountRef) -> None:
    """Queue the removal of what ``prepare`` set up."""
    if not ref.is_synthetic:
        provider_for(ref.cloud_type).release(ref)


def _ask(question: Callable[[AccountRef], None], ref: AccountRef) -> None:
    try:
        question(ref)
    except WORTH_REPEATING:
        raise
    except VerificationFailedError as failure:
        code = CODES[failure.finding]
        raise RefusedAccountError(code, failure.detail or failure.finding.value) from failure
    except Exception as error:
        logger.exception("Account %s could not be verified", ref)
        raise RefusedAccountError(ErrorCode.CG3000, repr(error)) from error
