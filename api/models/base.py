"""What all our tables share."""

from typing import Any

from django.db import models

from util import clock


class Timestamped(models.Model):
    """A row that knows when it was made and last changed (UTC).

    Statements that bypass ``save()`` (``update``, ``bulk_update``, SQL of our own) set
    ``updated_at`` themselves: several rules ask how long a row has been left alone (spec 03 §9.4,
    05 §7).
    """

    created_at = models.DateTimeField(default=clock.now, editable=False)
    updated_at = models.DateTimeField(default=clock.now, editable=False)

    class Meta:
        abstract = True

    def save(self, *args: Any, **kwargs: Any) -> None:
        """Store the row with a new ``updated_at``, unless only other columns are to be written."""
        if not self._state.adding:
            self.updated_at = clock.now()
            if kwargs.get("update_fields") is not None:
                kwargs["update_fields"] = {*kwargs["update_fields"], "updated_at"}
        super().save(*args, **kwargs)


class CloudType(models.TextChoices):
    """The public clouds that we meter."""

    AWS = "aws", "Amazon Web Services"
    AZURE = "azure", "Microsoft Azure"
