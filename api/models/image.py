"""Machine images: what the cloud says of them, what inspection found, and what metering needs."""

from django.db import models
from django.db.models import Q

from api.models.base import CloudType, Timestamped
from api.models.user import User
from util import clock


class MachineImage(Timestamped):
    """One AMI, or one Azure image as used by one customer (decision 25).

    The columns after ``inspection_json`` are derived; ``api.images.facts`` alone computes them and
    ``api.images.changes`` alone writes them, together with history and stale usage.
    """

    class Status(models.TextChoices):
        """Steps of an inspection (spec 05 §2)."""

        PENDING = "pending"
        PREPARING = "preparing"
        INSPECTING = "inspecting"
        INSPECTED = "inspected"
        ERROR = "error"
        UNAVAILABLE = "unavailable"

    class Platform(models.TextChoices):
        """What EC2 says of the operating system."""

        NONE = "none"
        WINDOWS = "windows"

    cloud_type = models.CharField(max_length=8, choices=CloudType.choices)
    cloud_image_id = models.TextField(help_text="AMI id; Azure SKU or image resource id")
    user = models.ForeignKey(User, null=True, on_delete=models.CASCADE, related_name="azure_images")
    publisher = models.TextField(default="", blank=True)
    offer = models.TextField(default="", blank=True)

    name = models.TextField(null=True)  # noqa: DJ001
    architecture = models.CharField(max_length=32, null=True)  # noqa: DJ001
    status = models.CharField(max_length=16, choices=Status.choices, default=Status.PENDING)
    is_encrypted = models.BooleanField(default=False)
    region = models.CharField(max_length=256, null=True)  # noqa: DJ001
    owner_aws_account_id = models.CharField(max_length=12, null=True)  # noqa: DJ001
    platform = models.CharField(max_length=8, choices=Platform.choices, null=True)  # noqa: DJ001
    marketplace = models.BooleanField(default=False, help_text="flagged so by the cloud")
    product_codes = models.JSONField(null=True)
    platform_details = models.TextField(null=True)  # noqa: DJ001
    usage_operation = models.TextField(null=True)  # noqa: DJ001
    reference_image = models.ForeignKey(
        "self", null=True, on_delete=models.SET_NULL, related_name="copies"
    )

    # Of an AMI, whether any customer's tags say so: ``ImageTags`` tells whose.
    rhel_detected_by_tag = models.BooleanField(default=False)
    rhel_detected_by_license = models.BooleanField(default=False)
    openshift_detected = models.BooleanField(default=False)
    # No longer used; the previous version writes them.
    rhel_tag_at = models.DateTimeField(null=True, help_text="replaced by ImageTags")
    openshift_tag_at = models.DateTimeField(null=True, help_text="replaced by ImageTags")
    marks_by_account = models.JSONField(
        default=dict, help_text="Azure: what the machines of each account said of it"
    )
    waiting_since = models.DateTimeField(
        null=True, help_text="since when a pending image waits for its turn to be inspected"
    )
    inspection_json = models.TextField(null=True)  # noqa: DJ001

    is_cloud_access = models.BooleanField(default=False)
    is_marketplace = models.BooleanField(default=False)
    rhel_enabled_repos_found = models.BooleanField(default=False)
    rhel_product_certs_found = models.BooleanField(default=False)
    rhel_release_files_found = models.BooleanField(default=False)
    rhel_signed_packages_found = models.BooleanField(default=False)
    rhel_version = models.TextField(null=True)  # noqa: DJ001
    syspurpose = models.JSONField(null=True)
    is_rhel = models.BooleanField(default=False, help_text="for at least one customer")
    role = models.CharField(max_length=64, default="", blank=True)
    sla = models.CharField(max_length=64, default="", blank=True)
    usage = models.CharField(max_length=64, default="", blank=True)
    service_type = models.CharField(max_length=64, default="", blank=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["cloud_image_id"],
                condition=Q(cloud_type=CloudType.AWS),
                name="machineimage_ami",
            ),
            models.CheckConstraint(
                condition=Q(cloud_type=CloudType.AWS, user__isnull=True)
                | Q(cloud_type=CloudType.AZURE, user__isnull=False),
                name="machineimage_owner",
            ),
            models.UniqueConstraint(
                fields=["user", "publisher", "offer", "cloud_image_id"],
                condition=Q(cloud_type=CloudType.AZURE),
                name="machineimage_azure",
            ),
        ]
        indexes = [
            models.Index(fields=["created_at", "id"], name="machineimage_created"),
            models.Index(
                fields=["status", "updated_at"],
                name="machineimage_unfinished",
                condition=Q(status__in=["pending", "preparing", "inspecting"]),
            ),
            models.Index(
                fields=["waiting_since"],
                name="machineimage_waiting",
                condition=Q(status="pending", waiting_since__isnull=False),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.cloud_type} image {self.cloud_image_id}"


class ImageFact(models.Model):
    """What was known of an image from a moment on (09 P6).

    A row without a user tells of the image itself, whoever uses it. A row with one tells whether
    that customer's tags made it RHEL (README decision 34). It counted as RHEL for a customer while
    the newest row of either kind said so.
    """

    class Reason(models.TextChoices):
        """What taught us."""

        INSPECTION = "inspection"
        TAG = "tag"
        CLOUD_ACCESS = "cloud_access"
        DESCRIBE = "describe"
        OPERATOR = "operator"

    machine_image = models.ForeignKey(MachineImage, on_delete=models.CASCADE, related_name="facts")
    user = models.ForeignKey(
        User, null=True, on_delete=models.CASCADE, related_name="+", db_index=False
    )
    valid_from = models.DateTimeField(default=clock.now)
    is_rhel = models.BooleanField()
    architecture = models.CharField(max_length=32, null=True)  # noqa: DJ001
    role = models.CharField(max_length=64, blank=True)
    sla = models.CharField(max_length=64, blank=True)
    usage = models.CharField(max_length=64, blank=True)
    service_type = models.CharField(max_length=64, blank=True)
    rhel_version = models.TextField(null=True)  # noqa: DJ001
    reason = models.CharField(max_length=16, choices=Reason.choices)
    ref = models.TextField(blank=True)
    evidence = models.JSONField(default=dict)

    class Meta:
        indexes = [
            models.Index(fields=["machine_image", "valid_from"], name="imagefact_history"),
            models.Index(fields=["user"], name="imagefact_user", condition=Q(user__isnull=False)),
        ]

    def __str__(self) -> str:
        return f"image {self.machine_image_id} from {self.valid_from}: RHEL {self.is_rhel}"


class InspectionAttempt(Timestamped):
    """One start of an inspection with all it made and its whole result (spec 05 §11.3, 09 P7).

    The internal API shows it as "machine image inspection start".
    """

    machine_image = models.ForeignKey(
        MachineImage, on_delete=models.CASCADE, related_name="inspection_attempts"
    )
    arn = models.TextField(blank=True)
    region = models.CharField(max_length=64, blank=True)
    copied_ami_id = models.TextField(blank=True)
    customer_snapshot_id = models.TextField(blank=True)
    snapshot_copy_id = models.TextField(blank=True)
    inspector_instance_id = models.TextField(blank=True)
    share_removed_at = models.DateTimeField(null=True)
    snapshot_deleted_at = models.DateTimeField(null=True)
    counts = models.BooleanField(default=True, help_text="counts against the limit of attempts")
    outcome = models.CharField(max_length=32, blank=True)
    error = models.TextField(blank=True)
    finished_at = models.DateTimeField(null=True)
    result = models.TextField(null=True)  # noqa: DJ001
    producer_name = models.TextField(blank=True)
    producer_version = models.TextField(blank=True)

    class Meta:
        indexes = [
            models.Index(fields=["created_at", "id"], name="inspectionattempt_created"),
            models.Index(
                fields=["updated_at"],
                name="inspectionattempt_open",
                condition=Q(finished_at__isnull=True),
            ),
        ]

    def __str__(self) -> str:
        return f"inspection attempt {self.pk} of image {self.machine_image_id}"


class SnapshotShare(Timestamped):
    """A customer's snapshot that we may be permitted to copy (spec 05 §4.5).

    Stored before we let ourselves do so, and kept until we cannot any more: it outlives the image,
    the inspection and the customer. ``updated_at`` is when it was shared, or last failed to end.
    """

    customer_snapshot_id = models.TextField()
    region = models.CharField(max_length=64)
    arn = models.TextField()
    ami_id = models.TextField()
    error = models.TextField(blank=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["customer_snapshot_id", "region"], name="snapshotshare_snapshot"
            ),
        ]
        indexes = [models.Index(fields=["updated_at"], name="snapshotshare_updated")]

    def __str__(self) -> str:
        return f"share of {self.customer_snapshot_id}"
