"""Records of what was read from the clouds, so that a number can be explained later (spec 09)."""

from django.contrib.postgres.indexes import BrinIndex
from django.db import models
from django.db.models.functions import Now

from api.models.account import CloudAccount
from api.models.instance import Instance
from util import clock


class IngestObject(models.Model):
    """A CloudTrail log file that stored something, or failed (09 P2)."""

    class Outcome(models.TextChoices):
        """What became of the file."""

        OK = "ok"
        UNREADABLE = "unreadable"
        REJECTED = "rejected"
        MISSING = "missing"
        ARCHIVED = "archived"

    bucket = models.TextField()
    key = models.TextField()
    etag = models.TextField(blank=True)
    size = models.BigIntegerField(null=True)
    aws_account_id = models.CharField(max_length=12)
    region = models.CharField(max_length=64, blank=True)
    delivered_at = models.DateTimeField(null=True)
    announced_at = models.DateTimeField(null=True)
    enqueued_at = models.DateTimeField(null=True)
    processed_at = models.DateTimeField(default=clock.now)
    outcome = models.CharField(max_length=16, choices=Outcome.choices)
    records = models.IntegerField(default=0)
    relevant = models.IntegerField(default=0)
    stored = models.IntegerField(default=0)
    oldest_event_at = models.DateTimeField(null=True)
    newest_event_at = models.DateTimeField(null=True)
    attempts = models.PositiveIntegerField(default=1)
    code_version = models.CharField(max_length=64, blank=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["bucket", "key"], name="ingestobject_key"),
        ]
        indexes = [
            models.Index(fields=["aws_account_id", "processed_at"], name="ingestobject_account"),
            models.Index(fields=["processed_at"], name="ingestobject_processed"),
        ]

    def __str__(self) -> str:
        return f"{self.bucket}/{self.key}: {self.outcome}"


class IngestHour(models.Model):
    """All log files of an account, region and hour, with why records were skipped (09 P3)."""

    aws_account_id = models.CharField(max_length=12)
    region = models.CharField(max_length=64)
    hour = models.DateTimeField()
    files = models.IntegerField(default=0)
    records = models.BigIntegerField(default=0)
    relevant = models.BigIntegerField(default=0)
    stored = models.BigIntegerField(default=0)
    duplicates = models.BigIntegerField(default=0)
    skipped = models.JSONField(default=dict)
    newest_event_at = models.DateTimeField(null=True)
    largest_event_age = models.FloatField(null=True, help_text="seconds")
    largest_queue_wait = models.FloatField(null=True, help_text="seconds")
    seen = models.TextField(blank=True, help_text="names of the hour's files, one a line")
    audited_at = models.DateTimeField(null=True, help_text="since when the names are not needed")

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["aws_account_id", "hour", "region"], name="ingesthour_natural"
            ),
        ]
        indexes = [BrinIndex(fields=["hour"], name="ingesthour_hour")]

    def __str__(self) -> str:
        return f"logs of {self.aws_account_id} {self.region} {self.hour}"


class DescribeRun(models.Model):
    """One asking of a cloud what there is, failed ones included (09 P4)."""

    class Kind(models.TextChoices):
        """Why we asked."""

        INITIAL = "initial"
        RECONCILE = "reconcile"
        ON_DEMAND = "on_demand"
        AZURE_POLL = "azure_poll"

    class Outcome(models.TextChoices):
        """How it ended."""

        OK = "ok"
        DENIED = "denied"
        THROTTLED = "throttled"
        FAILED = "failed"

    cloud_account = models.ForeignKey(
        CloudAccount, on_delete=models.CASCADE, related_name="describe_runs", db_index=False
    )
    region = models.CharField(max_length=64, null=True)  # noqa: DJ001
    kind = models.CharField(max_length=16, choices=Kind.choices)
    started_at = models.DateTimeField(default=clock.now)
    finished_at = models.DateTimeField(null=True)
    outcome = models.CharField(max_length=16, choices=Outcome.choices)
    error_code = models.TextField(blank=True)
    listed = models.IntegerField(default=0)
    running = models.IntegerField(default=0)
    unreadable = models.JSONField(
        null=True, help_text="Azure: ids of scale sets that could not be read, a hundred at most"
    )

    class Meta:
        indexes = [
            models.Index(fields=["cloud_account", "started_at"], name="describerun_account"),
            BrinIndex(fields=["started_at"], name="describerun_started"),
        ]

    def __str__(self) -> str:
        return f"{self.kind} describe of account {self.cloud_account_id}: {self.outcome}"


class Correction(models.Model):
    """A describe or poll that contradicted what the events had told us (09 P5)."""

    class Kind(models.TextChoices):
        """What had been missed."""

        MISSED_ON = "missed_on"
        MISSED_OFF = "missed_off"
        IMAGE_FILLED = "image_filled"
        TYPE_FILLED = "type_filled"

    event_id = models.BigIntegerField(null=True)
    instance = models.ForeignKey(Instance, on_delete=models.CASCADE, related_name="corrections")
    cloud_account = models.ForeignKey(
        CloudAccount, on_delete=models.CASCADE, related_name="+", db_index=False
    )
    describe_run = models.ForeignKey(DescribeRun, null=True, on_delete=models.SET_NULL)
    kind = models.CharField(max_length=16, choices=Kind.choices)
    unsure_from = models.DateTimeField(null=True)
    unsure_to = models.DateTimeField()
    explained_by = models.BigIntegerField(null=True, help_text="id of a later event")
    created_at = models.DateTimeField(null=True, db_default=Now())

    class Meta:
        indexes = [models.Index(fields=["cloud_account", "unsure_to"], name="correction_account")]

    def __str__(self) -> str:
        return f"{self.kind} of instance {self.instance_id}"


class TrailDigest(models.Model):
    """A digest that CloudTrail's log validation delivered: what files there must be (09 P13)."""

    aws_account_id = models.CharField(max_length=12)
    region = models.CharField(max_length=64)
    start = models.DateTimeField()
    end = models.DateTimeField()
    bucket = models.TextField()
    key = models.TextField()
    previous_key = models.TextField(blank=True)
    file_names = models.JSONField(default=list)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["bucket", "key"], name="traildigest_key")]
        indexes = [models.Index(fields=["aws_account_id", "end"], name="traildigest_account")]

    def __str__(self) -> str:
        return f"digest of {self.aws_account_id} {self.region} until {self.end}"
