"""What the records of a CloudTrail log say about instances and images (spec 04 §8.5-§8.7). Pure.

No odd record may stop the others: one that lacks something, or has it in a shape that we do not
know, is skipped for a reason that is counted (09 P3), and never raises.
"""

import enum
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, NamedTuple

from api.clouds.aws.arn import normal_account_id, normal_region
from api.clouds.aws.cloudtrail.parse import Record, UnreadableTextError, decoded, read_records

EC2 = "ec2.amazonaws.com"
RHEL_TAG = "cloudigrade-rhel-present"
OPENSHIFT_TAG = "cloudigrade-ocp-present"
OUR_TAGS = (RHEL_TAG, OPENSHIFT_TAG)
_INSTANCES = "instancesSet"
_INTERRUPTED = "instanceIdSet"

POWER_ON = "power_on"
POWER_OFF = "power_off"
ATTRIBUTE_CHANGE = "attribute_change"

LAUNCH = "RunInstances"
SPOT_INTERRUPTION = "BidEvictedEvent"
EVENT_TYPES = {
    LAUNCH: POWER_ON,
    "StartInstances": POWER_ON,
    "StartInstance": POWER_ON,
    "StopInstances": POWER_OFF,
    "TerminateInstances": POWER_OFF,
    "TerminateInstanceInAutoScalingGroup": POWER_OFF,
    SPOT_INTERRUPTION: POWER_OFF,
    "ModifyInstanceAttribute": ATTRIBUTE_CHANGE,
}
TAG_EVENTS = {"CreateTags": True, "DeleteTags": False}
EVENTS = frozenset({*EVENT_TYPES, *TAG_EVENTS})
NEED_A_TYPE = frozenset({LAUNCH, "ModifyInstanceAttribute"})

MAX_TRAIT = 32
MAX_TYPE = 64
MAX_NAME = 256
"""Characters that our tables have room for; nothing that AWS issues comes near."""


class Skip(enum.StrEnum):
    """Why a record, or a whole file, yields nothing (09 P3)."""

    OTHER_SOURCE = "other_source"
    OTHER_EVENT = "other_event"
    ERROR_CODE = "error_code"
    MALFORMED = "malformed"
    OMITTED = "omitted"
    NO_TYPE = "no_type"
    UNKNOWN_KEY = "unknown_key"
    UNKNOWN_ACCOUNT = "unknown_account"
    DISABLED = "disabled"
    PAUSED = "paused"
    BEFORE_ENABLED = "before_enabled"
    BEFORE_CREATED = "before_created"
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


class InstanceRecord(NamedTuple):
    """One instance in one record: what happened to it, when, and what the record knows of it."""

    record_index: int
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

    record_index: int
    event_id: str
    event_name: str
    occurred_at: datetime
    region: str
    account_id: str
    image_id: str
    tag: str
    present: bool


class UnreadRecord(NamedTuple):
    """A record that does not name, or not all, what it is about; EC2 has to be asked.

    It is about instances, or about tags if ``is_tag_change``.
    """

    record_index: int
    account_id: str
    occurred_at: datetime
    is_tag_change: bool = False


@dataclass(slots=True)
class Log:
    """What one log file says. A record is either relevant or skipped for a reason.

    ``incomplete`` are relevant records that name only some of the instances that they are about.
    """

    records: int = 0
    instance_records: list[InstanceRecord] = field(default_factory=list)
    tag_changes: list[TagChange] = field(default_factory=list)
    skipped: Counter[str] = field(default_factory=Counter)
    malformed: list[int] = field(default_factory=list)
    omitted: list[int] = field(default_factory=list)
    incomplete: list[int] = field(default_factory=list)
    unread: list[UnreadRecord] = field(default_factory=list)

    @property
    def account_ids(self) -> set[str]:
        """The AWS accounts that it says something of."""
        return {
            one.account_id
            for things in (self.instance_records, self.tag_changes, self.unread)
            for one in things
        }

    def skip(self, record_index: int, reason: Skip) -> None:
        """Count a record that yields nothing."""
        self.skipped[reason] += 1
        if reason is Skip.MALFORMED:
            self.malformed.append(record_index)
        elif reason is Skip.OMITTED:
            self.omitted.append(record_index)


