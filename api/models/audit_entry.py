"""What operators did, and how far it has come (spec 12 §1)."""

from django.db import models
from django.db.models import Q
from django.db.models.functions import Now


class AuditEntry(models.Model):
    """One action of an operator: who, what, when, from where, and its outcome.

    Rows are kept whatever becomes of the customer that they name. A long action goes on in a task,
    or a command:
    ``done`` of ``total`` steps are behind it, and it ends early after ``cancel_requested_at``. An
    action without a ``total`` is over when its row is stored. Times are of PostgreSQL's clock.
    """

    class Action(models.TextChoices):
        """What an operator can do."""

        RECALCULATE = "recalculate"
        REPLAY = "replay"
        REINSPECT = "reinspect"
        IMPORT = "import"
        IMPORT_ORIGINAL = "import_original"
        CANCEL = "cancel"

    class Outcome(models.TextChoices):
        """What became of it."""

        QUEUED = "queued"
        RUNNING = "running"
        DONE = "done"
        FAILED = "failed"
        CANCELLED = "cancelled"
        REFUSED = "refused"

    created_at = models.DateTimeField(db_default=Now())
    updated_at = models.DateTimeField(db_default=Now())
    actor = models.CharField(max_length=200, help_text="who, as the identity says")
    remote_address = models.CharField(max_length=200, blank=True, help_text="from where")
    request_id = models.CharField(max_length=64, blank=True)
    action = models.CharField(max_length=16, choices=Action.choices)
    user_id = models.BigIntegerField(null=True, help_text="the customer")
    target = models.CharField(max_length=200, blank=True, help_text="such as image 312")
    arguments = models.JSONField(default=dict)
    outcome = models.CharField(max_length=16, choices=Outcome.choices)
    detail = models.TextField(blank=True)
    done = models.PositiveIntegerField(default=0)
    total = models.PositiveIntegerField(null=True)
    cancel_requested_at = models.DateTimeField(null=True)
    finished_at = models.DateTimeField(null=True)

    class Meta:
        indexes = [
            models.Index(fields=["created_at", "id"], name="auditentry_created"),
            models.Index(fields=["user_id", "id"], name="auditentry_user"),
            models.Index(
                fields=["id"], name="auditentry_open", condition=Q(finished_at__isnull=True)
            ),
        ]

    def __str__(self) -> str:
        return f"{self.action} of {self.target} by {self.actor}: {self.outcome}"
