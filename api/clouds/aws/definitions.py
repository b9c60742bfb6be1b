"""Sizes of EC2's instance types (spec 04 §9.3)."""

import json
import logging
from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import Any

from django.conf import settings

from api.clouds.aws.session import clients
from api.models import CloudType, InstanceDefinition

logger = logging.getLogger(__name__)


def repopulate_definitions() -> int:
    """Store the types that we do not know yet, of all regions; gives how many.

    A known one is never changed. All or nothing: nothing is stored unless AWS told everything.
    """
    definitions: dict[str, InstanceDefinition] = {}
    for region in _regions():
        for raw in _types(region):
            definitions.setdefault(raw["InstanceType"], definition(raw))
    return _store(definitions)


def _regions() -> list[str]:
    answer = clients.own("ec2", settings.AWS_DEFAULT_REGION).describe_regions()
    return [region["RegionName"] for region in answer["Regions"]]


def _types(region: str) -> Iterator[Mapping[str, Any]]:
    pages = clients.own("ec2", region).get_paginator("describe_instance_types")
    for page in pages.paginate():
        yield from page["InstanceTypes"]


def definition(raw: Mapping[str, Any]) -> InstanceDefinition:
    """Make a definition of an entry. Pure."""
    return InstanceDefinition(
        cloud_type=CloudType.AWS,
        instance_type=raw["InstanceType"],
        memory_mib=raw.get("MemoryInfo", {}).get("SizeInMiB", 0),
        vcpu=Decimal(raw.get("VCpuInfo", {}).get("DefaultVCpus", 0)),
        json_definition=json.dumps(raw),
    )


def _store(definitions: Mapping[str, InstanceDefinition]) -> int:
    aws = InstanceDefinition.objects.filter(cloud_type=CloudType.AWS)
    known = set(aws.values_list("instance_type", flat=True))
    new = [definitions[name] for name in sorted(definitions.keys() - known)]
    # Another worker may be doing the same.
    InstanceDefinition.objects.bulk_create(new, ignore_conflicts=True)
    logger.info("AWS offers %s instance types, of which %s were new", len(definitions), len(new))
    return len(new)
