"""The state of the whole fleet at one time, which no page could measure when it is asked for."""

from django.db import models
from django.db.models.functions import Now


class FleetSample(models.Model):
    """What was measured of all customers together (spec 12 §1, "from roll-ups").

    A number that could not be measured is null. ``details`` has what only the newest sample is
    asked for. Ages are in seconds.
    """

    at = models.DateTimeField(db_default=Now())
    running_rhel = models.IntegerField(null=True)
    event_age_p50 = models.FloatField(null=True)
    event_age_p95 = models.FloatField(null=True)
    queue_trail = models.IntegerField(null=True)
    queue_trail_dlq = models.IntegerField(null=True)
    queue_results = models.IntegerField(null=True)
    queue_results_dlq = models.IntegerField(null=True)
    queue_celery = models.IntegerField(null=True)
    details = models.JSONField(default=dict)

    class Meta:
        indexes = [models.Index(fields=["at"], name="fleetsample_at")]

    def __str__(self) -> str:
        return f"fleet at {self.at}"