class _Skipped(Exception):
    def __init__(self, reason: Skip) -> None:
        self.reason = reason


def read_log(text: bytes | bytearray) -> Log:
    """Read a log file's text.

    Raises ``UnicodeDecodeError`` if it is in no encoding of JSON, ``UnreadableTextError`` if it is
    no log.
    """
    records = read_records(text)
    log = Log(records=len(records))
    other_sources = other_events = 0
    for record_index, record in enumerate(records):
        if record is None:
            log.skip(record_index, Skip.MALFORMED)
        elif record.source != EC2:
            other_sources += 1
        elif not isinstance(record.name, str) or record.name not in EVENTS:
            other_events += 1
        else:
            _read_record(record_index, record, log)
    log.skipped += Counter({Skip.OTHER_SOURCE: other_sources, Skip.OTHER_EVENT: other_events})
    return log


def _read_record(record_index: int, record: Record, log: Log) -> None:
    try:
        if decoded(record.error_code):
            raise _Skipped(Skip.ERROR_CODE)
        if record.name in TAG_EVENTS:
            _read_tag_changes(record_index, record, log)
        else:
            log.instance_records += _instance_records(record_index, record, log)
    except _Skipped as skipped:
        log.skip(record_index, skipped.reason)
    except UnreadableTextError:
        log.skip(record_index, Skip.MALFORMED)


def _instance_records(record_index: int, record: Record, log: Log) -> list[InstanceRecord]:
    name, event_id = record.name, _event_id(record)
    account_id, occurred_at = _account_id(record), _time(record)
    act = _act(record)
    requested, items = act.instance_type, act.instances()
    if reason := act.reason_to_skip(items):
        if act.is_omitted or name == LAUNCH:
            log.unread.append(UnreadRecord(record_index, account_id, occurred_at))
        raise _Skipped(reason)
    region = _region(record)
    instance_records = []
    for instance_id, item in items.items():
        instance_type = requested
        if name == LAUNCH and instance_type is None:
            instance_type = _text(item.get("instanceType"), MAX_TYPE)
        if instance_type is None and name in NEED_A_TYPE:
            continue
        instance_records.append(
            InstanceRecord(
                record_index=record_index,
                event_id=event_id,
                event_name=name,
                event_type=EVENT_TYPES[name],
                occurred_at=occurred_at,
                region=region,
                account_id=account_id,
                instance_id=instance_id,
                instance_type=instance_type,
                image_id=_text(item.get("imageId")),
                subnet=_text(item.get("subnetId")),
                traits=_traits(item) if name == LAUNCH else None,
            )
        )
    if not instance_records:
        raise _Skipped(Skip.NO_TYPE)
    if act.names_too_few(items) or len(instance_records) < len(items):
        log.incomplete.append(record_index)
        log.unread.append(UnreadRecord(record_index, account_id, occurred_at))
    return instance_records


def _act(record: Record) -> "_Call | _Interruption":
    if record.name == SPOT_INTERRUPTION:
        return _Interruption(decoded(record.service_event))
    response = decoded(record.response)
    return _Call(
        request=decoded(record.request),
        response=response,
        unnamed=_unnamed(response),
        is_launch=record.name == LAUNCH,
    )


