"""What Azure's refusals and failures mean to us.

Whatever the SDK raises leaves this package as one of two: what may pass by itself
(``AzureBusyError``), and what will not (``AzureRefusedError``).
"""

import json
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from azure.core.exceptions import (
    AzureError,
    ClientAuthenticationError,
    DecodeError,
    HttpResponseError,
    ServiceRequestError,
    ServiceResponseError,
    TooManyRedirectsError,
)
from azure.core.rest import HttpResponse

from api.clouds.azure.retry_after import seconds_to_wait
from api.clouds.provider import TransientCloudError
from api.models import DescribeRun

TOO_MANY_REQUESTS = 429
NOT_FOUND = 404
_UNAUTHORIZED = 401
_REQUEST_TIMEOUT = 408
_CLIENT_ERRORS = range(400, 500)
_SERVER_ERROR = 500

_CODE_LENGTH = 128
_NOT_IN_A_CODE = re.compile(r"[^A-Za-z0-9_.:/-]")

_MESSAGE_LENGTH = 1000


class AzureBusyError(TransientCloudError):
    """Azure is throttling us, out of order or out of reach; the same may succeed later.

    Also an answer that is not one of Azure's resource manager. ``retry_after`` is for how many
    seconds we are asked to stay away; None if that was not said.
    """

    def __init__(
        self,
        code: str,
        message: str = "",
        *,
        status: int | None = None,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(code, message, retry_after=retry_after)
        self.code = code
        self.status = status

    @property
    def outcome(self) -> str:
        """How the record of a poll names it."""
        if self.status == TOO_MANY_REQUESTS:
            return DescribeRun.Outcome.THROTTLED
        return DescribeRun.Outcome.FAILED


class AzureLoginBusyError(AzureBusyError):
    """The login server is throttling us or out of order; without a token nothing can be asked."""


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


class LoginServerBusyError(ServiceResponseError):
    """The login server gave an answer that may pass; raised inside of the SDK, never by us."""

    def __init__(self, status: int, retry_after: float | None) -> None:
        super().__init__(f"the login server answers {status}")
        self.status = status
        self.retry_after = retry_after


Problem = AzureBusyError | AzureRefusedError


@contextmanager
def translated() -> Iterator[None]:
    """Raise ``AzureBusyError`` or ``AzureRefusedError`` in place of an error of the SDK.

    Also in place of what the SDK lets through: errors of parsing what a server sent, and files of
    certificates that are not there.
    """
    try:
        yield
    except AzureError as error:
        raise _translate(error) from error
    except (ValueError, OSError) as error:
        raise AzureBusyError(type(error).__name__, str(error)) from error


def of_response(response: HttpResponse) -> Problem:
    """Return what an answer means that is not a success; its body must have been read."""
    body = response.content.decode(errors="replace")
    code = _error_code(body) or str(response.status_code)
    wait = seconds_to_wait(response.headers)
    return _of_status(response.status_code, code, body[:_MESSAGE_LENGTH], wait)


def is_passing(status: int) -> bool:
    """Return whether an answer with this status may be another one soon."""
    return status in {_REQUEST_TIMEOUT, TOO_MANY_REQUESTS} or status >= _SERVER_ERROR


def _translate(error: AzureError) -> Problem:
    name = type(error).__name__
    if (busy := _busy_login(error)) is not None:
        return AzureLoginBusyError(
            name, str(busy), status=busy.status, retry_after=busy.retry_after
        )
    if _is_connection_trouble(error) or isinstance(error, DecodeError | TooManyRedirectsError):
        return AzureBusyError(name, str(error))
    if isinstance(error, HttpResponseError):
        if type(error) is HttpResponseError and error.status_code is None:
            # The SDK's words for an answer that breaks off in the middle of a chunk.
            return AzureBusyError(name, str(error))
        if error.status_code is not None and is_passing(error.status_code):
            return AzureBusyError(name, str(error), status=error.status_code)
        if isinstance(error, ClientAuthenticationError):
            return AzureLoginError(name, str(error), status=error.status_code)
    return AzureRefusedError(name, str(error))


def _busy_login(error: BaseException) -> LoginServerBusyError | None:
    return next((one for one in _causes(error) if isinstance(one, LoginServerBusyError)), None)


def _is_connection_trouble(error: BaseException) -> bool:
    """Look through the causes too: the login wraps a broken connection in an error of its own."""
    trouble = (ServiceRequestError, ServiceResponseError, OSError)
    return any(isinstance(one, trouble) for one in _causes(error))


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__


def _of_status(status: int, code: str, message: str, retry_after: float | None) -> Problem:
    if status == _UNAUTHORIZED:
        return AzureLoginError(code, message, status=status)
    if status == NOT_FOUND:
        return NotFoundError(code, message, status=status)
    if status in _CLIENT_ERRORS and not is_passing(status):
        return AzureRefusedError(code, message, status=status)
    # Also a success or a redirect that is none of what was asked for.
    return AzureBusyError(code, message, status=status, retry_after=retry_after)


def _error_code(body: str) -> str | None:
    """Return the resource manager's own code, such as ``SubscriptionNotFound``; None without one.

    It stands in a member ``error``, or, with some resource providers, at the top.
    """
    try:
        content: Any = json.loads(body.removeprefix("\ufeff"))
    except (ValueError, RecursionError):
        return None
    error = content.get("error", content) if isinstance(content, Mapping) else None
    code = error.get("code") if isinstance(error, Mapping) else None
    if not isinstance(code, str) or not code:
        return None
    return _NOT_IN_A_CODE.sub("?", code[:_CODE_LENGTH])
