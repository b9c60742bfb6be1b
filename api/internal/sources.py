"""Routes for the sources service and for playing its messages by hand (spec 02 §7)."""

import logging
from collections.abc import Callable, Mapping
from typing import Any

from django.core.cache import cache
from django.db import transaction
from django.utils.decorators import method_decorator
from redis import RedisError
from rest_framework import serializers, status
from rest_framework.exceptions import ValidationError
from rest_framework.request import Request
from rest_framework.response import Response

from api.accounts import events
from api.internal.access import IsKnownCallerOrTenant
from api.internal.parsing import BIGINT_END
from api.internal.views import ActionView
from api.models import CloudAccount
from util.identity import KAFKA_IDENTITY_HEADER, IdentityError, decode_identity
from util.tasks import enqueue

logger = logging.getLogger(__name__)

COLLAPSE_SECONDS = 2
"""Checks of one account that follow each other this closely are one."""

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
            if _first_check_lately(account_id):
                enqueue("api.tasks.enable_account", account_id)
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


def _first_check_lately(account_id: int) -> bool:
    try:
        return cache.add(f"availability-check-{account_id}", 1, COLLAPSE_SECONDS)
    except RedisError:
        return True
