"""Daily maximum concurrent usage, what makes it stale, and how it changed (spec 07 §5-§7)."""

from django.db import models
from django.db.models import F, Q

from api.models.base import Timestamped
from api.models.user import User
from util import clock

UNSUMMED = Q(summed_at__isnull=True) | ~Q(summed_at=F("computed_at"))
"""The rows of usage whose sums are missing, or do not hold any more."""


def is_stale(user: str, day: str) -> str:
    """Return SQL: whether a day of a customer must be calculated again (09 P10).

    ``user`` and ``day`` are SQL of the customer's id and the day; columns must name their table, as
    marks have some of the same names.
    """
    return f"""EXISTS (
        SELECT FROM api_staleusage mark
        WHERE mark.user_id = {user} AND mark.first_day <= {day}
          AND (mark.last_day >= {day} OR mark.last_day IS NULL))"""


class ConcurrentUsage(Timestamped):
    """One user's largest numbers of RHEL instances on at once on one UTC day.

    ``maximum_counts`` is a list of ``[arch, role, sla, usage, service_type, count]``. The row
    counts as withdrawn while a ``StaleUsage`` covers its day; it stays, so that its revision
    survives (09 P10).

    ``sums`` has the seconds that instances were on, for each account, facets and size (spec 11 §1);
    an instance without an end counts as on to the end of the day. They hold only while
    ``summed_at`` is ``computed_at``: the previous version, which does not write them, renews the
    latter alone.

    ``shown_counts`` are the counts as the APIs write them, where that is worth storing
    (``api.metering.count_text.shown_counts``). They hold only while ``shown_revision`` is
    ``revision``: the previous version renews the latter alone.
    """

    user = models.ForeignKey(
        User, on_delete=models.CASCADE, related_name="concurrent_usage", db_index=False
    )
    date = models.DateField()
    maximum_counts = models.JSONField()
    revision = models.PositiveIntegerField(default=1)
    computed_at = models.DateTimeField(default=clock.now)
    algorithm = models.CharField(max_length=16)
    code_version = models.CharField(max_length=64, blank=True)
    sums = models.JSONField(
        null=True,
        help_text="[account, arch, role, sla, usage, service_type, instance_type, cpus, seconds]",
    )
    summed_at = models.DateTimeField(null=True)
    shown_counts = models.TextField(null=True)  # noqa: DJ001 - no text is not the empty one
    shown_revision = models.PositiveIntegerField(null=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["user", "date"], name="concurrentusage_day"),
        ]
        indexes = [
            models.Index(fields=["created_at", "id"], name="concurrentusage_created"),
            models.Index(
                fields=["user", "date"], condition=UNSUMMED, name="concurrentusage_unsummed"
            ),
        ]

    def __str__(self) -> str:
        return f"usage of user {self.user_id} on {self.date}"


class Cause(models.TextChoices):
    """Why days of a user have to be calculated again (09 P11)."""

    RUN_ADDED = "run_added"
    RUN_CHANGED = "run_changed"
    RUN_REMOVED = "run_removed"
    IMAGE_CHANGED = "image_changed"
    CORRECTION = "correction"
    REPLAY = "replay"
    ACCOUNT_DELETED = "account_deleted"
    OPERATOR = "operator"


class StaleUsage(models.Model):
    """A range of a user's days that must be calculated again.

    Marks are only ever inserted, by the transaction that changes a run or an image, and deleted by
    the calculation that read them: no update, hence no lock between customers.
    """

    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="stale_usage")
    first_day = models.DateField()
    last_day = models.DateField(null=True, help_text="inclusive; empty: without end")
    cause = models.CharField(max_length=16, choices=Cause.choices)
    refs = models.JSONField(default=list, help_text="up to 10 ids of runs or images")
    marked_at = models.DateTimeField(default=clock.now)

    class Meta:
        indexes = [models.Index(fields=["marked_at"], name="staleusage_age")]

    def __str__(self) -> str:
        return f"user {self.user_id} {self.first_day}..{self.last_day or ''}: {self.cause}"


class UsageRevision(models.Model):
    """One change of a day's counts (09 P11)."""

    user = models.ForeignKey(
        User, on_delete=models.CASCADE, related_name="usage_revisions", db_index=False
    )
    date = models.DateField()
    revision = models.PositiveIntegerField()
    computed_at = models.DateTimeField(default=clock.now)
    total_before = models.IntegerField()
    total_after = models.IntegerField()
    changed_keys = models.JSONField(default=list, help_text="those that changed most")
    changed_key_count = models.IntegerField(null=True, help_text="how many changed in all")
    causes = models.JSONField(default=list)
    refs = models.JSONField(default=list)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["user", "date", "revision"], name="usagerevision_natural"
            ),
        ]

    def __str__(self) -> str:
        return f"usage of user {self.user_id} on {self.date}, revision {self.revision}"
