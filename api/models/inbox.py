"""Messages of the sources service, stored before Kafka is told that we have them (decision 27)."""

from django.db import models
from django.db.models import Q
from django.db.models.functions import Now

UNFINISHED = ["waiting", "working", "handed_on", "failed"]


class InboxMessage(models.Model):
    """One relevant Kafka message; those of one customer are worked on in the order of their ids.

    ``customer_key`` names the customer's queue, ``account_number`` and ``org_id`` what is known to
    be his; ``application_id`` and ``authentication_id`` are the objects that the message is about.

    ``attempts`` counts those that failed; one that its worker did not survive counts as twelve.
    ``queued_at`` is when a task for the message was last queued, or will be due; empty: none was
    yet. ``child_tasks`` names the tasks that have to end before a message that was handed on counts
    as processed. ``missing_since`` is since when sources has not known an object of the message.
    ``revived_at`` is when an operator had it worked on again. All of these times are of
    PostgreSQL's clock (decision 41).
    """

    class State(models.TextChoices):
        """Where the message stands."""

        WAITING = "waiting"
        WORKING = "working"
        HANDED_ON = "handed_on"
        PROCESSED = "processed"
        FAILED = "failed"
        DEAD = "dead"

    topic = models.TextField()
    partition = models.IntegerField()
    offset = models.BigIntegerField()
    written_at = models.DateTimeField(null=True, help_text="time that Kafka has for it")
    event_type = models.CharField(max_length=64)
    customer_key = models.CharField(max_length=200)
    account_number = models.CharField(max_length=150, null=True)  # noqa: DJ001
    org_id = models.CharField(max_length=150, null=True)  # noqa: DJ001
    application_id = models.BigIntegerField(null=True)
    authentication_id = models.BigIntegerField(null=True)
    value = models.JSONField()
    headers = models.JSONField()

    state = models.CharField(max_length=16, choices=State.choices, default=State.WAITING)
    attempts = models.PositiveIntegerField(default=0)
    reason = models.TextField(blank=True)
    received_at = models.DateTimeField(db_default=Now())
    not_before = models.DateTimeField(db_default=Now())
    queued_at = models.DateTimeField(null=True)
    # The column keeps the name that versions before know, which run beside this one for a while.
    child_tasks = models.JSONField(default=list, db_column="follow_ups")
    lease_until = models.DateTimeField(null=True)
    lease_token = models.UUIDField(null=True)
    missing_since = models.DateTimeField(null=True)
    revived_at = models.DateTimeField(null=True)
    finished_at = models.DateTimeField(null=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["topic", "partition", "offset"], name="inboxmessage_coordinates"
            ),
        ]
        indexes = [
            models.Index(
                fields=["customer_key", "id"],
                name="inboxmessage_unfinished",
                condition=Q(state__in=UNFINISHED),
            ),
            models.Index(
                fields=["org_id"],
                name="inboxmessage_tie",
                condition=Q(state__in=UNFINISHED, account_number__isnull=False),
            ),
            models.Index(
                fields=["application_id", "id"],
                name="inboxmessage_application",
                condition=Q(application_id__isnull=False),
            ),
            models.Index(
                fields=["authentication_id", "id"],
                name="inboxmessage_authentication",
                condition=Q(authentication_id__isnull=False),
            ),
            models.Index(fields=["finished_at"], name="inboxmessage_finished"),
            models.Index(
                fields=["state", "received_at"],
                name="inboxmessage_broken",
                condition=Q(state__in=["failed", "dead"]),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.event_type} {self.topic}/{self.partition}/{self.offset}: {self.state}"
