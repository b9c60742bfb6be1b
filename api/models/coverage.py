"""How far one day of one cloud account can be trusted (spec 10 §2)."""

from django.db import models

from api.models.account import CloudAccount
from util import clock


class CoverageDay(models.Model):
    """What is proved of one UTC day of one account, and what is not.

    ``gaps`` is a list of ``{"from", "to", "reason"}`` in the order of time; the moments are ISO
    text in UTC. Whatever it holds beside ``not_metered`` keeps the day from being complete.
    """

    class State(models.TextChoices):
        """How far the day can be trusted; ``RANK`` orders them."""

        OFF = "off"
        OPEN = "open"
        COMPLETE = "complete"
        CORRECTED = "corrected"
        PARTIAL = "partial"

    class Gap(models.TextChoices):
        """Why nothing is known of a span of time."""

        NOT_METERED = "not_metered"
        LOG_UNPROCESSED = "log_unprocessed"
        LOG_MISSING = "log_missing"
        DIGEST_MISSING = "digest_missing"
        DESCRIBE_GAP = "describe_gap"
        POLL_MISSED = "poll_missed"
        CORRECTION = "correction"
        INGEST_OUTAGE = "ingest_outage"

    RANK = (State.OFF, State.COMPLETE, State.CORRECTED, State.OPEN, State.PARTIAL)
    """The states, the worst last: a customer's day is the worst one of their accounts (§4)."""

    cloud_account = models.ForeignKey(
        CloudAccount, on_delete=models.CASCADE, related_name="coverage_days", db_index=False
    )
    date = models.DateField()
    state = models.CharField(max_length=16, choices=State.choices)
    metered_seconds = models.PositiveIntegerField(default=0)
    gaps = models.JSONField(default=list)
    newest_event_time = models.DateTimeField(null=True)
    newest_delivery = models.DateTimeField(null=True)
    log_files = models.IntegerField(default=0)
    describes_ok = models.IntegerField(default=0)
    describes_failed = models.IntegerField(default=0)
    corrections = models.IntegerField(default=0)
    max_event_age_seconds = models.IntegerField(null=True)
    max_queue_wait_seconds = models.IntegerField(null=True)
    computed_at = models.DateTimeField(default=clock.now)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["cloud_account", "date"], name="coverageday_natural"),
        ]
        indexes = [models.Index(fields=["date", "state"], name="coverageday_state")]

    def __str__(self) -> str:
        return f"coverage of account {self.cloud_account_id} on {self.date}: {self.state}"
