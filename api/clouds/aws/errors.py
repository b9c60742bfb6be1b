"""What AWS's refusals and failures mean to us (spec 04 §3.5, §3.6, §6.2)."""

import functools
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import ParamSpec, TypeVar

from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    ConnectionError,
    HTTPClientError,
    ReadTimeoutError,
    ResponseStreamingError,
)
from botocore.parsers import ResponseParserError

from api.clouds.provider import TransientCloudError

logger = logging.getLogger(__name__)

ACCESS_DENIED = frozenset(
    {
        "AccessDenied",
        "AccessDeniedException",
        "AuthFailure",
        "InsufficientDependencyServiceAccessPermissionException",
        "OptInRequired",
        "UnauthorizedOperation",
    }
)
THROTTLING = frozenset(
    {
        "BandwidthLimitExceeded",
        "EC2ThrottledException",
        "PriorRequestNotComplete",
        "RequestLimitExceeded",
        "RequestThrottled",
        "RequestThrottledException",
        "SlowDown",
        "Throttling",
        "ThrottlingException",
        "ThrottledException",
        "TooManyRequestsException",
    }
)
OUTAGE = frozenset(
    {
        "InternalError",
        "InternalFailure",
        "InternalServerError",
        "RequestTimeout",
        "RequestTimeoutException",
        "ServerInternal",
        "ServiceUnavailable",
        "ServiceUnavailableException",
        "Unavailable",
    }
)
TROUBLE = (
    TransientCloudError,
    ConnectionError,
    HTTPClientError,
    ReadTimeoutError,
    ResponseStreamingError,
    # What a broken load balancer says instead of AWS.
    ResponseParserError,
)
_SERVER_ERROR = 500

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")


class AwsThrottlingError(TransientCloudError):
    """AWS wants us to be slower; the same call succeeds later."""


class AwsError(RuntimeError):
    """An error of AWS in plain text, as a task's result can carry it."""


class NotReadyError(Exception):
    """What we wait for in AWS is not there yet; the task is to be tried again."""


def code_of(error: BaseException) -> str:
    """Return AWS's code of an error, or an empty text if it is no answer of AWS."""
    if isinstance(error, ClientError):
        return str(error.response.get("Error", {}).get("Code", ""))
    return ""


def is_access_denied(error: BaseException) -> bool:
    """Return whether AWS refuses us because the customer grants us too little."""
    return code_of(error) in ACCESS_DENIED


def is_throttling(error: BaseException) -> bool:
    """Return whether AWS refuses us because we ask too much."""
    return isinstance(error, AwsThrottlingError) or code_of(error) in THROTTLING


def is_transient(error: BaseException) -> bool:
    """Check whether the same call may succeed later: throttling, an outage, a broken connection."""
    if isinstance(error, TROUBLE) or is_throttling(error):
        return True
    if not isinstance(error, ClientError):
        return False
    status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    return code_of(error) in OUTAGE or status >= _SERVER_ERROR


@contextmanager
def reachable() -> Iterator[None]:
    """Turn what AWS answers for our own bucket or queue into what a task makes of it.

    Raises ``TransientCloudError`` where the same call may succeed later, and ``AwsError`` where AWS
    refuses: that is a fault of our own set-up, never a customer's, so it is not passed over.
    """
    try:
        yield
    except (ClientError, BotoCoreError) as error:
        if is_transient(error):
            raise TransientCloudError(str(error)) from error
        raise AwsError(f"{type(error).__name__} {code_of(error)}: {error}") from error


def translated(function: Callable[Arguments, Result]) -> Callable[Arguments, Result | None]:
    """Apply the policy for errors that reach the edge of a task (spec 04 §3.6).

    Access denied ends the task quietly, with a warning and no result: the availability checks of
    the sources service find the broken account. Raises ``AwsThrottlingError`` for throttling,
    ``AwsError`` for all else that AWS answers; other exceptions pass through.
    """

    @functools.wraps(function)
    def wrapper(*args: Arguments.args, **kwargs: Arguments.kwargs) -> Result | None:
        try:
            return function(*args, **kwargs)
        except ClientError as error:
            if is_access_denied(error):
                logger.warning("%s: AWS denied access: %s", function.__name__, error)
                return None
            if is_throttling(error):
                raise AwsThrottlingError(str(error)) from error
            raise AwsError(f"{type(error).__name__} {code_of(error)}: {error}") from error

    return wrapper
