"""Requests for make-believe customers (spec 02 §5.6, 07 §12.1)."""

import math
from typing import Any

from django.db import models, transaction
from rest_framework import mixins, serializers
from rest_framework.exceptions import ValidationError

from api.internal import filters
from api.internal.browse import BrowsableResource, browse
from api.models import SyntheticDataRequest, User
from api.synthetic import steps
from api.synthetic.requests import delete_requests, is_ready, synthetic_requests

SYNTHETIC_DATA_REQUESTS = BrowsableResource(
    name="syntheticdatarequests",
    model="SyntheticDataRequest",
    rows=synthetic_requests,
    fields={},
    filters={
        "user_id": filters.reference("user", User.objects.all),
        **filters.moments("expires_at"),
        **filters.times(),
    },
)


class FiniteFloatField(serializers.FloatField):
    """A number that JSON can carry: forms could say ``inf``."""

    def to_internal_value(self, data: Any) -> float:
        """Read the number. Raises ValidationError."""
        number = super().to_internal_value(data)
        if not math.isfinite(number):
            self.fail("invalid")
        return number


class InternalSyntheticDataRequestSerializer(serializers.ModelSerializer):
    """What a make-believe customer shall be like, and whether it is there."""

    serializer_field_mapping = serializers.ModelSerializer.serializer_field_mapping | {
        models.FloatField: FiniteFloatField
    }

    is_ready = serializers.SerializerMethodField()

    class Meta:
        """What is shown, in order."""

        model = SyntheticDataRequest
        fields = (
            "id",
            "is_ready",
            "user",
            "machine_images",
            "expires_at",
            "created_at",
            "updated_at",
            "cloud_type",
            "since_days_ago",
            "account_count",
            "image_count",
            "image_ocp_chance",
            "image_rhel_chance",
            "image_other_owner_chance",
            "instance_count",
            "run_count_per_instance_min",
            "run_count_per_instance_mean",
            "hours_per_run_min",
            "hours_per_run_mean",
            "hours_between_runs_mean",
        )
        read_only_fields = ("user", "machine_images")

    def get_is_ready(self, request: SyntheticDataRequest) -> bool:
        """Return whether each day of the customer has usage."""
        return is_ready(request)

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        """Refuse to change an existing request but for its end. Raises ValidationError."""
        if self.instance is None:
            return attrs
        refused = [
            name
            for name, value in attrs.items()
            if name != "expires_at" and value != getattr(self.instance, name)
        ]
        if refused:
            raise ValidationError({name: [f"You cannot update field {name}."] for name in refused})
        return {name: value for name, value in attrs.items() if name == "expires_at"}


class SyntheticDataRequestsView(
    mixins.CreateModelMixin,
    mixins.UpdateModelMixin,
    mixins.DestroyModelMixin,
    browse(SYNTHETIC_DATA_REQUESTS, InternalSyntheticDataRequestSerializer),  # type: ignore[misc]
):
    """Browse `syntheticdatarequests`; make them, let them last longer or shorter, and end them."""

    def perform_create(self, serializer: serializers.BaseSerializer) -> None:
        """Store the request and start making what it asks for."""
        with transaction.atomic():
            steps.start(request_id=serializer.save().id)

    def perform_destroy(self, instance: SyntheticDataRequest) -> None:
        """Delete the request with all that was made for it."""
        delete_requests(request_ids=[instance.id])
