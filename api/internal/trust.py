"""Why a customer's number is what it is, with the log records behind it (spec 10 §1)."""

import logging
from dataclasses import replace
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError
from django.http import Http404, HttpResponse
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import status
from rest_framework.exceptions import APIException
from rest_framework.request import Request
from rest_framework.response import Response

from api.clouds.aws.cloudtrail.stored_records import (
    RecordArchivedError,
    RecordMissingError,
    read_record,
)
from api.internal.customers import LONGEST_ID, USER_ID, InternalCustomerView
from api.internal.views import InternalView
from api.models import IngestObject, InstanceEvent
from api.public import components, schema, tags, trust, trust_components

logger = logging.getLogger(__name__)


class InternalExplainView(InternalCustomerView, trust.ExplainView):
    """Why a day's number of any customer, today's included, is what it is."""

    renderer_classes = trust.ExplainView.renderer_classes
    date = replace(trust.DATE, latest=0, too_late="cannot be in the future.")
    with_sources = True

    @schema.operation(
        "explainConcurrentUsageOfUser",
        trust_components.ExplanationPage(),
        summary="Why a customer's day counts what it counts",
        tag=tags.USAGE,
        description="List the instances that make the maximum of one day, with their log records.",
        parameters=[USER_ID, *schema.EXPLAINED_KEY, schema.RETRY_AFTER],
        errors=[400, 403, 425],
        security=[],
    )
    def get(self, request: Request, format: str | None = None) -> Response:
        """Return a page of the runs on at the peak, with where their log records lie."""
        return super().get(request, format)


class RecordView(InternalView):
    """The log record that an event comes from."""

    @extend_schema(
        operation_id="retrieveInstanceEventRecord",
        summary="Log record of an instance event",
        parameters=[
            OpenApiParameter("id", str, OpenApiParameter.PATH, description="The event's id.")
        ],
        tags=[tags.USAGE],
        description="Return the log record that an event comes from, as it stands in the file.",
        responses={
            200: {"type": "object", "additionalProperties": True},
            404: components.Error,
            409: components.Error,
            503: components.Error,
        },
        auth=[],
    )
    def get(self, request: Request, pk: str) -> HttpResponse:
        """Return the record as it stands in the file.

        404 without an event, or if it comes from no log; 409 for an archived file; 503 without S3.
        """
        place = _place_of(pk)
        try:
            record = read_record(**place)
        except RecordArchivedError:
            return Response({"detail": "Archived."}, status=status.HTTP_409_CONFLICT)
        except RecordMissingError as error:
            raise Http404 from error
        except (ClientError, BotoCoreError) as error:
            logger.warning("Log file %s cannot be read: %s", place["key"], error)
            raise StorageUnavailable from error
        return HttpResponse(record, content_type="application/json")


class StorageUnavailable(APIException):
    """S3 does not answer, or refuses."""

    status_code = status.HTTP_503_SERVICE_UNAVAILABLE
    default_detail = "The log file cannot be read now."


def _place_of(pk: str) -> dict[str, Any]:
    """Return where an event's record lies. Raises Http404."""
    try:
        event_id = int(pk) if len(pk) <= LONGEST_ID else 0
    except ValueError:
        event_id = 0
    event = InstanceEvent.objects.filter(id=event_id).only("source_object", "source_index").first()
    if event is None or event.source_object is None or event.source_index is None:
        raise Http404
    file = IngestObject.objects.filter(id=event.source_object).only("bucket", "key").first()
    if file is None:
        raise Http404
    return {"bucket": file.bucket, "key": file.key, "index": event.source_index}
