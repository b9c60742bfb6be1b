"""The components of the OpenAPI document (spec 01 §11): what is sent, member by member.

They describe and do nothing else: ``api.public.objects`` makes what they describe, and a test holds
real answers against the document. Every member is always there that is not said to be optional.
"""

from drf_spectacular.utils import PolymorphicProxySerializer, extend_schema_field
from rest_framework import serializers
from rest_framework.serializers import Serializer

from api import models
from api.billing.classes import BillingClass
from api.models.instance import PowerState
from api.public.coverage_components import Quality
from api.public.instance_fields import UNKNOWN

_AWS_ACCOUNT_ID = r"^\d{12}$"


def _one_of(name: str, *kinds: type[Serializer]) -> serializers.Field:
    """Make the member that differs by cloud."""
    union = PolymorphicProxySerializer(name, list(kinds), resource_type_field_name=None)
    field = type(f"{name}Field", (serializers.Field,), {})
    return extend_schema_field(union)(field)()


class Timestamped(Serializer):
    """A record that knows when it was made and last changed, in UTC."""

    created_at = serializers.DateTimeField()
    updated_at = serializers.DateTimeField()


class AwsCloudAccountContent(Timestamped):
    """An AWS account."""

    aws_cloud_account_id = serializers.IntegerField()
    account_arn = serializers.CharField(help_text="The role that we assume.")
    aws_account_id = serializers.RegexField(_AWS_ACCOUNT_ID)


class AzureCloudAccountContent(Timestamped):
    """An Azure subscription."""

    azure_cloud_account_id = serializers.IntegerField()
    subscription_id = serializers.UUIDField()


class CloudAccount(Timestamped):
    """A customer's account with a public cloud."""

    account_id = serializers.IntegerField()
    user_id = serializers.IntegerField()
    cloud_type = serializers.ChoiceField(models.CloudType.choices)
    content_object = _one_of(
        "CloudAccountContent", AwsCloudAccountContent, AzureCloudAccountContent
    )
    is_enabled = serializers.BooleanField(help_text="Whether usage is metered now.")
    platform_authentication_id = serializers.IntegerField()
    platform_application_id = serializers.IntegerField()
    platform_application_is_paused = serializers.BooleanField()
    platform_source_id = serializers.IntegerField()


class AwsInstanceContent(Timestamped):
    """An EC2 instance."""

    aws_instance_id = serializers.IntegerField()
    ec2_instance_id = serializers.CharField()
    region = serializers.CharField()


class AzureInstanceContent(Timestamped):
    """An Azure virtual machine."""

    azure_instance_id = serializers.IntegerField()
    resource_id = serializers.CharField(help_text="The id in Azure Resource Manager.")
    region = serializers.CharField()


class InstanceState(Serializer):
    """What is known of an instance now."""

    status = serializers.ChoiceField(
        [*PowerState.values, UNKNOWN], help_text="Unknown if no power event is known."
    )
    since = serializers.DateTimeField(allow_null=True, help_text="Of the newest power event.")
    instance_type = serializers.CharField(allow_null=True)
    vcpu = serializers.IntegerField(
        allow_null=True, help_text="By the instance's own CPU options, or else by its type."
    )
    rhel = serializers.BooleanField(allow_null=True, help_text="Null while the image is unknown.")
    rhel_version = serializers.CharField(allow_null=True)
    billing = serializers.ChoiceField(BillingClass.choices, help_text="Who is paid for RHEL.")
    usage_operation = serializers.CharField(allow_null=True)


class Instance(Timestamped):
    """A virtual machine."""

    instance_id = serializers.IntegerField()
    cloud_account_id = serializers.IntegerField()
    machine_image_id = serializers.IntegerField(
        allow_null=True, help_text="Null while the image is unknown."
    )
    cloud_type = serializers.ChoiceField(models.CloudType.choices)
    content_object = _one_of("InstanceContent", AwsInstanceContent, AzureInstanceContent)
    state = InstanceState(required=False, help_text="Only in lists, with `include=state`.")


class ProductCode(Serializer):
    """A product code as EC2 reports it."""

    ProductCodeId = serializers.CharField()
    ProductCodeType = serializers.CharField()


