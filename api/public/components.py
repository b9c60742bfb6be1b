"""Components of the OpenAPI document (spec 01 §11) for what is made of no rows.

They describe and do nothing else; a test holds real answers against the document. Every member is
always there that is not said to be optional. ``api.public.resources`` has what is listed.
"""

from rest_framework import serializers
from rest_framework.serializers import Serializer

_AWS_ACCOUNT_ID = r"^\d{12}$"


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
