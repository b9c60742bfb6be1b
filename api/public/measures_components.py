"""The components of the OpenAPI document for measures of usage (spec 11 §1)."""

from rest_framework import serializers
from rest_framework.serializers import Serializer

from api.billing.classes import BillingClass
from api.models import CloudType


class UsageGroup(Serializer):
    """What a row counts: the values of the dimensions that are grouped by, and no others."""

    account = serializers.IntegerField(required=False, help_text="Its `account_id`.")
    arch = serializers.CharField(required=False, allow_blank=True, help_text="As it is stored.")
    arch_normalized = serializers.CharField(
        required=False, allow_blank=True, help_text="Beside `arch`: one name for all clouds."
    )
    billing = serializers.ChoiceField(BillingClass.choices, required=False)
    cloud_type = serializers.ChoiceField(CloudType.choices, required=False)
    image = serializers.IntegerField(required=False, help_text="Its `image_id`.")
    instance_type = serializers.CharField(
        required=False, allow_null=True, help_text="Null while it is not known."
    )
    region = serializers.CharField(required=False)
    role = serializers.CharField(required=False, allow_blank=True)
    service_type = serializers.CharField(required=False, allow_blank=True)
    sla = serializers.CharField(required=False, allow_blank=True)
    usage = serializers.CharField(required=False, allow_blank=True)


class Usage(Serializer):
    """How long RHEL was on in an hour, day or month, and how much at once."""

    start = serializers.DateTimeField()
    end = serializers.DateTimeField(help_text="The first moment that is not counted.")
    group = UsageGroup(help_text="Empty if nothing is grouped by.")
    instance_seconds = serializers.IntegerField(min_value=0)
    vcpu_seconds = serializers.IntegerField(min_value=0)
    memory_mib_seconds = serializers.IntegerField(min_value=0)
    unsized_seconds = serializers.IntegerField(
        min_value=0, help_text="Of instances whose type's size is not known."
    )
    instance_hours = serializers.RegexField(r"^[0-9]+\.[0-9]{6}$")
    vcpu_hours = serializers.RegexField(r"^[0-9]+\.[0-9]{6}$")
    peak = serializers.IntegerField(
        min_value=0, help_text="The largest number of instances on at one moment."
    )
    peak_date = serializers.DateField(
        required=False,
        allow_null=True,
        help_text="Of months: the first day that reaches the peak; null without any use.",
    )
    final = serializers.BooleanField(
        help_text="False for today, and while days are calculated again."
    )
