"""What the audit of the trail bucket found (spec 10 §3.3)."""

from django.db import models
from django.db.models import Q

from util import clock


class AuditFinding(models.Model):
    """Something that the trail bucket has and we did not process, or that it should have.

    ``events_from`` and ``events_to`` are between which moments (UTC) events are unknown as long as
    ``resolved_at`` is not set. A file is processed and its finding resolved in one transaction.
    """

    class Reason(models.TextChoices):
        """What is wrong; the names of the gaps of a day (spec 10 §2)."""

        LOG_UNPROCESSED = "log_unprocessed"
        LOG_MISSING = "log_missing"
        DIGEST_MISSING = "digest_missing"

    aws_account_id = models.CharField(max_length=12)
    region = models.CharField(max_length=64)
    reason = models.CharField(max_length=16, choices=Reason.choices)
    bucket = models.TextField()
    key = models.TextField(blank=True, help_text="of the object, as far as it is known")
    events_from = models.DateTimeField()
    events_to = models.DateTimeField()
    found_at = models.DateTimeField(default=clock.now)
    requeued_at = models.DateTimeField(null=True)
    resolved_at = models.DateTimeField(null=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["aws_account_id", "region", "key", "events_from"],
                name="auditfinding_natural",
            ),
        ]
        indexes = [
            models.Index(fields=["aws_account_id", "events_to"], name="auditfinding_account"),
            models.Index(
                fields=["found_at"],
                name="auditfinding_open",
                condition=Q(resolved_at__isnull=True),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.reason} of {self.aws_account_id} {self.region}: {self.key}"


class AuditedDay(models.Model):
    """A UTC day of delivery of which all log files were compared with what we processed.

    ``audited_at`` is when that was done last, ``closed_at`` when it was done for the last time.
    """

    day = models.DateField(primary_key=True)
    audited_at = models.DateTimeField(null=True)
    closed_at = models.DateTimeField(null=True)
    objects_listed = models.BigIntegerField(default=0)

    def __str__(self) -> str:
        return f"audit of {self.day}"
