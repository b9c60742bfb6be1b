"""What Azure's refusals and failures mean to us.

Whatever the SDK raises leaves this package as one of two: what may pass by itself
(``AzureBusyError``), and what will not (``AzureRefusedError``).
"""

from collections.abc import Iterator
from contextlib import contextmanager

from azure.core.exceptions import (
    AzureError,
    ClientAuthenticationError,
    DecodeError,
    HttpResponseError,
    ServiceRequestError,
    ServiceResponseError,
)
from azure.core.rest import HttpResponse

from api.clouds.provider import TransientCloudError
from api.models import DescribeRun

TOO_MANY_REQUESTS = 429
NOT_FOUND = 404
_UNAUTHORIZED = 401
_REQUEST_TIMEOUT = 408
_SERVER_ERROR = 500


class AzureBusyError(TransientCloudError):
    """Azure is throttling us, out of order or out of reach; the same may succeed later."""

    def __init__(self, code: str, message: str = "", *, status: int | None = None) -> None:
        super().__init__(code, message)
        self.code = code
        self.status = status

    @property
    def outcome(self) -> str:
        """How the record of a poll names it."""
        if self.status == TOO_MANY_REQUESTS:
            return DescribeRun.Outcome.THROTTLED
        return DescribeRun.Outcome.FAILED


class AzureRefusedError(Exception):
    """Azure refuses the request, and will go on to do so until somebody changes something."""

    outcome: str = DescribeRun.Outcome.DENIED

    def __init__(self, code: str, message: str = "", *, status: int | None = None) -> None:
        super().__init__(code, message)
        self.code = code
        self.status = status


class AzureLoginError(AzureRefusedError):
    """Azure does not accept who we are: no token, or a token that is worth nothing."""


class NotFoundError(AzureRefusedError):
    """What was asked for is not there, or not for us."""


Problem = AzureBusyError | AzureRefusedError


@contextmanager
def translated() -> Iterator[None]:
    """Raise ``AzureBusyError`` or ``AzureRefusedError`` in place of an error of the SDK."""
    try:
        yield
    except AzureError as error:
        raise _translate(error) from error


def of_response(response: HttpResponse) -> Problem:
    """Tell what an answer with an error status means; its body must have been read."""
    return _of_status(response.status_code, _error_code(response), response.text()[:1000])


def _translate(error: AzureError) -> Problem:
    name = type(error).__name__
    if _is_connection_trouble(error) or isinstance(error, DecodeError):
        return AzureBusyError(name, str(error))
    if isinstance(error, HttpResponseError):
        if error.status_code is not None and is_passing(error.status_code):
            return AzureBusyError(name, str(error), status=error.status_code)
        if isinstance(error, ClientAuthenticationError):
            return AzureLoginError(name, str(error), status=error.status_code)
    return AzureRefusedError(name, str(error))


def _is_connection_trouble(error: BaseException | None) -> bool:
    """Look through the causes too: the login wraps a broken connection in an error of its own."""
    while error is not None:
        if isinstance(error, ServiceRequestError | ServiceResponseError):
            return True
        error = error.__cause__
    return False


def _of_status(status: int, code: str, message: str) -> Problem:
    if is_passing(status):
        return AzureBusyError(code, message, status=status)
    if status == _UNAUTHORIZED:
        return AzureLoginError(code, message, status=status)
    if status == NOT_FOUND:
        return NotFoundError(code, message, status=status)
    return AzureRefusedError(code, message, status=status)


def is_passing(status: int) -> bool:
    """Tell whether an answer with this status may be another one soon."""
    return status in {_REQUEST_TIMEOUT, TOO_MANY_REQUESTS} or status >= _SERVER_ERROR


def _error_code(response: HttpResponse) -> str:
    """Give the resource manager's own code, such as ``SubscriptionNotFound``, or the status."""
    try:
        return str(response.json()["error"]["code"])
    except (ValueError, LookupError, TypeError):
        return str(response.status_code)
