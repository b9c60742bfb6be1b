"""Instances (virtual machines), the events that switch them on and off, and their history."""

from django.contrib.postgres.indexes import BrinIndex, HashIndex
from django.db import models
from django.db.models import Case, Q, Value, When
from django.db.models.functions import Lower

from api.models.account import CloudAccount
from api.models.base import CloudType, Timestamped
from api.models.image import MachineImage
from util import clock


class PowerState(models.TextChoices):
    """What the newest power event of an instance says."""

    RUNNING = "running"
    STOPPED = "stopped"


class Instance(Timestamped):
    """One EC2 instance or Azure virtual machine. Cloud ids compare case-insensitively (06 §5.2)."""

    cloud_account = models.ForeignKey(
        CloudAccount, on_delete=models.CASCADE, related_name="instances", db_index=False
    )
    machine_image = models.ForeignKey(
        MachineImage, null=True, on_delete=models.SET_NULL, related_name="instances", db_index=False
    )
    cloud_type = models.CharField(max_length=8, choices=CloudType.choices)
    cloud_instance_id = models.TextField(help_text="EC2 instance id; Azure resource id")
    region = models.CharField(max_length=256)
    vm_id = models.CharField(  # noqa: DJ001
        max_length=64, null=True, help_text="Azure: vmId, which no later machine of this name has"
    )
    former_images = models.JSONField(
        null=True,
        help_text=(
            "Azure: images that it had before, by time, each as [until, id]; until "
            "is in microseconds since 1970; runs that started before have them"
        ),
    )

    # Derived from events and facts, so that lists can be filtered by them (spec 11 §3).
    # ``api.metering.power_states`` and ``api.clouds.facts`` alone write them; ``updated_at`` does
    # not tell of it.
    power_state = models.CharField(  # noqa: DJ001
        max_length=8, choices=PowerState.choices, null=True, help_text="null: no power event known"
    )
    power_changed_at = models.DateTimeField(null=True, help_text="of the newest power event")
    instance_type = models.CharField(  # noqa: DJ001
        max_length=64, null=True, help_text="of the newest event that tells one, else of a fact"
    )
    usage_operation = models.TextField(  # noqa: DJ001
        null=True, help_text="of the newest fact; null: that of the image"
    )
    product_codes = models.JSONField(null=True, help_text="of the newest fact")
    licenses = models.JSONField(null=True, help_text="of the newest fact")
    cloud_image = models.JSONField(null=True, help_text="of the newest fact, Azure only")

    class Meta:
        constraints = [
            models.UniqueConstraint(
                Lower("cloud_instance_id"), "cloud_type", name="instance_cloud_id"
            ),
        ]
        indexes = [
            # Holds the image too: a customer's images are read off it alone.
            models.Index(
                fields=["cloud_account", "created_at", "id"],
                include=["machine_image"],
                name="instance_account",
            ),
            models.Index(fields=["machine_image", "cloud_account"], name="instance_image"),
            # Holds what lists are filtered by and counted for, in groups of equal ones.
            models.Index(
                fields=["cloud_account", "region", "instance_type", "power_state", "machine_image"],
                name="instance_listed",
            ),
            models.Index(fields=["created_at", "id"], name="instance_created"),
        ]

    def __str__(self) -> str:
        return f"{self.cloud_type} instance {self.cloud_instance_id}"


ORDINARY_RANK = 1
_RANKS = {
    "RunInstances": 0,
    "TerminateInstances": 2,
    "TerminateInstanceInAutoScalingGroup": 2,
}
"""Of events of one instant an instance's launch comes first, its termination last (decision 37)."""

EVENT_RANK = (
    "CASE source_name"
    + "".join(f" WHEN '{name}' THEN {rank}" for name, rank in _RANKS.items())
    + f" ELSE {ORDINARY_RANK} END"
)
"""SQL of an event's rank. Events are in order by ``occurred_at``, rank, ``id``."""

NEWEST_EVENT_FIRST = f"occurred_at DESC, {EVENT_RANK} DESC, id DESC"


def event_rank(source_name: str) -> int:
    """Return the rank, among events of one instant, of what a cloud calls by this name."""
    return _RANKS.get(source_name, ORDINARY_RANK)


