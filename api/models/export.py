"""Exports that are too large for a request (spec 11 §4)."""

from django.db import models

from api.models.base import Timestamped
from api.models.user import User


class ExportJob(Timestamped):
    """One export, which a worker writes to a file in a bucket of ours.

    ``filters`` are parameters as the route of the export takes them. The bucket deletes the file a
    week later; the row goes with its customer.
    """

    class Status(models.TextChoices):
        """How far it is."""

        QUEUED = "queued"
        RUNNING = "running"
        DONE = "done"
        FAILED = "failed"

    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="export_jobs")
    kind = models.CharField(max_length=16)
    filters = models.JSONField(default=dict)
    format = models.CharField(max_length=8)
    status = models.CharField(max_length=8, choices=Status.choices, default=Status.QUEUED)
    rows = models.BigIntegerField(null=True)
    expires_at = models.DateTimeField(null=True)
    detail = models.TextField(blank=True, default="")

    def __str__(self) -> str:
        return f"export of {self.kind} for user {self.user_id}: {self.status}"
