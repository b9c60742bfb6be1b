"""Tasks that are not run again until an operator says so (decision 43)."""

from django.db import models
from django.db.models import Q
from django.db.models.functions import Now


class SetAsideTask(models.Model):
    """A task that took too many processes with it; ``work`` names what it was for.

    ``message`` is all that it takes to queue it again, and may hold what is not for everybody's
    eyes; ``arguments`` is what may be shown of it. ``lost_processes`` tells how many ended while
    they ran it, ``updated_at`` when it was set aside last, ``released_at`` when an operator had it
    queued again. Times are of PostgreSQL's clock.
    """

    work = models.CharField(max_length=300, unique=True)
    task_id = models.CharField(max_length=200)
    name = models.CharField(max_length=200)
    arguments = models.TextField()
    message = models.JSONField()
    lost_processes = models.PositiveIntegerField()
    created_at = models.DateTimeField(db_default=Now())
    updated_at = models.DateTimeField(db_default=Now())
    released_at = models.DateTimeField(null=True)

    class Meta:
        indexes = [
            models.Index(fields=["created_at", "id"], name="set_aside_task_by_age"),
            models.Index(
                fields=["name"],
                name="set_aside_task_unreleased",
                condition=Q(released_at__isnull=True),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.name}[{self.task_id}]"
