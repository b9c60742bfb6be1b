"""Routes for the sources service and for playing its messages by hand (spec 02 §7)."""

import base64
import json
import logging
from typing import Any

from rest_framework import serializers, status
from rest_framework.exceptions import APIException, ValidationError
from rest_framework.request import Request
from rest_framework.response import Response

from api.accounts import events
from api.accounts.checks import request_check
from api.accounts.states import OPERATOR
from api.accounts.verification import WORTH_REPEATING
from api.internal.access import IsKnownCallerOrTenant
from api.internal.parsing import BIGINT_END
from api.internal.views import ActionView
from api.models import CloudAccount
from api.sources import work
from api.sources.client import SourcesError
from api.sources.messages import TASKS, MalformedMessageError, checked_headers
from util.identity import KAFKA_IDENTITY_HEADER as IDENTITY
from util.tasks import enqueue

logger = logging.getLogger(__name__)

INVALID_HEADERS = "headers is not valid base64 encoded json"


class AvailabilityStatusView(ActionView):
    """Check all accounts of a source again."""

    permission_classes = [IsKnownCallerOrTenant]

    def post(self, request: Request) -> Response:
        """Queue a check of each account; answers before any is done."""
        source_id = _source_id(self.input(request).get("source_id"))
        self.audit(f"source {source_id}")
        accounts = CloudAccount.objects.filter(platform_source_id=source_id)
        for account_id in accounts.order_by("id").values_list("id", flat=True):
            request_check(account_id)
        return Response(status=status.HTTP_204_NO_CONTENT)


def _source_id(value: Any) -> int:
    if not value:
        raise ValidationError(["source_id field is required"])
    field = serializers.IntegerField(min_value=-BIGINT_END, max_value=BIGINT_END - 1)
    try:
        if isinstance(value, bool):
            field.fail("invalid")
        return field.run_validation(value)
    except ValidationError as error:
        raise ValidationError({"source_id": error.detail}) from error


class QueueTaskView(ActionView):
    """Queue one task, without arguments."""

    task_name: str

    def post(self, request: Request) -> Response:
        """Queue it."""
        enqueue(self.task_name)
        return Response(status=status.HTTP_202_ACCEPTED)


class DeleteCloudAccountsNotInSourcesView(QueueTaskView):
    """Delete the accounts that the sources service does not know."""

    task_name = "api.tasks.delete_cloud_accounts_not_in_sources"


class MigrateAccountNumbersView(QueueTaskView):
    """Look up the org ids of users who have none."""

    task_name = "api.tasks.migrate_account_numbers_to_org_ids"


class OutOfOrder(APIException):
    """The sources service or a cloud does not answer now, or refuses us."""

    status_code = status.HTTP_503_SERVICE_UNAVAILABLE
    default_detail = "The sources service or the cloud does not answer; try again later."


class SourcesKafkaView(ActionView):
    """Play a message of the sources service, without Kafka."""

    def post(self, request: Request) -> Response:
        """Do at once what the message asks for, and queue what that leads to.

        503 where the sources service or a cloud does not answer: nothing is stored then.
        """
        members = self.input(request)
        event_type, value, headers = (
            members.get(name) for name in ("event_type", "value", "headers")
        )
        if not _has_identity(headers):
            raise ValidationError({"headers": INVALID_HEADERS})
        self.audit(f"event {event_type}")
        task_name = ""
        if isinstance(event_type, str) and event_type in TASKS:
            task_name = TASKS[event_type]
            try:
                outcome = events.handle(
                    event_type=event_type, value=value, headers=headers, trigger=OPERATOR
                )
            except (SourcesError, *WORTH_REPEATING) as error:
                logger.warning("%s is not played: %r", event_type, error)
                raise OutOfOrder from error
            work.publish_unlinked(outcome.child_tasks)
        return Response(
            {
                "request": {"event_type": event_type, "value": value, "headers": headers},
                "function": task_name.rpartition(".")[2] or None,
            }
        )


def _has_identity(headers: Any) -> bool:
    """Return whether Kafka headers hold an identity document that is not empty."""
    try:
        values = [value for name, value in checked_headers(headers) if name == IDENTITY]
        return bool(values and json.loads(base64.b64decode(values[0] or "")))
    except (MalformedMessageError, ValueError, RecursionError):
        return False
