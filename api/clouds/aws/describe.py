"""Ask EC2 what there is, and take from its answers what we need (spec 04 §7, §8.8, §9.2).

Always by filter and in pages: ids that no longer exist are simply absent from the answer. Raises
what the SDK raises, once its patience with throttling is over.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from api.clouds.aws.arn import Arn
from api.clouds.aws.session import HOME_REGION, clients

RUNNING = 16
TERMINATED = 48

IDS_AT_ONCE = 200
"""Values that AWS takes in one filter."""

PAGE = 250
"""Instances asked for at once: a page of them is what a thread holds in memory."""


class DescribedInstance(NamedTuple):
    """An instance as EC2 describes it."""

    instance_id: str
    image_id: str | None
    instance_type: str | None
    subnet: str | None
    state: int
    is_windows: bool
    facts: dict[str, Any]


class DescribedImage(NamedTuple):
    """An image as EC2 describes it."""

    image_id: str
    owner_id: str | None
    name: str | None
    architecture: str | None
    product_codes: list[dict[str, Any]] | None
    platform_details: str | None
    usage_operation: str | None
    is_windows: bool
    tags: frozenset[str]


def describe_regions(arn: Arn) -> list[str]:
    """Give the regions that are enabled in the account."""
    answer = clients.of_customer(arn, "ec2", HOME_REGION).describe_regions()
    return [region["RegionName"] for region in answer["Regions"]]


def describe_all_instances(arn: Arn, region: str) -> Iterator[DescribedInstance]:
    """Give all instances of an account in a region, but for terminated ones."""
    for instance in _instances(arn, region, PaginationConfig={"PageSize": PAGE}):
        if instance.state != TERMINATED:
            yield instance


def describe_instances(arn: Arn, region: str, ids: Iterable[str]) -> Iterator[DescribedInstance]:
    """Give those of some instances that AWS still knows."""
    for some in _chunks(ids):
        yield from _instances(arn, region, Filters=[{"Name": "instance-id", "Values": some}])


def _instances(arn: Arn, region: str, **options: Any) -> Iterator[DescribedInstance]:
    pages = clients.of_customer(arn, "ec2", region).get_paginator("describe_instances")
    for page in pages.paginate(**options):
        for reservation in page.get("Reservations", ()):
            for raw in reservation.get("Instances", ()):
                yield instance_of(raw)


def describe_images(arn: Arn, region: str, ids: Iterable[str]) -> Iterator[DescribedImage]:
    """Give those of some images that AWS still shows this account, deprecated ones too."""
    pages = clients.of_customer(arn, "ec2", region).get_paginator("describe_images")
    for some in _chunks(ids):
        by_id = [{"Name": "image-id", "Values": some}]
        for page in pages.paginate(Filters=by_id, IncludeDeprecated=True):
            for raw in page.get("Images", ()):
                yield image_of(raw)


def _chunks(ids: Iterable[str]) -> Iterator[list[str]]:
    ordered = sorted(ids)
    for first in range(0, len(ordered), IDS_AT_ONCE):
        yield ordered[first : first + IDS_AT_ONCE]


def instance_of(raw: Mapping[str, Any]) -> DescribedInstance:
    """Take from an instance's description what we need. Pure."""
    return DescribedInstance(
        instance_id=raw["InstanceId"],
        image_id=raw.get("ImageId") or None,
        instance_type=raw.get("InstanceType") or None,
        subnet=raw.get("SubnetId") or None,
        # The high byte is AWS's own.
        state=raw.get("State", {}).get("Code", 0) & 0xFF,
        is_windows=_is_windows(raw),
        facts=_facts(raw),
    )


def image_of(raw: Mapping[str, Any]) -> DescribedImage:
    """Take from an image's description what we need. Pure."""
    return DescribedImage(
        image_id=raw["ImageId"],
        owner_id=raw.get("OwnerId"),
        name=raw.get("Name"),
        architecture=raw.get("Architecture"),
        product_codes=raw.get("ProductCodes"),
        platform_details=raw.get("PlatformDetails"),
        usage_operation=raw.get("UsageOperation"),
        is_windows=_is_windows(raw),
        tags=frozenset(tag.get("Key", "") for tag in raw.get("Tags", ())),
    )


def _is_windows(raw: Mapping[str, Any]) -> bool:
    return str(raw.get("Platform") or "").lower() == "windows"


def _facts(raw: Mapping[str, Any]) -> dict[str, Any]:
    placement, cpu = raw.get("Placement", {}), raw.get("CpuOptions", {})
    return {
        "instance_type": raw.get("InstanceType"),
        "usage_operation": raw.get("UsageOperation"),
        "platform_details": raw.get("PlatformDetails"),
        "product_codes": raw.get("ProductCodes") or None,
        "licenses": raw.get("Licenses") or None,
        "lifecycle": raw.get("InstanceLifecycle"),
        "tenancy": placement.get("Tenancy"),
        "zone": placement.get("AvailabilityZone"),
        "cpu_cores": cpu.get("CoreCount"),
        "threads_per_core": cpu.get("ThreadsPerCore"),
    }