@dataclass(frozen=True, slots=True)
class _Call:
    """The request and the response of a call of EC2's API, of whatever type they are.

    ``unnamed`` says how many instances the response leaves without an id.
    """

    request: Any
    response: Any
    unnamed: int
    is_launch: bool

    @property
    def is_omitted(self) -> bool:
        """Whether CloudTrail left out either, since it was too large (decision 46)."""
        return _is_omitted(self.request, _INSTANCES) or self._is_unanswered

    @property
    def _is_unanswered(self) -> bool:
        return _is_omitted(self.response, _INSTANCES)

    @property
    def instance_type(self) -> str | None:
        """The type that was asked for."""
        request = _mapping(self.request)
        value = request.get("instanceType")
        if isinstance(value, dict):
            value = value.get("value")
        elif value is None and request.get("attribute") == "instanceType":
            value = request.get("value")
        return _text(value, MAX_TYPE)

    def instances(self) -> dict[str, dict[str, Any]]:
        """Return the ids of the instances concerned, with what the response says of each.

        Those of the request are among them where the response was left out, as a whole or in part
        (decision 46).
        """
        request, items = _mapping(self.request), _listed(self.response)
        if self._is_unanswered or self.unnamed:
            items += _listed(request)
        found: dict[str, dict[str, Any]] = {}
        for item in items:
            if instance_id := _text(item.get("instanceId")):
                found.setdefault(instance_id, item)
        if named := _text(request.get("instanceId")):
            found.setdefault(named, {})
        return found

    def names_too_few(self, instances: Mapping[str, Any]) -> bool:
        """Return whether the call was about more instances than can be told (decision 46)."""
        if self.is_launch:
            fewest = sum(_count(item.get("minCount")) or 0 for item in _listed(self.request))
            return self._is_unanswered or self.unnamed > 0 or len(instances) < fewest
        if self._is_unanswered:
            return _is_omitted(self.request, _INSTANCES) or _unnamed(self.request) > 0
        named = {_text(item.get("instanceId")) for item in _listed(self.response)}
        return len(instances.keys() - named) < self.unnamed

    def reason_to_skip(self, instances: Mapping[str, Any]) -> Skip | None:
        """Return why nothing can be told of any instance, if so."""
        if not instances and self.is_omitted:
            return Skip.OMITTED
        return None if instances and isinstance(self.request, dict) else Skip.MALFORMED


@dataclass(frozen=True, slots=True)
class _Interruption:
    """What AWS itself says of the spot instances that it took back, of whatever type that is."""

    details: Any
    instance_type: None = None

    @property
    def is_omitted(self) -> bool:
        """Whether CloudTrail left out which instances these are."""
        return _is_omitted(self.details, _INTERRUPTED)

    def instances(self) -> dict[str, dict[str, Any]]:
        """Return the ids of the instances concerned; nothing is said of any."""
        return {instance_id: {} for value in self._ids if (instance_id := _text(value))}

    @property
    def _ids(self) -> list[Any]:
        ids = _mapping(self.details).get(_INTERRUPTED)
        return ids if isinstance(ids, list) else []

    def names_too_few(self, _: Mapping[str, Any]) -> bool:
        """Return whether there are more instances than can be told (decision 46)."""
        return self.is_omitted or any(_text(value) is None for value in self._ids)

    def reason_to_skip(self, instances: Mapping[str, Any]) -> Skip | None:
        """Return why nothing can be told of any instance, if so."""
        if instances:
            return None
        return Skip.OMITTED if self.is_omitted else Skip.MALFORMED


def _unnamed(member: Any) -> int:
    """Return how many entries of a list of instances name none."""
    named = sum(1 for item in _listed(member) if _text(item.get("instanceId")))
    items = _mapping(_mapping(member).get(_INSTANCES)).get("items")
    return len(items) - named if isinstance(items, list) else 0


def _listed(member: Any) -> list[dict[str, Any]]:
    return list(_items(_mapping(member).get(_INSTANCES)))


def _is_omitted(member: Any, *names: str) -> bool:
    """Return whether CloudTrail left out a member of a record, or one of some lists in it."""
    if not isinstance(member, dict):
        return False
    if member.get("omitted") is True:
        return True
    return any(_is_omitted(member.get(name), "items") for name in names)


def _traits(item: dict[str, Any]) -> Traits:
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


