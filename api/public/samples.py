"""Examples of the members of answers and bodies, as the OpenAPI documents show them.

``SampleSchema`` describes every view. It adds an example to each plain member of a component, so
that readers of the documents see answers with plausible values. Members that are components
or enumerations need none: their own description has it.
"""

from typing import Any

from drf_spectacular.openapi import AutoSchema

_MOMENT = "2026-11-02T09:30:00Z"
_DAY = "2026-11-02"
_UUID = "f9c1a1f0-5b0e-4c7e-9d3a-1f0b6f6d2c11"
_PAGE = "/api/cloudigrade/v2/instances/?limit=10&offset=10"
_AZURE_ID = (
    f"/subscriptions/{_UUID}/resourcegroups/example/providers/microsoft.compute/virtualmachines/web"
)

_FORMATS = {
    "date-time": _MOMENT,
    "date": _DAY,
    "uuid": _UUID,
    "decimal": "4.00",
    "uri": "https://s3.example.com/exports/17.csv",
    "uri-reference": _PAGE,
}

_TEXTS = {
    "Effect": "Allow",
    "ProductCodeId": "6njl1pau431dv1qxipg63mvah",
    "ProductCodeType": "marketplace",
    "Resource": "*",
    "Sid": "CloudigradePolicy",
    "Version": "2012-10-17",
    "account_arn": "arn:aws:iam::123456789012:role/role-for-cloudigrade",
    "account_number": "100001",
    "actor": "jdoe@redhat.com",
    "arch": "x86_64",
    "arch_normalized": "x86_64",
    "architecture": "x86_64",
    "arguments": "[17]",
    "aws_account_id": "123456789012",
    "azure_offer_template_path": "/api/cloudigrade/v2/azure-offer-template/",
    "believed": "power_on",
    "bucket": "cloudigrade-trails",
    "cloud_account_number": "123456789012",
    "cloud_id": "i-0123456789abcdef0",
    "code": "ACCESS_DENIED",
    "code_version": "a1b2c3d",
    "copied_ami_id": "ami-0fedcba9876543210",
    "customer_key": "200002",
    "customer_snapshot_id": "snap-0123456789abcdef0",
    "detail": "Not found.",
    "ec2_ami_id": "ami-0123456789abcdef0",
    "ec2_instance_id": "i-0123456789abcdef0",
    "error": "The image cannot be copied.",
    "error_code": "UnauthorizedOperation",
    "etag": "9b2cf535f27731c974343645a3985328",
    "event_type": "ApplicationAuthentication.create",
    "first": "/api/cloudigrade/v2/instances/?limit=10&offset=0",
    "from_state": "enabled",
    "id": "17",
    "inspection_json": '{"rhel_enabled_repos_found": true}',
    "inspector_instance_id": "i-0fedcba9876543210",
    "instance_hours": "18.500000",
    "instance_type": "m5.large",
    "key": "AWSLogs/123456789012/CloudTrail/us-east-1/2026/11/02/log.json.gz",
    "last": "/api/cloudigrade/v2/instances/?limit=10&offset=20",
    "last_error": "ConnectionError: no answer",
    "lifecycle": "on-demand",
    "name": "RHEL-9.4.0_HVM-x86_64",
    "next": _PAGE,
    "org_id": "200002",
    "outcome": "done",
    "owner_aws_account_id": "309956199498",
    "platform_details": "Red Hat Enterprise Linux",
    "previous": "/api/cloudigrade/v2/instances/?limit=10",
    "previous_key": "AWSLogs/123456789012/CloudTrail-Digest/us-east-1/2026/11/02/digest.json.gz",
    "producer_name": "cloudigrade",
    "producer_version": "a1b2c3d",
    "reason": "unknown application",
    "ref": "inspection:17",
    "region": "us-east-1",
    "remote_address": "10.0.0.17",
    "request_id": _UUID,
    "resource_id": _AZURE_ID,
    "rhel_version": "9.4",
    "role": "Red Hat Enterprise Linux Server",
    "seen": "power_off",
    "service_type": "L1-L3",
    "sla": "Premium",
    "snapshot_copy_id": "snap-0fedcba9876543210",
    "source": "describe",
    "source_id": "8d1f7a8e-6c1c-4f6e-9a53-0b7a3f0f2c55",
    "subnet": "subnet-0123456789abcdef0",
    "subscription_id": _UUID,
    "target": "image 17",
    "task": "api.tasks.calculation.calculate_max_concurrent_usage",
    "task_id": _UUID,
    "tenancy": "default",
    "topic": "platform.sources.event-stream",
    "usage": "Production",
    "usage_operation": "RunInstances:0010",
    "username": "100001",
    "uuid": _UUID,
    "vcpu_hours": "37.000000",
    "version": "a1b2c3d",
    "zone": "us-east-1a",
}

_NUMBERS = {
    "count": 23,
    "instance_seconds": 66600,
    "vcpu_seconds": 133200,
    "memory_mib_seconds": 545587200,
    "memory_mib": 8192,
    "memory": 8.0,
    "metered_seconds": 86400,
    "gap_seconds": 0,
    "content_type": 11,
    "vcpu": 2,
}

_STRUCTURES = {
    "Action": ["ec2:DescribeImages", "ec2:DescribeSnapshots"],
    "args": [17],
    "arguments": {"user_id": 17},
    "causes": ["late_events"],
    "changed_keys": [],
    "evidence": {"name": "rhel_enabled_repos_found", "value": True},
    "file_names": [],
    "filters": {"filter[region]": "us-east-1"},
    "gaps": [],
    "image": {"ImageId": "ami-0123456789abcdef0"},
    "json_definition": {"InstanceType": "m5.large"},
    "licenses": [],
    "machine_images": [17, 18],
    "product_codes": [],
    "refs": [],
    "skipped": [],
    "syspurpose": {"role": "Red Hat Enterprise Linux Server", "usage": "Production"},
    "unreadable": [],
    "value": "RunInstances:0010",
}

_OWN_EXAMPLE = {"$ref", "allOf", "anyOf", "oneOf", "enum", "example"}


def example_of(name: str, schema: dict[str, Any]) -> Any:
    """Return an example of the member ``name``; None if its schema needs none, or none is known."""
    if not _OWN_EXAMPLE.isdisjoint(schema) or not _OWN_EXAMPLE.isdisjoint(schema.get("items", {})):
        return None
    match schema.get("type"):
        case "string":
            return _FORMATS.get(schema.get("format", ""), _TEXTS.get(name))
        case "integer" | "number":
            return _NUMBERS.get(name, 1)
        case "boolean":
            return True
        case _:
            return _STRUCTURES.get(name)


class SampleSchema(AutoSchema):
    """Adds an example to each plain member of a component."""

    def _map_serializer_field(
        self, field: Any, direction: Any, bypass_extensions: bool = False
    ) -> Any:
        schema = super()._map_serializer_field(field, direction, bypass_extensions)
        if schema is not None and field.field_name:
            example = example_of(field.field_name, schema)
            if example is not None:
                return {**schema, "example": example}
        return schema
