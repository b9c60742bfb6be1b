"""What is to be told over Kafka about customers' usage, and what was told (spec 14)."""

from django.db import models
from django.db.models.functions import Now

from api.models.user import User


class Topic(models.TextChoices):
    """The two topics, each with consumers of its own."""

    USAGE = "usage"
    SWATCH = "swatch"


class UsageOutboxEntry(models.Model):
    """A user's day that consumers of a topic have to hear of.

    There is one entry for each day and topic, however often the day changed: what is sent is the
    newest state. ``version`` rises with each change, so that an entry that changed while its
    message was under way is not taken for done. No foreign key: the entries that tell of a deleted
    user outlive them, and carry what the message needs. Times are PostgreSQL's.
    """

    topic = models.CharField(max_length=8, choices=Topic.choices)
    user_id = models.BigIntegerField()
    date = models.DateField()
    revision = models.PositiveIntegerField(help_text="of the usage row, or of the withdrawal")
    version = models.PositiveIntegerField(default=1)
    is_replay = models.BooleanField(default=False, help_text="send it even if nothing changed")
    withdrawn = models.JSONField(null=True, help_text="uuid, org id and account of a deleted user")
    recorded_at = models.DateTimeField(db_default=Now())
    due_at = models.DateTimeField(db_default=Now(), help_text="a day is not sent before it ends")
    leased_until = models.DateTimeField(null=True, help_text="a publisher is sending it until then")

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["user_id", "date", "topic"], name="usageoutboxentry_natural"
            ),
        ]
        indexes = [models.Index(fields=["topic", "due_at"], name="usageoutboxentry_due")]

    def __str__(self) -> str:
        return f"{self.topic} of user {self.user_id} on {self.date}, revision {self.revision}"


class PublishedUsage(models.Model):
    """What consumers of the usage topic were last told about a user's day.

    ``revision`` is the message's: never below that of the usage row, and one higher whenever
    anything in the message changed, so that its id never stands for two contents.
    """

    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="+", db_index=False)
    date = models.DateField()
    revision = models.PositiveIntegerField()
    digest = models.BinaryField(max_length=16, help_text="of the message without its revision")
    acknowledged = models.BooleanField(default=False, help_text="the broker has it")

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["user", "date"], name="publishedusage_day"),
        ]

    def __str__(self) -> str:
        return f"usage of user {self.user_id} on {self.date}, message {self.revision}"


class PublishedHours(models.Model):
    """What Subscription Watch was last told about an instance's hours of one UTC day."""

    user_id = models.BigIntegerField()
    date = models.DateField()
    instance_id = models.CharField(max_length=256, help_text="the instance's id at its cloud")
    hours = models.JSONField(help_text="24 values: vCPUs in each hour, null where never told")
    facts = models.JSONField(default=dict, help_text="the other members of its newest messages")

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["user_id", "date", "instance_id"], name="publishedhours_natural"
            ),
        ]

    def __str__(self) -> str:
        return f"hours of {self.instance_id} on {self.date}, user {self.user_id}"
