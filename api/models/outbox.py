"""Tasks that have to be done even if Redis loses them (spec 08 DR-1)."""

import uuid

from django.db import models
from django.db.models import Q
from django.db.models.functions import Now


class OutboxEntry(models.Model):
    """The newest task about one thing, such as one application's status; ``key`` names the thing.

    ``task_id`` tells this task from older ones about the same thing. ``queued_at`` is when it was
    last queued or taken up, ``done_at`` when it was done, all by PostgreSQL's clock (decision 41).
    ``attempts`` counts those that failed, ``last_error`` is why the last of them did.
    """

    key = models.CharField(max_length=200, primary_key=True)
    task = models.CharField(max_length=200)
    args = models.JSONField()
    task_id = models.UUIDField(default=uuid.uuid4)
    issued_at = models.DateTimeField(db_default=Now())
    queued_at = models.DateTimeField(db_default=Now())
    done_at = models.DateTimeField(null=True)
    attempts = models.PositiveIntegerField(default=0, db_default=0)
    last_error = models.TextField(default="", db_default="", blank=True)

    class Meta:
        indexes = [
            models.Index(
                fields=["queued_at"], name="outbox_open", condition=Q(done_at__isnull=True)
            ),
            models.Index(fields=["done_at"], name="outbox_done"),
        ]

    def __str__(self) -> str:
        return f"{self.key}: {self.task}"