class AwsMachineImageContent(Timestamped):
    """An Amazon machine image."""

    aws_image_id = serializers.IntegerField()
    id = serializers.IntegerField(help_text="The same as aws_image_id.")
    ec2_ami_id = serializers.CharField()
    owner_aws_account_id = serializers.RegexField(_AWS_ACCOUNT_ID, allow_null=True)
    platform = serializers.ChoiceField(models.MachineImage.Platform.choices, allow_null=True)
    region = serializers.CharField(allow_null=True)
    is_cloud_access = serializers.BooleanField()
    is_marketplace = serializers.BooleanField()
    product_codes = ProductCode(many=True, allow_null=True)
    platform_details = serializers.CharField(allow_null=True)
    usage_operation = serializers.CharField(allow_null=True)


class AzureMachineImageContent(Timestamped):
    """An Azure image or SKU."""

    azure_image_id = serializers.IntegerField()
    id = serializers.IntegerField(help_text="The same as azure_image_id.")
    resource_id = serializers.CharField(allow_null=True)
    region = serializers.CharField(allow_null=True)
    is_marketplace = serializers.BooleanField()


class MachineImage(Timestamped):
    """An image from which instances are started."""

    image_id = serializers.IntegerField()
    architecture = serializers.CharField(allow_null=True)
    name = serializers.CharField(allow_null=True)
    status = serializers.ChoiceField(models.MachineImage.Status.choices)
    is_encrypted = serializers.BooleanField()
    inspection_json = serializers.CharField(
        allow_null=True, help_text="What the inspection found, as JSON text."
    )
    rhel = serializers.BooleanField(help_text="The same as rhel_detected.")
    rhel_detected = serializers.BooleanField()
    rhel_detected_by_tag = serializers.BooleanField()
    rhel_enabled_repos_found = serializers.BooleanField()
    rhel_product_certs_found = serializers.BooleanField()
    rhel_release_files_found = serializers.BooleanField()
    rhel_signed_packages_found = serializers.BooleanField()
    rhel_version = serializers.CharField(allow_null=True)
    syspurpose = serializers.DictField(
        allow_null=True, help_text="The system purpose that the inspection found."
    )
    openshift = serializers.BooleanField(help_text="The same as openshift_detected.")
    openshift_detected = serializers.BooleanField()
    cloud_type = serializers.ChoiceField(models.CloudType.choices)
    content_object = _one_of(
        "MachineImageContent", AwsMachineImageContent, AzureMachineImageContent
    )


class MaximumCount(Serializer):
    """The most RHEL instances of one category that ran at once on a day.

    A value of `_ANY` stands for all values together, an empty one for an unknown value.
    """

    arch = serializers.CharField(allow_blank=True)
    role = serializers.CharField(allow_blank=True)
    sla = serializers.CharField(allow_blank=True)
    usage = serializers.CharField(allow_blank=True)
    service_type = serializers.CharField(allow_blank=True)
    instances_count = serializers.IntegerField(min_value=0)


class DailyConcurrentUsage(Serializer):
    """The use of RHEL on one UTC day."""

    date = serializers.DateField()
    maximum_counts = MaximumCount(many=True, help_text="Empty if no RHEL was seen.")
    quality = Quality(required=False, help_text="Only with `include=quality`.")


class PolicyStatement(Serializer):
    """A statement of an IAM policy."""

    Sid = serializers.CharField()
    Effect = serializers.CharField()
    Action = serializers.ListField(child=serializers.CharField())
    Resource = serializers.CharField()


class Policy(Serializer):
    """An IAM policy."""

    Version = serializers.CharField()
    Statement = PolicyStatement(many=True)


class AwsPolicies(Serializer):
    """The IAM policies that customers give to the role that we assume."""

    traditional_inspection = Policy()


class Sysconfig(Serializer):
    """What a customer needs to know of us to set up an account."""

    aws_account_id = serializers.RegexField(_AWS_ACCOUNT_ID, help_text="Our own.")
    aws_policies = AwsPolicies()
    azure_offer_template_path = serializers.CharField()
    version = serializers.CharField(allow_null=True)


class Error(Serializer):
    """Why a request could not be answered."""

    detail = serializers.CharField()
