"""Whole tables as CSV and NDJSON, streamed (spec 11 §4, §5)."""

from collections.abc import Callable, Iterator
from itertools import chain
from typing import Any, Final

from django.db import OperationalError
from django.http import HttpResponse, StreamingHttpResponse
from django.http.response import HttpResponseBase
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse, extend_schema
from rest_framework import status
from rest_framework.exceptions import APIException
from rest_framework.negotiation import DefaultContentNegotiation
from rest_framework.renderers import BaseRenderer
from rest_framework.request import Request

from api.export.copying import ExportAbandonedError, copy_blocks, count_rows
from api.export.kinds import KINDS, RUN_BRACKETS, table_of
from api.export.tables import CSV, NDJSON, STREAMED, file_headers
from api.public import billing, coverage, measures, schema, tags
from api.public.customers import customer_of
from api.public.instance_fields import INSTANCE_BRACKETS
from api.public.views import ReadOnlyView
from util.hang_up import ClientHungUp, client_of
from util.transaction_limits import is_timeout

MOST_ROWS: Final = 200_000
MOST_SECONDS: Final = 20


class ExportTooLarge(APIException):
    """A request may take so many rows, or so long, and no more."""

    status_code = status.HTTP_400_BAD_REQUEST
    default_detail = "Too large, use an export job."


class _Accepted(BaseRenderer):
    """What a client may accept; what is sent is not rendered."""


class CSVRenderer(_Accepted):
    """CSV in UTF-8."""

    media_type = STREAMED[CSV]
    format = CSV


class NDJSONRenderer(_Accepted):
    """One JSON object a line."""

    media_type = STREAMED[NDJSON]
    format = NDJSON


class JSONForErrors(DefaultContentNegotiation):
    """The client has to accept what is sent, or JSON; errors are JSON in any case."""

    def select_renderer(self, request: Any, renderers: Any, format_suffix: Any = None) -> Any:
        """Return the renderer of JSON. Raises NotAcceptable."""
        super().select_renderer(request, renderers, format_suffix)
        return renderers[0], renderers[0].media_type


class ExportView(ReadOnlyView):
    """A table in a format; a class of each is made below."""

    content_negotiation_class = JSONForErrors
    kind = ""
    form = ""

    def stream(self, request: Request) -> HttpResponseBase:
        """Stream the table. Raises ExportTooLarge."""
        table = table_of(self.kind, customer_of(request), request.query_params)
        content_type, disposition = file_headers(self.kind, self.form)
        headers = {"Content-Disposition": disposition}
        if request.method == "HEAD":
            return HttpResponse(content_type=content_type, headers=headers)
        if count_rows(table, most=MOST_ROWS + 1) > MOST_ROWS:
            raise ExportTooLarge
        blocks = copy_blocks(
            table, self.form, seconds=MOST_SECONDS, is_wanted=_is_connected(request)
        )
        return StreamingHttpResponse(_begun(blocks), content_type=content_type, headers=headers)


def _begun(blocks: Iterator[bytes]) -> Iterator[bytes]:
    """Wait for the first block, so that what takes too long from the start is a proper answer."""
    try:
        first = next(blocks, b"")
    except OperationalError as error:
        if is_timeout(error):
            raise ExportTooLarge from error
        raise
    except ExportAbandonedError as error:
        raise ClientHungUp from error
    return _Blocks(first, blocks)


class _Blocks(Iterator[bytes]):
    """Blocks of which one is read already; who closes it closes the others."""

    def __init__(self, first: bytes, others: Iterator[bytes]) -> None:
        self._others = others
        self._blocks = chain((first,), others)

    def __next__(self) -> bytes:
        return next(self._blocks)

    def close(self) -> None:
        """End the statement, if it goes on."""
        self._others.close()  # type: ignore[attr-defined]


def _is_connected(request: Request) -> Callable[[], bool]:
    """Return what tells whether the client is still there."""
    client = client_of(request)
    return lambda: client is None or not client.has_hung_up()


_PARAMETERS: Final = {
    "usage": measures.USAGE,
    "peaks": schema.DAYS,
    "instances": [*schema.INSTANCE_FILTERS, *schema.brackets(INSTANCE_BRACKETS)],
    "runs": [*schema.DAYS_OF_RUNS, *schema.brackets(RUN_BRACKETS)],
    "findings": [*schema.DAYS, *schema.brackets(billing.PARAMETERS)],
    "coverage": [*schema.DAYS, *schema.brackets(coverage.PARAMETERS)],
}
_ERRORS: Final = {"peaks": [400, 403, 406, 425]}
_WHAT: Final = {
    "usage": "how long RHEL was on, and how much at once,",
    "peaks": "the daily maximum use of RHEL",
    "instances": "instances with their state",
    "runs": "all runs, also of images that are not RHEL",
    "findings": "what is wrong in how RHEL is paid",
    "coverage": "how far the days of cloud accounts can be trusted",
}


def _view(kind: str, form: str) -> type[ExportView]:
    """Return the view of a table in a format."""
    sent = {CSV: CSVRenderer, NDJSON: NDJSONRenderer}[form]
    failures = schema.failures(_ERRORS.get(kind, [400, 403, 406]))
    described = OpenApiResponse(OpenApiTypes.STR, description="One row a line.")

    @extend_schema(
        operation_id=f"export{kind.title()}As{form.title()}",
        summary=f"Export {kind} as {form.upper()}",
        description=f"Export {_WHAT[kind]} as {form.upper()}, filtered as the list is.",
        parameters=[*_PARAMETERS[kind], OpenApiParameter("format", exclude=True)],
        responses={
            (200, STREAMED[form]): described,
            **{(status, "application/json"): failure for status, failure in failures.items()},
        },
        tags=[tags.EXPORT],
        auth=list[Any](schema.SECURITY),
    )
    def get(self: ExportView, request: Request) -> HttpResponseBase:
        """Stream the table."""
        return self.stream(request)

    members = {
        "__doc__": f"Export {_WHAT[kind]}.",
        "kind": kind,
        "form": form,
        "renderer_classes": [*ExportView.renderer_classes, sent],
        "get": get,
    }
    return type(f"Export{kind.title()}{form.title()}View", (ExportView,), members)


VIEWS: Final = {(kind, form): _view(kind, form) for kind in KINDS for form in STREAMED}
"""The view of each table in each format."""
