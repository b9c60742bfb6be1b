"""The components of the OpenAPI document for what is wrong in how RHEL is paid (spec 11 §2)."""

from rest_framework import serializers
from rest_framework.serializers import Serializer

from api import models
from api.public.trust_components import ExplainedInstance


class FindingImage(Serializer):
    """The image of a finding's instance."""

    image_id = serializers.IntegerField()
    cloud_id = serializers.CharField()
    name = serializers.CharField(allow_null=True)


class FindingEvidence(Serializer):
    """Something that a finding rests on."""

    name = serializers.CharField()
    of = serializers.ChoiceField(["instance", "image"])
    value = serializers.JSONField()
    observed_at = serializers.DateTimeField(
        allow_null=True, help_text="When the cloud first said so of the instance."
    )


class BillingFinding(Serializer):
    """An unbroken stretch of an instance in which its RHEL is paid twice, or not at all."""

    kind = serializers.ChoiceField(models.BillingFinding.Kind.choices)
    confidence = serializers.ChoiceField(models.BillingFinding.Confidence.choices)
    instance = ExplainedInstance()
    cloud_account_id = serializers.IntegerField()
    image = FindingImage(allow_null=True)
    until = serializers.DateTimeField(allow_null=True, help_text="Null if it goes on.")
    seconds = serializers.IntegerField(min_value=0, help_text="Within the days asked for.")
    vcpu_seconds = serializers.IntegerField(
        allow_null=True, help_text="The same times vCPUs; null if these are not known."
    )
    evidence = FindingEvidence(many=True)

    def get_fields(self) -> dict:
        """Return the fields; ``from`` is a word of Python's."""
        fields = super().get_fields()
        since = serializers.DateTimeField(help_text="When it began, maybe before the days.")
        return {**fields, "from": since}
