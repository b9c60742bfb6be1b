"""Our tags on AMIs, as each AWS account sees them (spec 04 §8.7, README decision 34)."""

from django.db import models
from django.db.models import Q

from api.models.account import CloudAccount
from api.models.image import MachineImage


class ImageTags(models.Model):
    """What the tags say that one AWS account put on an AMI.

    AWS shows a tag on a public or shared AMI only to the account that made it, so it counts for the
    customer who owns that account, and for nobody else. A customer's AMI is tagged if it is in any
    of the customer's accounts. ``api.images.tags`` alone writes these rows, under the row lock of
    the image; the image's own columns ``rhel_detected_by_tag`` and ``openshift_detected`` tell
    whether it is tagged for anybody.
    """

    cloud_account = models.ForeignKey(
        CloudAccount, on_delete=models.CASCADE, related_name="image_tags", db_index=False
    )
    machine_image = models.ForeignKey(
        MachineImage, on_delete=models.CASCADE, related_name="tags", db_index=False
    )
    rhel = models.BooleanField(default=False)
    rhel_at = models.DateTimeField(null=True, help_text="of the newest change that we know of")
    openshift = models.BooleanField(default=False)
    openshift_at = models.DateTimeField(null=True, help_text="of the newest change that we know of")
    described_at = models.DateTimeField(
        null=True, help_text="when AWS last told this account about the image"
    )

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["cloud_account", "machine_image"], name="imagetags_natural"
            ),
        ]
        indexes = [
            models.Index(fields=["machine_image"], name="imagetags_image"),
            models.Index(
                fields=["cloud_account", "machine_image"],
                name="imagetags_present",
                condition=Q(rhel=True) | Q(openshift=True),
            ),
        ]

    def __str__(self) -> str:
        return f"tags of account {self.cloud_account_id} on image {self.machine_image_id}"
