"""Exports that are too large for a request: asked for, and fetched (spec 11 §4, §5)."""

import logging
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError
from django.http import Http404
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse, extend_schema
from rest_framework import serializers, status
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.serializers import Serializer

from api.export import jobs, parquet
from api.export.kinds import KINDS
from api.export.tables import PARQUET
from api.internal.customers import LONGEST_ID, UNKNOWN_USER, row_with_id
from api.internal.views import InternalView
from api.models import ExportJob, User
from api.public import components, tags

logger = logging.getLogger(__name__)


class NewExport(Serializer):
    """What is to be exported."""

    user_id = serializers.IntegerField(
        min_value=1, max_value=10**LONGEST_ID - 1, help_text="The customer."
    )
    kind = serializers.ChoiceField([*KINDS], help_text="The table.")
    filters = serializers.DictField(
        child=serializers.CharField(allow_blank=True, max_length=10_000),
        required=False,
        help_text="Parameters as the route of the export takes them, such as `filter[region]`.",
    )
    format = serializers.ChoiceField(
        [*jobs.FORMATS],
        default=jobs.FORMATS[0],
        help_text="The format; `parquet` where the package pyarrow is installed.",
    )

    def validate_format(self, value: str) -> str:
        """Return the format. Raises ValidationError if it cannot be written here."""
        if value == PARQUET and not parquet.is_installed():
            raise serializers.ValidationError(parquet.NOT_INSTALLED)
        return value

    def validate_user_id(self, value: int) -> User:
        """Return the customer. Raises ValidationError."""
        user = User.objects.filter(id=value).first()
        if user is None:
            raise serializers.ValidationError(UNKNOWN_USER)
        return user


class Export(Serializer):
    """An export that a worker writes."""

    id = serializers.IntegerField()
    status = serializers.ChoiceField(ExportJob.Status.choices)
    url = serializers.URLField(
        allow_null=True, help_text="Where the file may be fetched for an hour, once it is there."
    )
    rows = serializers.IntegerField(allow_null=True)
    expires_at = serializers.DateTimeField(
        allow_null=True, help_text="When the file will be deleted."
    )
    detail = serializers.CharField(allow_blank=True, help_text="Why it failed, if it did.")


def _shown(job: ExportJob) -> dict[str, Any]:
    try:
        url = jobs.signed_url(job)
    except (ClientError, BotoCoreError) as error:
        logger.warning("The file of export job %s cannot be signed: %s", job.id, error)
        url = None
    columns = ("id", "status", "rows", "expires_at", "detail")
    return Export({**{name: getattr(job, name) for name in columns}, "url": url}).data


class ExportsView(InternalView):
    """Ask for an export."""

    @extend_schema(
        operation_id="createExport",
        summary="Begin an export",
        tags=[tags.EXPORT],
        description="Have a worker write a table of a customer, however large, to a file.",
        request=NewExport,
        responses={
            202: Export,
            400: OpenApiResponse(
                {"type": "object", "additionalProperties": True},
                description="A member or a filter is wrong.",
            ),
            425: components.Error,
        },
        auth=[],
    )
    def post(self, request: Request) -> Response:
        """Store the job and have it done. Raises ValidationError, or UsageUnavailable."""
        asked = NewExport(data=request.data)
        asked.is_valid(raise_exception=True)
        wanted = asked.validated_data
        user = wanted["user_id"]
        self.audit(f"export of {wanted['kind']} for user {user.id}")
        job = jobs.create_job(
            user=user,
            kind=wanted["kind"],
            filters=wanted.get("filters", {}),
            form=wanted["format"],
        )
        return Response(_shown(job), status=status.HTTP_202_ACCEPTED)


class ExportJobView(InternalView):
    """How far an export is, and where its file is."""

    @extend_schema(
        operation_id="retrieveExport",
        summary="State of an export",
        parameters=[
            OpenApiParameter(
                "id",
                str,
                OpenApiParameter.PATH,
                description="The export's id.",
            )
        ],
        tags=[tags.EXPORT],
        description="Return how far an export is, and a signed URL of its file.",
        responses={200: Export, 404: components.Error},
        auth=[],
    )
    def get(self, request: Request, pk: str) -> Response:
        """Return the job. Raises Http404."""
        job = row_with_id(ExportJob.objects.all(), pk)
        if job is None:
            raise Http404
        return Response(_shown(job))
