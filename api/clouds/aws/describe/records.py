"""What a scan leaves behind: events, facts and corrections (spec 04 §7.3; 09 P1, P5, P8). Pure.

All of it is dated by PostgreSQL's clock, or by what EC2 tells (decisions 31 and 41).
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

from api.clouds.aws.cloudtrail.records import ATTRIBUTE_CHANGE
from api.clouds.aws.describe.diff import DatingRules, MissedPowerEvent, RegionScan, Seen
from api.clouds.aws.describe.ec2 import DescribedImage
from api.clouds.aws.images import ShownImage
from api.clouds.aws.selectors import Account
from api.clouds.corrections import NewCorrection
from api.clouds.facts import Observation
from api.clouds.load import NewEvent, StoredEvent
from api.models import Correction, DescribeRun, InstanceEvent

SOURCE_NAME = "DescribeInstances"

_EventKey = tuple[int, str, datetime]
"""Instance, type and moment of an event: one scan may tell two ends of an instance."""

_ORIGINS = {
    DescribeRun.Kind.INITIAL: InstanceEvent.Origin.DESCRIBE_INITIAL,
    DescribeRun.Kind.RECONCILE: InstanceEvent.Origin.DESCRIBE_RECONCILE,
    DescribeRun.Kind.ON_DEMAND: InstanceEvent.Origin.DESCRIBE_RECONCILE,
}


@dataclass(frozen=True, slots=True)
class AccountScan:
    """A scan of a whole account, of which some regions are to be stored.

    ``seen`` are all instances that are listed in any region, by their ids in lower case. ``shown``
    are the images that were asked for, and ``images`` those of them that EC2 described.
    """

    account: Account
    kind: str
    rules: DatingRules
    seen: Mapping[str, Seen]
    shown: Sequence[ShownImage]
    images: Mapping[str, DescribedImage]

    @property
    def origin(self) -> str:
        """Where the events of this scan come from."""
        return str(_ORIGINS[DescribeRun.Kind(self.kind)])


class Stored(NamedTuple):
    """What is stored of the scans: describe runs by region, the account's instances by name."""

    run_ids: Mapping[str, int]
    ids: Mapping[str, int]
    image_filled: set[int]


class Typed(NamedTuple):
    """An event that tells a type that no other one did, and what shows it."""

    event: NewEvent
    seen: Seen


def listed_ids(scans: Iterable[RegionScan], stored: Stored) -> set[int]:
    """Return the ids of the listed instances that are the account's."""
    return {instance_id for _, _, instance_id in _ours(scans, stored)}


def events_of(
    account_scan: AccountScan, missing: Iterable[MissedPowerEvent], stored: Stored
) -> Iterator[NewEvent]:
    """Yield the power events that were missing, of instances that are the account's."""
    for event in missing:
        instance = event.instance
        if event.cloud_instance_id in stored.ids:
            yield NewEvent(
                instance_id=stored.ids[event.cloud_instance_id],
                account_id=account_scan.account.id,
                event_type=event.event_type,
                occurred_at=event.at,
                instance_type=instance.instance_type if instance else None,
                subnet=instance.subnet if instance else None,
                origin=account_scan.origin,
                source_id=str(stored.run_ids[event.scan.region]),
                source_name=SOURCE_NAME,
            )


def types_of(
    account_scan: AccountScan,
    scans: Iterable[RegionScan],
    stored: Stored,
    untyped: Mapping[int, datetime],
) -> list[Typed]:
    """Return the types of instances whose events were stored without any (decision 47).

    ``untyped`` are these, with the times of their first starts. An instance is taken to have had
    its type since then.
    """
    typed = {}
    for scan, one, instance_id in _ours(scans, stored):
        if instance_id in untyped and one.instance.instance_type:
            event = NewEvent(
                instance_id=instance_id,
                account_id=account_scan.account.id,
                event_type=ATTRIBUTE_CHANGE,
                occurred_at=untyped[instance_id],
                instance_type=one.instance.instance_type,
                subnet=None,
                origin=account_scan.origin,
                source_id=str(stored.run_ids[scan.region]),
                source_name=SOURCE_NAME,
            )
            typed[instance_id] = Typed(event, one)
    return list(typed.values())


def observations_of(
    account_scan: AccountScan, scans: Iterable[RegionScan], stored: Stored
) -> Iterator[Observation]:
    """Yield what the pages said of instances, when they had been read."""
    for _, one, instance_id in _ours(scans, stored):
        yield Observation(instance_id, one.read_at, account_scan.origin, one.instance.facts)


def corrections_of(
    account_scan: AccountScan,
    scans: Iterable[RegionScan],
    missing: Iterable[MissedPowerEvent],
    typed: Iterable[Typed],
    stored: Stored,
    events: Iterable[StoredEvent],
) -> list[NewCorrection]:
    """Return what had been missed."""
    event_ids = {
        (event.instance_id, event.event_type, event.occurred_at): event.id for event in events
    }
    return [
        *_missed(account_scan, missing, stored, event_ids),
        *_filled(account_scan, scans, stored),
        *_typed(typed, event_ids),
    ]


def _filled(
    account_scan: AccountScan, scans: Iterable[RegionScan], stored: Stored
) -> list[NewCorrection]:
    """Return the instances of which we had not known the image, once each."""
    found = {
        instance_id: NewCorrection(
            instance_id,
            account_scan.account.id,
            Correction.Kind.IMAGE_FILLED,
            one.read_at,
            describe_run_id=stored.run_ids[scan.region],
            asked_at=one.asked_at,
        )
        for scan, one, instance_id in _ours(scans, stored)
        if instance_id in stored.image_filled
    }
    return list(found.values())


def _missed(
    account_scan: AccountScan,
    missing: Iterable[MissedPowerEvent],
    stored: Stored,
    event_ids: Mapping[_EventKey, int],
) -> Iterator[NewCorrection]:
    """Yield the power events that had been missed."""
    for event in missing:
        instance_id = stored.ids.get(event.cloud_instance_id, 0)
        event_id = event_ids.get((instance_id, event.event_type, event.at))
        if event.missed and event_id:
            yield NewCorrection(
                instance_id,
                account_scan.account.id,
                event.missed,
                event.at,
                event_id,
                stored.run_ids[event.scan.region],
                is_exact=event.is_exact,
                asked_at=event.asked_at,
            )


def _typed(typed: Iterable[Typed], event_ids: Mapping[_EventKey, int]) -> Iterator[NewCorrection]:
    """Yield the instances of which we had not known the type."""
    for event, one in typed:
        yield NewCorrection(
            event.instance_id,
            event.account_id,
            Correction.Kind.TYPE_FILLED,
            one.read_at,
            event_ids.get((event.instance_id, event.event_type, event.occurred_at)),
            int(event.source_id),
            asked_at=one.asked_at,
        )


def _ours(scans: Iterable[RegionScan], stored: Stored) -> Iterator[tuple[RegionScan, Seen, int]]:
    """Yield the listed instances that are the account's, with their ids."""
    for scan in scans:
        for one in scan.listed:
            instance_id = stored.ids.get(one.instance.instance_id.lower())
            if instance_id is not None:
                yield scan, one, instance_id