def _read_tag_changes(record_index: int, record: Record, log: Log) -> None:
    """Note the changes of our tags, or that EC2 has to be asked for them (decision 46)."""
    try:
        log.tag_changes += _tag_changes(record_index, record)
    except (_Skipped, UnreadableTextError) as error:
        if not (isinstance(error, _Skipped) and error.reason is Skip.OTHER_EVENT):
            with suppress(_Skipped, UnreadableTextError):
                account_id, occurred_at = _account_id(record), _time(record)
                log.unread.append(UnreadRecord(record_index, account_id, occurred_at, True))
        raise


def _tag_changes(record_index: int, record: Record) -> list[TagChange]:
    request = decoded(record.request)
    if _is_omitted(request, "resourcesSet", "tagSet"):
        raise _Skipped(Skip.OMITTED)
    if not isinstance(request, dict):
        raise _Skipped(Skip.MALFORMED)
    images = [
        image_id
        for item in _items(request.get("resourcesSet"))
        if (image_id := _text(item.get("resourceId"))) and image_id.startswith("ami-")
    ]
    if not images or not (tags := _tags(request.get("tagSet"), record.name)):
        raise _Skipped(Skip.OTHER_EVENT)
    account_id, occurred_at = _account_id(record), _time(record)
    region, event_id = _region(record), _event_id(record)
    return [
        TagChange(
            record_index=record_index,
            event_id=event_id,
            event_name=record.name,
            occurred_at=occurred_at,
            region=region,
            account_id=account_id,
            image_id=image_id,
            tag=tag,
            present=TAG_EVENTS[record.name],
        )
        for image_id in dict.fromkeys(images)
        for tag in tags
    ]


def _tags(tag_set: Any, name: str) -> list[str]:
    """Return those of our tags that a call puts on or takes off.

    EC2 takes all tags off where a call names none (decision 34).
    """
    items = tag_set.get("items") if isinstance(tag_set, dict) else tag_set
    if not isinstance(items, list | None):
        raise _Skipped(Skip.MALFORMED)
    entries = items or []
    if any(_is_omitted(entry) for entry in entries):
        raise _Skipped(Skip.OMITTED)
    keys = [entry["key"] for entry in entries if isinstance(entry, dict) and "key" in entry]
    takes_all = not TAG_EVENTS[name] and not keys
    return [tag for tag in OUR_TAGS if takes_all or tag in keys]


def _account_id(record: Record) -> str:
    """Return the account that acted; calls by AWS's own services name only the one concerned."""
    value = _mapping(decoded(record.identity)).get("accountId")
    if value in (None, ""):
        value = decoded(record.recipient)
    if value in (None, ""):
        raise _Skipped(Skip.MALFORMED)
    account_id = normal_account_id(value)
    if account_id is None:
        raise _Skipped(Skip.UNKNOWN_ACCOUNT)
    return account_id


def _time(record: Record) -> datetime:
    try:
        moment = datetime.fromisoformat(decoded(record.time))
        if moment.tzinfo is None:
            return moment.replace(tzinfo=UTC)
        return moment.astimezone(UTC)
    except (TypeError, ValueError, OverflowError):
        raise _Skipped(Skip.MALFORMED) from None


def _region(record: Record) -> str:
    region = normal_region(decoded(record.region))
    if region is None:
        raise _Skipped(Skip.MALFORMED)
    return region


def _event_id(record: Record) -> str:
    return _text(decoded(record.event_id)) or ""


def _items(value: Any) -> Iterator[dict[str, Any]]:
    items = _mapping(value).get("items")
    if isinstance(items, list):
        yield from (item for item in items if isinstance(item, dict))


def _mapping(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _text(value: Any, limit: int = MAX_NAME) -> str | None:
    """Return a text as AWS names things, and as our tables can hold it, else None."""
    if not isinstance(value, str) or not 0 < len(value) <= limit:
        return None
    return value if value.isascii() and value.isprintable() else None


def _count(value: Any) -> int | None:
    return value if type(value) is int and 0 <= value < 2**31 else None
