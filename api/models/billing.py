"""Which instances consume a subscription, and what is wrong with how RHEL is paid (spec 11 §2)."""

from django.db import models
from django.db.models.functions import Lower

from api.models.audit_entry import AuditEntry
from api.models.base import Timestamped
from api.models.instance import Instance
from api.models.user import User
from util import clock


class Registration(Timestamped):
    """From when to when one of a customer's machines was registered, whether we know it or not.

    ``cloud_id`` is what the cloud calls the machine: the id of an EC2 instance, the resource id or
    ``vmId`` of an Azure machine. Ids compare case-insensitively.
    """

    class Cloud(models.TextChoices):
        """Where the machine runs."""

        AWS = "aws"
        AZURE = "azure"
        GCP = "gcp"

    class Source(models.TextChoices):
        """Who told us."""

        FILE = "file"

    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="+", db_index=False)
    cloud = models.CharField(max_length=8, choices=Cloud.choices)
    cloud_id = models.TextField()
    registered_from = models.DateTimeField()
    registered_until = models.DateTimeField(null=True, help_text="null: is registered still")
    source = models.CharField(max_length=16, choices=Source.choices)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                "user", "cloud", Lower("cloud_id"), "registered_from", name="registration_natural"
            ),
        ]

    def __str__(self) -> str:
        return f"registration of {self.cloud} {self.cloud_id} from {self.registered_from}"


class UploadedRegistration(models.Model):
    """A checked row of a file that an operator uploaded, until its action has stored all of them.

    Rows go with the action's end (``api.billing.uploads``), or with their audit entry.
    """

    action = models.ForeignKey(AuditEntry, on_delete=models.CASCADE, related_name="+")
    line = models.BigIntegerField()
    cloud = models.TextField()
    cloud_id = models.TextField()
    registered_from = models.DateTimeField()
    registered_until = models.DateTimeField(null=True)

    def __str__(self) -> str:
        return f"line {self.line} of action {self.action_id}"


class BillingFinding(models.Model):
    """What was last found wrong, of today or yesterday, in how an instance's RHEL is paid.

    A summary of what ``api.billing.findings`` finds, replaced as a whole for each customer by
    ``api.billing.summary``: for the metric, and for lists of instances.
    """

    class Kind(models.TextChoices):
        """What is wrong."""

        COUNTED_BUT_BILLED = "counted_but_billed"
        REGISTERED_BUT_BILLED = "registered_but_billed"
        OWN_NOT_REGISTERED = "own_not_registered"
        CONVERTED = "converted"
        UNKNOWN_CLASS = "unknown_class"

    class Confidence(models.TextChoices):
        """How sure it is."""

        CERTAIN = "certain"
        LIKELY = "likely"

    # Without constraints: what is written while its account is deleted goes with the next summary.
    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="+", db_constraint=False)
    instance = models.ForeignKey(
        Instance,
        on_delete=models.CASCADE,
        related_name="billing_findings",
        db_index=False,
        db_constraint=False,
    )
    kind = models.CharField(max_length=24, choices=Kind.choices)
    confidence = models.CharField(max_length=8, choices=Confidence.choices)
    seconds = models.BigIntegerField(help_text="yesterday and today")
    found_at = models.DateTimeField(default=clock.now)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["instance", "kind"], name="billingfinding_natural"),
        ]

    def __str__(self) -> str:
        return f"{self.kind} of instance {self.instance_id}"
