"""Ask EC2 what there is, and take from its answers what we need (spec 04 §7, §8.8, §9.2).

Always by filter and in pages: ids that no longer exist are simply absent from the answer. An entry
that cannot be read costs only itself. Raises what the SDK raises, once its patience with throttling
is over.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any, NamedTuple

from api.clouds.aws.arn import Arn
from api.clouds.aws.session import HOME_REGION, clients

PENDING = 0
RUNNING = 16
SHUTTING_DOWN = 32
TERMINATED = 48
STOPPING = 64
STOPPED = 80
UNKNOWN = -1
"""A state that EC2 did not tell, or that we do not know; like PENDING it proves nothing."""

OFF = frozenset({SHUTTING_DOWN, TERMINATED, STOPPING, STOPPED})

_STATES = {
    "pending": PENDING,
    "running": RUNNING,
    "shutting-down": SHUTTING_DOWN,
    "terminated": TERMINATED,
    "stopping": STOPPING,
    "stopped": STOPPED,
}

IDS_AT_ONCE = 200
"""Values that AWS takes in one filter."""

PAGE = 250
"""Instances asked for at once: a page of them is what a thread holds in memory."""

TEXT = 64
SUBNET = 256
LIFECYCLE = 32
ARCHITECTURE = 32
ACCOUNT_ID = 12
"""Characters that our columns hold; what is longer is nothing that AWS says."""

LARGEST_INTEGER = 2**31 - 1

# "User initiated (2023-01-01 00:00:05 GMT)", "Service initiated (...)" and whatever else.
_REASON_TIME = re.compile(r"\((\d{4}-\d\d-\d\d) (\d\d:\d\d:\d\d)(?: (?:GMT|UTC))?\)")


class DescribedInstance(NamedTuple):
    """An instance as EC2 describes it.

    ``launched_at`` is when it was last started, ``ended_at`` when its state last changed at
    somebody's wish, if EC2 tells; both aware, in UTC.
    """

    instance_id: str
    image_id: str | None
    instance_type: str | None
    subnet: str | None
    state: int
    is_windows: bool
    facts: dict[str, Any]
    launched_at: datetime | None = None
    ended_at: datetime | None = None


class DescribedPage(NamedTuple):
    """A page of instances; ``unreadable`` entries did not even tell their ids."""

    instances: list[DescribedInstance]
    unreadable: int


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
    """Return the regions that are enabled in the account."""
    answer = clients.of_customer(arn, "ec2", HOME_REGION).describe_regions()
    names = [_text((region or {}).get("RegionName")) for region in answer.get("Regions") or ()]
    return [name for name in names if name]


def describe_all_instances(arn: Arn, region: str) -> Iterator[DescribedPage]:
    """Yield all instances of an account in a region, terminated ones too, page by page.

    A page is asked for when the caller wants it.
    """
    yield from _pages(arn, region, PaginationConfig={"PageSize": PAGE})


def describe_instances(arn: Arn, region: str, ids: Iterable[str]) -> Iterator[DescribedInstance]:
    """Yield those of some instances that AWS still knows."""
    for some in _chunks(ids):
        for page in _pages(arn, region, Filters=[{"Name": "instance-id", "Values": some}]):
            yield from page.instances


def _pages(arn: Arn, region: str, **options: Any) -> Iterator[DescribedPage]:
    pages = clients.of_customer(arn, "ec2", region).get_paginator("describe_instances")
    for page in pages.paginate(**options):
        yield page_of(page.get("Reservations", ()))


def describe_images(arn: Arn, region: str, ids: Iterable[str]) -> Iterator[DescribedImage]:
    """Yield those of some images that AWS still shows this account.

    Deprecated ones and disabled ones are among them: instances go on running.
    """
    pages = clients.of_customer(arn, "ec2", region).get_paginator("describe_images")
    for some in _chunks(ids):
        by_id = [{"Name": "image-id", "Values": some}]
        answers = pages.paginate(Filters=by_id, IncludeDeprecated=True, IncludeDisabled=True)
        for page in answers:
            for raw in page.get("Images") or ():
                if raw and raw.get("ImageId"):
                    yield image_of(raw)


def _chunks(ids: Iterable[str]) -> Iterator[list[str]]:
    ordered = sorted(ids)
    for first in range(0, len(ordered), IDS_AT_ONCE):
        yield ordered[first : first + IDS_AT_ONCE]


def page_of(reservations: Iterable[Mapping[str, Any] | None] | None) -> DescribedPage:
    """Take from the descriptions of instances what we need; what cannot be read is None. Pure.

    An instance of which little more than its id is said is listed all the same.
    """
    page: list[DescribedInstance] = []
    unreadable = 0
    for reservation in [None] if reservations is None else reservations:
        instances = None if reservation is None else reservation.get("Instances", ())
        for raw in [None] if instances is None else instances:
            if raw and raw.get("InstanceId"):
                page.append(instance_of(raw))
            else:
                unreadable += 1
    return DescribedPage(page, unreadable)


def instance_of(raw: Mapping[str, Any]) -> DescribedInstance:
    """Take from an instance's description what we need. Pure."""
    return DescribedInstance(
        instance_id=raw["InstanceId"],
        image_id=raw.get("ImageId") or None,
        instance_type=_text(raw.get("InstanceType")),
        subnet=_text(raw.get("SubnetId"), SUBNET),
        state=_state(raw.get("State") or {}),
        is_windows=_is_windows(raw),
        facts=_facts(raw),
        launched_at=raw.get("LaunchTime"),
        ended_at=time_of_reason(raw.get("StateTransitionReason")),
    )


