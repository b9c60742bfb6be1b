"""What the records of a CloudTrail log say about instances and images (spec 04 §8.5-§8.7). Pure.

No odd record may stop the others: one that lacks something, or has it in a shape that we do not
know, is skipped for a reason that is counted (09 P3), and never raises.
"""

import enum
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, NamedTuple

from api.clouds.aws.arn import normal_account_id
from api.clouds.aws.logtext import iter_records

EC2 = "ec2.amazonaws.com"
RHEL_TAG = "cloudigrade-rhel-present"
OPENSHIFT_TAG = "cloudigrade-ocp-present"

POWER_ON = "power_on"
POWER_OFF = "power_off"
ATTRIBUTE_CHANGE = "attribute_change"

SPOT_INTERRUPTION = "BidEvictedEvent"
EVENT_TYPES = {
    "RunInstances": POWER_ON,
    "StartInstances": POWER_ON,
    "StartInstance": POWER_ON,
    "StopInstances": POWER_OFF,
    "TerminateInstances": POWER_OFF,
    "TerminateInstanceInAutoScalingGroup": POWER_OFF,
    SPOT_INTERRUPTION: POWER_OFF,
    "ModifyInstanceAttribute": ATTRIBUTE_CHANGE,
}
TAG_EVENTS = {"CreateTags": True, "DeleteTags": False}
NEED_A_TYPE = frozenset({"RunInstances", "ModifyInstanceAttribute"})

MAX_TRAIT = 32
MAX_TYPE = 64
MAX_NAME = 256
"""Characters that our tables have room for; nothing that AWS issues comes near."""

_SOURCE = f'"eventSource":"{EC2}"'.encode()
_NAME = re.compile(f'"eventName":"(?:{"|".join([*EVENT_TYPES, *TAG_EVENTS])})"'.encode())


class Skip(enum.StrEnum):
    """Why a record, or a whole file, yields nothing (09 P3)."""

    OTHER_SOURCE = "other_source"
    OTHER_EVENT = "other_event"
    ERROR_CODE = "error_code"
    MALFORMED = "malformed"
    NO_TYPE = "no_type"
    UNKNOWN_ACCOUNT = "unknown_account"
    DISABLED = "disabled"
    PAUSED = "paused"
    BEFORE_ENABLED = "before_enabled"
    BEFORE_CREATED = "before_created"
    OTHER_ACCOUNT = "other_account"
    DIGEST = "digest"
    INSIGHT = "insight"


class Traits(NamedTuple):
    """What a launch tells of an instance beside its type, as DescribeInstances words it (09 P8)."""

    product_codes: list[dict[str, str]] | None
    lifecycle: str | None
    tenancy: str | None
    zone: str | None
    cpu_cores: int | None
    threads_per_core: int | None


class Sighting(NamedTuple):
    """One instance in one record: what happened to it, when, and what the record knows of it."""

    place: int
    event_id: str
    event_name: str
    event_type: str
    occurred_at: datetime
    region: str
    account_id: str
    instance_id: str
    instance_type: str | None = None
    image_id: str | None = None
    subnet: str | None = None
    traits: Traits | None = None


class TagChange(NamedTuple):
    """One of our tags put on an image or taken off it."""

    place: int
    event_id: str
    event_name: str
    occurred_at: datetime
    region: str
    account_id: str
    image_id: str
    tag: str
    present: bool


@dataclass(slots=True)
class Log:
    """What one log file says. A record is either relevant or skipped for a reason."""

    records: int = 0
    sightings: list[Sighting] = field(default_factory=list)
    tag_changes: list[TagChange] = field(default_factory=list)
    skipped: Counter[str] = field(default_factory=Counter)
    malformed: list[int] = field(default_factory=list)

    @property
    def account_ids(self) -> set[str]:
        """The AWS accounts that it says something of."""
        return {one.account_id for one in self.sightings} | {
            one.account_id for one in self.tag_changes
        }


class _Skipped(Exception):
    def __init__(self, reason: Skip) -> None:
        self.reason = reason


def read_log(text: bytes) -> Log:
    """Read a log file's text.

    Raises ``UnicodeDecodeError`` if it is not UTF-8, ``UnreadableTextError`` if it is no log.
    """
    log = Log()
    for place, record, reason in iter_records(text, _skip_unread):
        log.records += 1
        if reason is None:
            try:
                _read_record(place, record, log)
                continue
            except _Skipped as skipped:
                reason = skipped.reason
        log.skipped[reason] += 1
        if reason == Skip.MALFORMED:
            log.malformed.append(place)
    return log


def _skip_unread(body: bytes) -> Skip | None:
    if _SOURCE not in body:
        return Skip.OTHER_SOURCE
    return None if _NAME.search(body) else Skip.OTHER_EVENT


def _read_record(place: int, record: Any, log: Log) -> None:
    if not isinstance(record, dict):
        raise _Skipped(Skip.MALFORMED)
    if record.get("eventSource") != EC2:
        raise _Skipped(Skip.OTHER_SOURCE)
    name = record.get("eventName")
    if not isinstance(name, str) or not (name in EVENT_TYPES or name in TAG_EVENTS):
        raise _Skipped(Skip.OTHER_EVENT)
    if record.get("errorCode"):
        raise _Skipped(Skip.ERROR_CODE)
    if name in TAG_EVENTS:
        log.tag_changes += _tag_changes(place, record, name)
    else:
        log.sightings += _sightings(place, record, name)


