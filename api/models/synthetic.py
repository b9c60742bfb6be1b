"""Requests for made-up customers with usage, for load and end-to-end tests (spec 07 §12)."""

from datetime import datetime, timedelta

from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models

from api.models.base import CloudType, Timestamped
from api.models.image import MachineImage
from api.models.user import User
from util import clock

POSITIVE = [MinValueValidator(0)]
CHANCE = [MinValueValidator(0), MaxValueValidator(1)]


def tomorrow() -> datetime:
    """Return the moment one day from now."""
    return clock.now() + timedelta(days=1)


class SyntheticDataRequest(Timestamped):
    """One request and the knobs of its random data."""

    user = models.OneToOneField(
        User, null=True, on_delete=models.CASCADE, related_name="synthetic_request"
    )
    machine_images = models.ManyToManyField(MachineImage, related_name="+")
    expires_at = models.DateTimeField(default=tomorrow, db_index=True)
    cloud_type = models.CharField(max_length=8, choices=CloudType.choices)
    since_days_ago = models.PositiveIntegerField(default=7, validators=POSITIVE)
    account_count = models.PositiveIntegerField(default=1, validators=POSITIVE)
    image_count = models.PositiveIntegerField(default=10, validators=POSITIVE)
    image_ocp_chance = models.FloatField(default=0.5, validators=CHANCE)
    image_rhel_chance = models.FloatField(default=0.5, validators=CHANCE)
    image_other_owner_chance = models.FloatField(default=0.5, validators=CHANCE)
    instance_count = models.PositiveIntegerField(default=100, validators=POSITIVE)
    run_count_per_instance_min = models.PositiveIntegerField(default=1, validators=POSITIVE)
    run_count_per_instance_mean = models.FloatField(default=1.0, validators=POSITIVE)
    hours_per_run_min = models.FloatField(default=1.0, validators=POSITIVE)
    hours_per_run_mean = models.FloatField(default=2.0, validators=POSITIVE)
    hours_between_runs_mean = models.FloatField(default=8.0, validators=POSITIVE)

    class Meta:
        indexes = [models.Index(fields=["created_at", "id"], name="syntheticdatarequest_created")]

    def __str__(self) -> str:
        return f"synthetic data request {self.pk}"
