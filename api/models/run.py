"""Runs: the spans of time in which an instance was on (spec 07 §3)."""

from django.contrib.postgres.indexes import BrinIndex
from django.db import models
from django.db.models import F, Q

from api.models.account import CloudAccount
from api.models.base import Timestamped
from api.models.image import MachineImage
from api.models.instance import Instance


class Run(Timestamped):
    """One span from power-on to power-off; without an end while the instance is on.

    Runs of one instance never overlap: whoever writes them holds the lock of its user
    (docs/architecture.md), and the unique constraints refuse a second run with the same start and a
    second one without an end.
    """

    instance = models.ForeignKey(
        Instance, on_delete=models.CASCADE, related_name="runs", db_index=False
    )
    cloud_account = models.ForeignKey(
        CloudAccount, on_delete=models.CASCADE, related_name="+", db_index=False
    )
    machine_image = models.ForeignKey(
        MachineImage, null=True, on_delete=models.SET_NULL, related_name="runs"
    )
    start_time = models.DateTimeField()
    end_time = models.DateTimeField(null=True)
    instance_type = models.CharField(max_length=64, null=True)  # noqa: DJ001
    vcpu = models.IntegerField(null=True)
    memory = models.FloatField(null=True, help_text="MiB")
    cpus = models.IntegerField(
        null=True, help_text="virtual CPUs at the start by CPU options, where they are known"
    )
    resizes = models.JSONField(
        null=True,
        help_text="later types: [microseconds since 1970, type, CPUs by CPU options or null]",
    )

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["instance", "start_time"], name="run_start"),
            models.UniqueConstraint(
                fields=["instance"], condition=Q(end_time__isnull=True), name="run_open"
            ),
            models.CheckConstraint(
                condition=Q(end_time__isnull=True) | Q(end_time__gte=F("start_time")),
                name="run_ends_after_start",
            ),
        ]
        indexes = [
            models.Index(fields=["cloud_account", "end_time"], name="run_account_end"),
            models.Index(fields=["created_at", "id"], name="run_created"),
            BrinIndex(
                fields=["start_time", "end_time", "updated_at"],
                name="run_times",
                autosummarize=True,
            ),
        ]

    def __str__(self) -> str:
        return f"run of instance {self.instance_id}: {self.start_time} to {self.end_time}"