def _sightings(place: int, record: dict[str, Any], name: str) -> list[Sighting]:
    account_id = _account_id(record)
    occurred_at, region = _time(record), _region(record)
    if name == SPOT_INTERRUPTION:
        requested, items = None, _interrupted(record)
    else:
        parameters = _parameters(record)
        requested, items = _requested_type(parameters), _instances(record, parameters)
    if not items:
        raise _Skipped(Skip.MALFORMED)
    launched = name == "RunInstances"
    sightings = []
    for instance_id, item in items.items():
        instance_type = requested
        if launched and instance_type is None:
            instance_type = _text(item.get("instanceType"), MAX_TYPE)
        if instance_type is None and name in NEED_A_TYPE:
            continue
        sightings.append(
            Sighting(
                place=place,
                event_id=_text(record.get("eventID")) or "",
                event_name=name,
                event_type=EVENT_TYPES[name],
                occurred_at=occurred_at,
                region=region,
                account_id=account_id,
                instance_id=instance_id,
                instance_type=instance_type,
                image_id=_text(item.get("imageId")),
                subnet=_text(item.get("subnetId")),
                traits=_traits(item) if launched else None,
            )
        )
    if not sightings:
        raise _Skipped(Skip.NO_TYPE)
    return sightings


def _instances(
    record: dict[str, Any], parameters: Mapping[str, Any]
) -> dict[str, Mapping[str, Any]]:
    found: dict[str, Mapping[str, Any]] = {}
    response = _mapping(record.get("responseElements"))
    for item in _items(response.get("instancesSet")):
        instance_id = _text(item.get("instanceId"))
        if instance_id:
            found.setdefault(instance_id, item)
    named = _text(parameters.get("instanceId"))
    if named:
        found.setdefault(named, {})
    return found


def _interrupted(record: dict[str, Any]) -> dict[str, Mapping[str, Any]]:
    ids = _mapping(record.get("serviceEventDetails")).get("instanceIdSet")
    if not isinstance(ids, list):
        return {}
    return {instance_id: {} for value in ids if (instance_id := _text(value))}


def _requested_type(parameters: Mapping[str, Any]) -> str | None:
    value = parameters.get("instanceType")
    if isinstance(value, Mapping):
        value = value.get("value")
    elif value is None and parameters.get("attribute") == "instanceType":
        value = parameters.get("value")
    return _text(value, MAX_TYPE)


def _traits(item: Mapping[str, Any]) -> Traits:
    placement, cpu = _mapping(item.get("placement")), _mapping(item.get("cpuOptions"))
    codes = [
        {"ProductCodeId": code_id, "ProductCodeType": _text(code.get("type")) or ""}
        for code in _items(item.get("productCodes"))
        if (code_id := _text(code.get("productCode")))
    ]
    return Traits(
        product_codes=codes or None,
        lifecycle=_text(item.get("instanceLifecycle"), MAX_TRAIT),
        tenancy=_text(placement.get("tenancy"), MAX_TRAIT),
        zone=_text(placement.get("availabilityZone"), MAX_TYPE),
        cpu_cores=_count(cpu.get("coreCount")),
        threads_per_core=_count(cpu.get("threadsPerCore")),
    )


def _tag_changes(place: int, record: dict[str, Any], name: str) -> list[TagChange]:
    parameters = _parameters(record)
    keys = [item.get("key") for item in _items(parameters.get("tagSet"))]
    images = [
        image_id
        for item in _items(parameters.get("resourcesSet"))
        if (image_id := _text(item.get("resourceId"))) and image_id.startswith("ami-")
    ]
    tags = [tag for tag in (RHEL_TAG, OPENSHIFT_TAG) if tag in keys]
    if not tags or not images:
        raise _Skipped(Skip.OTHER_EVENT)
    account_id = _account_id(record)
    occurred_at, region = _time(record), _region(record)
    return [
        TagChange(
            place=place,
            event_id=_text(record.get("eventID")) or "",
            event_name=name,
            occurred_at=occurred_at,
            region=region,
            account_id=account_id,
            image_id=image_id,
            tag=tag,
            present=TAG_EVENTS[name],
        )
        for image_id in dict.fromkeys(images)
        for tag in tags
    ]


def _parameters(record: dict[str, Any]) -> Mapping[str, Any]:
    parameters = record.get("requestParameters")
    if not isinstance(parameters, Mapping):
        raise _Skipped(Skip.MALFORMED)
    return parameters


def _account_id(record: dict[str, Any]) -> str:
    """Give the account that acted; calls by AWS's own services name only the one concerned."""
    value = _mapping(record.get("userIdentity")).get("accountId")
    if value in (None, ""):
        value = record.get("recipientAccountId")
    if value in (None, ""):
        raise _Skipped(Skip.MALFORMED)
    account_id = normal_account_id(value)
    if account_id is None:
        raise _Skipped(Skip.UNKNOWN_ACCOUNT)
    return account_id


def _time(record: dict[str, Any]) -> datetime:
    try:
        moment = datetime.fromisoformat(record["eventTime"])
        if moment.tzinfo is None:
            return moment.replace(tzinfo=UTC)
        return moment.astimezone(UTC)
    except (KeyError, TypeError, ValueError, OverflowError):
        raise _Skipped(Skip.MALFORMED) from None


def _region(record: dict[str, Any]) -> str:
    region = _text(record.get("awsRegion"))
    if region is None:
        raise _Skipped(Skip.MALFORMED)
    return region


def _items(value: Any) -> Iterator[Mapping[str, Any]]:
    items = _mapping(value).get("items")
    if isinstance(items, list):
        yield from (item for item in items if isinstance(item, Mapping))


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _text(value: Any, limit: int = MAX_NAME) -> str | None:
    """Give a text as AWS names things, and as our tables can hold it, else None."""
    if not isinstance(value, str) or not 0 < len(value) <= limit:
        return None
    return value if value.isascii() and value.isprintable() else None


def _count(value: Any) -> int | None:
    return value if type(value) is int and 0 <= value < 2**31 else None