def event_rank_expression() -> Case:
    """Return the same as ``EVENT_RANK`` for a query of events."""
    ranks = (When(source_name=name, then=Value(rank)) for name, rank in _RANKS.items())
    return Case(*ranks, default=Value(ORDINARY_RANK), output_field=models.SmallIntegerField())


class InstanceEvent(Timestamped):
    """Something that happened to an instance, with where we know it from (spec 07 §1, 09 P1).

    What tells an event from others of the same instance, type and instant is ``source_id``: two
    stops of one second are two events, a log delivered twice stores none (decision 49).

    No foreign key points here and each unique constraint but the primary key holds ``occurred_at``,
    so that the table can be partitioned by month (09 P12).
    """

    class Type(models.TextChoices):
        """What happened."""

        POWER_ON = "power_on"
        POWER_OFF = "power_off"
        ATTRIBUTE_CHANGE = "attribute_change"

    class Origin(models.TextChoices):
        """How we came to know."""

        CLOUDTRAIL = "cloudtrail"
        DESCRIBE_INITIAL = "describe_initial"
        DESCRIBE_RECONCILE = "describe_reconcile"
        AZURE_POLL = "azure_poll"
        DISABLE = "disable"
        PAUSE = "pause"
        ACCOUNT_CHANGE = "account_change"
        SYNTHETIC = "synthetic"
        OPERATOR = "operator"

    instance = models.ForeignKey(
        Instance, on_delete=models.CASCADE, related_name="events", db_index=False
    )
    cloud_account = models.ForeignKey(
        CloudAccount, on_delete=models.CASCADE, related_name="+", db_index=False
    )
    event_type = models.CharField(max_length=16, choices=Type.choices)
    occurred_at = models.DateTimeField()
    instance_type = models.CharField(max_length=64, null=True)  # noqa: DJ001
    subnet = models.CharField(max_length=256, null=True)  # noqa: DJ001

    origin = models.CharField(max_length=20, choices=Origin.choices)
    source_id = models.TextField(default="", blank=True)
    source_name = models.TextField(default="", blank=True)
    source_object = models.BigIntegerField(null=True, help_text="id of the log file's IngestObject")
    source_index = models.IntegerField(null=True, help_text="place in the file's Records, from 0")

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["instance", "occurred_at", "event_type", "source_id"],
                name="instanceevent_identity",
            ),
        ]
        indexes = [
            models.Index(fields=["cloud_account", "updated_at"], name="instanceevent_stored"),
            models.Index(fields=["cloud_account", "occurred_at"], name="instanceevent_occurred"),
            HashIndex(
                fields=["source_id"],
                name="instanceevent_source",
                condition=Q(origin="cloudtrail"),
            ),
            BrinIndex(
                fields=["created_at", "updated_at", "occurred_at"],
                name="instanceevent_times",
                autosummarize=True,
            ),
        ]

    def __str__(self) -> str:
        return f"{self.event_type} of instance {self.instance_id} at {self.occurred_at}"


class InstanceFact(models.Model):
    """What a cloud said of an instance, kept on change only (09 P8, P14)."""

    instance = models.ForeignKey(Instance, on_delete=models.CASCADE, related_name="facts")
    observed_at = models.DateTimeField(default=clock.now)
    source = models.CharField(max_length=32)
    instance_type = models.CharField(max_length=64, null=True)  # noqa: DJ001
    usage_operation = models.TextField(null=True)  # noqa: DJ001
    platform_details = models.TextField(null=True)  # noqa: DJ001
    product_codes = models.JSONField(null=True)
    licenses = models.JSONField(null=True)
    lifecycle = models.CharField(max_length=32, null=True)  # noqa: DJ001
    tenancy = models.CharField(max_length=32, null=True)  # noqa: DJ001
    zone = models.CharField(max_length=64, null=True)  # noqa: DJ001
    cpu_cores = models.IntegerField(null=True)
    threads_per_core = models.IntegerField(null=True)
    image = models.JSONField(null=True, help_text="Azure: publisher, offer, SKU and plan")

    class Meta:
        indexes = [
            models.Index(fields=["instance", "observed_at"], name="instancefact_history"),
        ]

    def __str__(self) -> str:
        return f"instance {self.instance_id} as seen {self.observed_at}"