def _state(raw: Mapping[str, Any]) -> int:
    code = raw.get("Code")
    # The high byte is AWS's own.
    state = _STATES.get(raw.get("Name") or "", UNKNOWN) if code is None else code & 0xFF
    return state if state in _STATES.values() else UNKNOWN


def time_of_reason(reason: str | None) -> datetime | None:
    """Return the time that a ``StateTransitionReason`` tells, if it tells any (decision 31). Pure.

    ``User initiated (2023-01-01 00:00:05 GMT)`` does; an empty one, or
    ``Client.UserInitiatedShutdown: User initiated shutdown``, does not.
    """
    found = _REASON_TIME.search(reason or "")
    if not found:
        return None
    try:
        moment = datetime.fromisoformat(f"{found[1]}T{found[2]}")
    except ValueError:
        return None
    return moment.replace(tzinfo=UTC)


def image_of(raw: Mapping[str, Any]) -> DescribedImage:
    """Take from an image's description what we need. Pure."""
    return DescribedImage(
        image_id=raw["ImageId"],
        owner_id=_text(raw.get("OwnerId"), ACCOUNT_ID),
        name=raw.get("Name"),
        architecture=_text(raw.get("Architecture"), ARCHITECTURE),
        product_codes=raw.get("ProductCodes"),
        platform_details=raw.get("PlatformDetails"),
        usage_operation=raw.get("UsageOperation"),
        is_windows=_is_windows(raw),
        tags=frozenset((tag or {}).get("Key") or "" for tag in raw.get("Tags") or ()),
    )


def _is_windows(raw: Mapping[str, Any]) -> bool:
    return str(raw.get("Platform") or "").lower() == "windows"


def _facts(raw: Mapping[str, Any]) -> dict[str, Any]:
    placement, cpu = raw.get("Placement") or {}, raw.get("CpuOptions") or {}
    return {
        "instance_type": _text(raw.get("InstanceType")),
        "usage_operation": raw.get("UsageOperation"),
        "platform_details": raw.get("PlatformDetails"),
        "product_codes": raw.get("ProductCodes") or None,
        "licenses": raw.get("Licenses") or None,
        "lifecycle": _text(raw.get("InstanceLifecycle"), LIFECYCLE),
        "tenancy": _text(placement.get("Tenancy"), LIFECYCLE),
        "zone": _text(placement.get("AvailabilityZone")),
        "cpu_cores": _number(cpu.get("CoreCount")),
        "threads_per_core": _number(cpu.get("ThreadsPerCore")),
    }


def _text(value: str | None, limit: int = TEXT) -> str | None:
    return value if value and len(value) <= limit else None


def _number(value: int | None) -> int | None:
    return value if value is not None and abs(value) <= LARGEST_INTEGER else None
