"""Sizes of the clouds' instance types (spec 04 §9.3, 06 §7)."""

from django.db import models

from api.models.base import CloudType, Timestamped


class InstanceDefinition(Timestamped):
    """Memory and virtual CPUs of one instance type; never changed once stored."""

    cloud_type = models.CharField(max_length=8, choices=CloudType.choices)
    instance_type = models.CharField(max_length=256)
    memory_mib = models.BigIntegerField(default=0)
    vcpu = models.DecimalField(max_digits=8, decimal_places=2, default=0)
    json_definition = models.JSONField()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["cloud_type", "instance_type"], name="instancedefinition_type"
            ),
        ]
        indexes = [models.Index(fields=["created_at", "id"], name="instancedefinition_created")]

    def __str__(self) -> str:
        return f"{self.cloud_type} {self.instance_type}"
