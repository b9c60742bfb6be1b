"""What all pages of the console share: access, headers and errors."""

import logging
from collections.abc import Sequence
from typing import Any

from django.conf import settings
from django.core.exceptions import BadRequest, PermissionDenied, SuspiciousOperation
from django.db import DatabaseError, transaction
from django.http import Http404, HttpRequest, HttpResponse
from django.http.multipartparser import MultiPartParserError
from django.http.response import HttpResponseBase
from django.shortcuts import render
from django.views import View
from rest_framework.exceptions import APIException, ValidationError

from api.console.access import ANONYMOUS, caller_of, name_of, require_reader
from api.console.refused import NOT_READABLE, record_foreign_form
from api.console.tables import Table
from api.models import User
from api.public.filters import LARGEST_ID
from util import errors
from util.errors import DatabaseBusy
from util.identity import Caller
from util.transaction_limits import is_timeout

logger = logging.getLogger(__name__)

PREFIX = "/internal/console/"
API = "/internal/api/cloudigrade/v1"

CONTENT_SECURITY_POLICY = (
    "default-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none';"
    " object-src 'none'"
)

ROWS = 50
"""Rows of a table that has pages."""
LAST_PAGE = 100_000

_TITLES = {
    400: "This cannot be asked",
    403: "Not allowed",
    404: "Not found",
    425: "Not calculated yet",
    503: "Busy",
}


class Refusal(Exception):
    """A request that is refused with a status and a sentence for whoever sent it."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status
        self.text = text


class ConsoleView(View):
    """A page, or an action that leads back to one.

    It is no part of a transaction: each statement sees what is committed, and what explaining a
    number stores is kept although an error follows.
    """

    caller: Caller = ANONYMOUS

    @classmethod
    def as_view(cls, **initkwargs: Any) -> Any:
        """Return the view function, which opens no transaction."""
        return transaction.non_atomic_requests(super().as_view(**initkwargs))

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        """Answer a request, an error with a page of its own."""
        try:
            self.caller = caller_of(request)
            self.check_access()
            response = super().dispatch(request, *args, **kwargs)
        except Refusal as refusal:
            response = error_page(request, refusal.status, refusal.text)
        except Http404:
            response = error_page(request, 404, "There is no such page.")
        except PermissionDenied as error:
            response = error_page(request, 403, str(error))
        except ValidationError as error:
            response = error_page(request, 400, _sentence(error))
        except (BadRequest, SuspiciousOperation, MultiPartParserError):
            response = error_page(request, 400, "Bad request.")
        except DatabaseError as error:
            if not is_timeout(error):
                raise
            logger.warning("%s %s took too long: %s", request.method, request.path, error)
            response = error_page(request, 503, str(DatabaseBusy.default_detail))
            response.headers["Retry-After"] = str(DatabaseBusy.wait)
        return hardened(response)

    def check_access(self) -> None:
        """Raise PermissionDenied unless the caller may see the page."""
        require_reader(self.caller)

    def page(
        self,
        template: str,
        context: dict[str, Any],
        *,
        tables: Sequence[Table] = (),
        status: int = 200,
    ) -> HttpResponse:
        """Return a page, or the CSV of the one of its tables that the query asks for."""
        wanted = self.request.GET.get("csv")
        if wanted is not None:
            for table in tables:
                if table.name == wanted:
                    return table.csv()
            raise Refusal(404, "There is no such table.")
        context |= {table.name.replace("-", "_"): table for table in tables}
        context |= {
            "api": API,
            "grafana": settings.GRAFANA_DASHBOARD_URL,
            "operator": name_of(self.caller),
            "may_act": self.caller.is_associate,
            "query": without(self.request, "csv"),
        }
        return render(self.request, f"console/{template}.html", context, status=status)


def hardened(response: HttpResponseBase) -> HttpResponseBase:
    """Add the headers that keep a page to itself."""
    response.headers["Content-Security-Policy"] = CONTENT_SECURITY_POLICY
    response.headers["Referrer-Policy"] = "same-origin"
    response.headers["X-Frame-Options"] = "DENY"
    response.headers.setdefault("Cache-Control", "no-store")
    return response


def error_page(request: HttpRequest, status: int, text: str) -> HttpResponse:
    """Return a page that says what is wrong, and nothing of what is behind it."""
    context = {"title": _TITLES.get(status, "Error"), "text": text, "status": status}
    return render(request, "console/error.html", context, status=status)


def csrf_failure(request: HttpRequest, reason: str = "") -> HttpResponseBase:
    """Answer a form that was not sent from a page of ours, or whose page is too old."""
    if request.path.startswith(PREFIX):
        record_foreign_form(request)
        text = "The form did not come from the console, or it is too old. Load the page again."
        return hardened(error_page(request, 403, text))
    return errors.forbidden(request)


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponseBase:
    """Answer a request that nobody can read, such as a form that breaks off."""
    if request.path.startswith(PREFIX):
        if request.method == "POST":
            record_foreign_form(request, NOT_READABLE)
        return hardened(error_page(request, 400, "Bad request."))
    return errors.bad_request(request)


def not_found(request: HttpRequest, exception: Exception) -> HttpResponseBase:
    """Answer a request for a URL that no route has, such as one with a line break."""
    if request.path.startswith(PREFIX):
        return hardened(error_page(request, 404, "There is no such page."))
    return errors.not_found(request)


def _sentence(error: APIException) -> str:
    detail = error.detail
    if isinstance(detail, dict):
        return "; ".join(f"{name}: {' '.join(map(str, texts))}" for name, texts in detail.items())
    return str(detail)


def known_id(value: int) -> int:
    """Return an id of a URL that a column can hold. Raises Http404."""
    if value > LARGEST_ID:
        raise Http404
    return value


def known_customer(user_id: int) -> User:
    """Return the customer of a URL. Raises Http404."""
    user = User.objects.filter(id=known_id(user_id)).first()
    if user is None:
        raise Http404
    return user


def page_number(request: HttpRequest) -> int:
    """Return which page of a long table is asked for, from 1 on. Raises Refusal."""
    text = request.GET.get("page", "1")
    if text.isascii() and text.isdigit() and len(text) <= 6 and 1 <= int(text) <= LAST_PAGE:
        return int(text)
    raise Refusal(400, "page: Enter a whole number from 1 to 100000.")


def pager(request: HttpRequest, total: int) -> dict[str, Any]:
    """Return what the template needs to link the pages of a table with so many rows."""
    number = page_number(request)
    last = max(1, -(-total // ROWS))
    return {
        "number": number,
        "last": last,
        "previous": with_page(request, number - 1) if number > 1 else "",
        "next": with_page(request, number + 1) if number < last else "",
    }


def with_page(request: HttpRequest, number: int) -> str:
    """Return the query of the request, for another page."""
    query = request.GET.copy()
    query["page"] = str(number)
    return query.urlencode()


def without(request: HttpRequest, name: str) -> str:
    """Return the query of the request without one parameter, ready for another one."""
    query = request.GET.copy()
    query.pop(name, None)
    text = query.urlencode()
    return f"{text}&" if text else ""
