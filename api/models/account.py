"""A customer's AWS account or Azure subscription, and the log of what became of it."""

from django.db import models
from django.db.models import Q
from django.db.models.functions import Now

from api.models.base import CloudType, Timestamped
from api.models.user import User


class CloudAccount(Timestamped):
    """One metered AWS account or Azure subscription (spec 03, "Vocabulary").

    The provider's part shares the row: its id, shown by the APIs as ``aws_cloud_account_id`` or
    ``azure_cloud_account_id``, is the id of the account.

    ``missing_since`` is since when the sources service has not known its source, by PostgreSQL's
    clock; the account is disabled then, and deleted if that lasts (decision 35).

    ``tags_unread_until`` is until when AWS's logs left out what tags of images were changed.
    """

    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="cloud_accounts")
    cloud_type = models.CharField(max_length=8, choices=CloudType.choices)

    aws_account_id = models.CharField(max_length=12, null=True, unique=True)  # noqa: DJ001
    account_arn = models.TextField(null=True, unique=True)  # noqa: DJ001
    subscription_id = models.UUIDField(null=True, unique=True)

    is_enabled = models.BooleanField(default=False)
    enabled_at = models.DateTimeField(null=True)
    is_synthetic = models.BooleanField(default=False)

    platform_authentication_id = models.BigIntegerField()
    platform_application_id = models.BigIntegerField()
    platform_source_id = models.BigIntegerField()
    platform_application_is_paused = models.BooleanField(default=False)
    missing_since = models.DateTimeField(null=True)
    tags_unread_until = models.DateTimeField(null=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["platform_authentication_id", "platform_application_id"],
                name="cloudaccount_platform_ids",
            ),
            models.CheckConstraint(
                condition=Q(
                    cloud_type=CloudType.AWS,
                    aws_account_id__isnull=False,
                    account_arn__isnull=False,
                    subscription_id__isnull=True,
                )
                | Q(
                    cloud_type=CloudType.AZURE,
                    aws_account_id__isnull=True,
                    account_arn__isnull=True,
                    subscription_id__isnull=False,
                ),
                name="cloudaccount_provider_part",
            ),
        ]
        indexes = [
            models.Index(fields=["created_at", "id"], name="cloudaccount_created"),
            models.Index(fields=["platform_application_id"], name="cloudaccount_application"),
            models.Index(fields=["platform_source_id"], name="cloudaccount_source"),
            models.Index(fields=["updated_at"], name="cloudaccount_updated"),
        ]

    def __str__(self) -> str:
        return f"{self.cloud_type} account {self.pk} ({self.cloud_account_number})"

    @property
    def cloud_account_number(self) -> str:
        """The cloud's own id as text: 12 digits for AWS, a lower-case UUID for Azure."""
        return self.aws_account_id or str(self.subscription_id)


class AccountState(models.Model):
    """One change of an account's state, or one verification; outlives the account (09 P9)."""

    class Change(models.TextChoices):
        """What happened to the account."""

        CREATED = "created"
        ENABLED = "enabled"
        DISABLED = "disabled"
        PAUSED = "paused"
        UNPAUSED = "unpaused"
        VERIFIED = "verified"
        FAILED = "failed"
        MOVED = "moved"
        DELETED = "deleted"

    class Cause(models.TextChoices):
        """Who made it happen."""

        KAFKA = "kafka"
        SCHEDULE = "schedule"
        OPERATOR = "operator"
        API = "api"

    account_id = models.BigIntegerField()
    cloud_type = models.CharField(max_length=8, choices=CloudType.choices)
    cloud_account_number = models.CharField(max_length=36)
    user_id = models.BigIntegerField()
    at = models.DateTimeField(db_default=Now())
    from_state = models.CharField(max_length=16, blank=True)
    to_state = models.CharField(max_length=16, choices=Change.choices)
    code = models.CharField(max_length=16, blank=True)
    cause = models.CharField(max_length=16, choices=Cause.choices)
    topic = models.TextField(blank=True)
    partition = models.IntegerField(null=True)
    offset = models.BigIntegerField(null=True)

    class Meta:
        indexes = [
            models.Index(fields=["account_id", "at"], name="accountstate_account"),
            models.Index(fields=["cloud_account_number", "at"], name="accountstate_number"),
        ]

    def __str__(self) -> str:
        return f"account {self.account_id}: {self.to_state} at {self.at}"
