"""Compare what a scan of an account's regions shows with what we know of them. Pure.

Spec 04 §7.3, README decisions 30 to 32. ``pending`` proves nothing. What was missed happened when
EC2 says, if that fits what we know; else it is dated at the moment when the page that showed it was
read. An instance that is on no page was seen to be absent when the last page was read.

What we know may lack logs that are still to come, and a page is seen once: what it tells of the
last launch is stored even if what came before is not known yet.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import NamedTuple

from api.clouds.aws.cloudtrail.records import POWER_OFF, POWER_ON
from api.clouds.aws.describe.ec2 import (
    OFF,
    RUNNING,
    TERMINATED,
    DescribedInstance,
)
from api.clouds.corrections import CLOSE
from api.clouds.load import KnownPower
from api.models import Correction, InstanceEvent

_OUR_OWN_DOING = frozenset(
    {
        InstanceEvent.Origin.DISABLE,
        InstanceEvent.Origin.PAUSE,
        InstanceEvent.Origin.ACCOUNT_CHANGE,
    }
)
"""Origins of events that told nothing of the instance, so that no scan contradicts them."""

_SECOND = timedelta(seconds=1)
"""EC2 and CloudTrail tell whole seconds, cut off: what they tell of happened within one."""


class Seen(NamedTuple):
    """An instance on a page: when that page was asked for, and when it had been read."""

    instance: DescribedInstance
    asked_at: datetime
    read_at: datetime


@dataclass(slots=True)
class RegionScan:
    """One region as it was read, or why it could not be; times are PostgreSQL's (decision 41).

    Where it is not complete, nothing can be concluded from what is not listed: an entry could not
    be read, or it is ``by_ids``, that is a scan of some instances that we know. ``asked_images``
    are AMIs of instances that need not be listed.
    """

    region: str
    started_at: datetime
    finished_at: datetime | None = None
    seen: list[Seen] = field(default_factory=list)
    is_complete: bool = True
    by_ids: bool = False
    asked_images: set[str] = field(default_factory=set)
    problem: Exception | None = None

    @property
    def listed(self) -> list[Seen]:
        """What there is; terminated instances only tell when those ended that we know (04 §7.2)."""
        return [one for one in self.seen if self.by_ids or one.instance.state != TERMINATED]

    @property
    def ami_ids(self) -> set[str]:
        """The AMIs that instances use, listed ones and others."""
        listed = {one.instance.image_id for one in self.listed if one.instance.image_id}
        return listed | self.asked_images

    @property
    def running(self) -> int:
        """How many instances were on."""
        return sum(one.instance.state == RUNNING for one in self.seen)


class DatingRules(NamedTuple):
    """What decides how things are dated.

    The first scan since the account was enabled dates by its own time. A later one believes what
    EC2 tells, but nothing before ``enabled_at``. An instance whose newest event is younger than
    ``grace`` when a scan begins may not be listed yet (decision 32).
    """

    is_first: bool
    enabled_at: datetime | None
    grace: timedelta


class MissedPowerEvent(NamedTuple):
    """A power event that a scan shows to be missing; ``missed`` is the kind of correction it is.

    It happened at ``at``, exactly or at the latest; ``asked_at`` is when AWS was asked for what
    shows it.
    """

    cloud_instance_id: str
    event_type: str
    scan: RegionScan
    instance: DescribedInstance | None
    missed: str | None
    at: datetime
    is_exact: bool
    asked_at: datetime


class _Dated(NamedTuple):
    at: datetime
    is_exact: bool


def by_name(scans: Iterable[RegionScan]) -> dict[str, Seen]:
    """Return all instances that are listed, in whatever region, by their ids in lower case.

    Of one that was listed twice, the later page counts.
    """
    found: dict[str, Seen] = {}
    for one in (seen for scan in scans for seen in scan.seen):
        name = one.instance.instance_id.lower()
        if name not in found or found[name].read_at <= one.read_at:
            found[name] = one
    return found


def missed_power_events(
    scans: Iterable[RegionScan],
    known: Mapping[str, KnownPower],
    *,
    seen: Mapping[str, Seen],
    rules: DatingRules,
) -> Iterator[MissedPowerEvent]:
    """Yield the power events that are missing: first the ends, then the starts.

    ``seen`` are all instances of the account that are listed, as ``by_name`` returns them. Where
    something newer than the page is known, nothing is missing.
    """
    by_region = {scan.region: scan for scan in scans}
    for name in sorted(known):
        scan = by_region.get(known[name].region)
        if scan and known[name].event_type == POWER_ON:
            yield from _missed_end(name, known[name], scan, seen.get(name), rules)
    for scan in by_region.values():
        for one in scan.seen:
            name = one.instance.instance_id.lower()
            state = known.get(name)
            if seen[name] is one and (state is None or state.event_type != POWER_ON):
                yield from _missed_start(name, state, scan, one, rules)


def _missed_end(
    name: str, state: KnownPower, scan: RegionScan, seen: Seen | None, rules: DatingRules
) -> Iterator[MissedPowerEvent]:
    missed = str(Correction.Kind.MISSED_OFF)
    if seen is None:
        if scan.finished_at and _is_absent(state, scan, rules):
            at = _not_before_newest(scan.finished_at, state)
            yield MissedPowerEvent(name, POWER_OFF, scan, None, missed, at, False, scan.started_at)
        return
    if _is_newer(state, seen.asked_at):
        return
    launched = _launch(state, seen, rules)
    if launched and seen.instance.state in (RUNNING, *OFF):
        # It was off in between, and we do not know since when.
        before = launched._replace(is_exact=False)
        yield MissedPowerEvent(name, POWER_OFF, scan, None, missed, *before, seen.asked_at)
        yield _start_of(name, scan, seen, launched, str(Correction.Kind.MISSED_ON))
    if seen.instance.state in OFF:
        dated = _end(state, seen, rules, launched)
        yield MissedPowerEvent(name, POWER_OFF, scan, None, missed, *dated, seen.asked_at)


def _is_absent(state: KnownPower, scan: RegionScan, rules: DatingRules) -> bool:
    """Check whether an instance that is not listed has ended, as far as we can tell.

    We cannot where not all was asked for, or its entry may be one that could not be read, or where
    it is so young that EC2 may not list it yet.
    """
    if not scan.is_complete or _is_newer(state, scan.started_at):
        return False
    return state.newest_at is None or scan.started_at - state.newest_at >= rules.grace


def _missed_start(
    name: str, state: KnownPower | None, scan: RegionScan, seen: Seen, rules: DatingRules
) -> Iterator[MissedPowerEvent]:
    if state and _is_newer(state, seen.asked_at):
        return
    launched = _launch(state, seen, rules)
    if seen.instance.state == RUNNING:
        dated = launched or _Dated(_not_before_newest(seen.read_at, state), False)
        yield _start_of(name, scan, seen, dated, _missed_on(state, rules))
    elif seen.instance.state in OFF:
        missed_on, missed_off = str(Correction.Kind.MISSED_ON), str(Correction.Kind.MISSED_OFF)
        if launched and not _is_known_end(state, seen, launched):
            ended = _end(state, seen, rules, launched)
            yield _start_of(name, scan, seen, launched, missed_on)
            yield MissedPowerEvent(name, POWER_OFF, scan, None, missed_off, *ended, seen.asked_at)
        elif state and (started := _start_of_known_end(state, seen, rules)):
            yield _start_of(name, scan, seen, started, missed_on)


def _start_of(
    name: str, scan: RegionScan, seen: Seen, dated: _Dated, missed: str | None
) -> MissedPowerEvent:
    return MissedPowerEvent(
        name, POWER_ON, scan, seen.instance, missed, *dated, asked_at=seen.asked_at
    )


def _launch(state: KnownPower | None, seen: Seen, rules: DatingRules) -> _Dated | None:
    """Return the moment of the last launch, if that is after what we know.

    It counts even if what we know is on: the log of an end in between is late, or lost.
    """
    launched_at = _believed_launch(seen, rules)
    if launched_at is None:
        return None
    if state and state.occurred_at and state.event_type == POWER_ON:
        return _Dated(launched_at, True) if launched_at > state.occurred_at + CLOSE else None
    return _after(launched_at, state)


def _believed_launch(seen: Seen, rules: DatingRules) -> datetime | None:
    launched_at = seen.instance.launched_at
    if rules.is_first or launched_at is None or launched_at > seen.read_at:
        return None
    return None if rules.enabled_at and launched_at < rules.enabled_at else launched_at


def _is_known_end(state: KnownPower | None, seen: Seen, launched: _Dated) -> bool:
    """Check whether EC2 tells of the end that we know, and only dates the launch after it.

    A log tells when something was asked for, and EC2 when the launch was done, seconds later.
    """
    ended_at = seen.instance.ended_at
    if state is None or state.occurred_at is None or ended_at is None:
        return False
    is_close = abs(ended_at - state.occurred_at) <= CLOSE
    return is_close and ended_at <= launched.at <= state.occurred_at + CLOSE


def _start_of_known_end(state: KnownPower, seen: Seen, rules: DatingRules) -> _Dated | None:
    """Return the moment of the last launch, if it is before the newest end, and we missed it."""
    launched_at = _believed_launch(seen, rules)
    if launched_at is None or state.occurred_at is None or state.origin in _OUR_OWN_DOING:
        return None
    if launched_at >= state.occurred_at:
        return None
    if state.started_at and launched_at <= state.started_at + CLOSE:
        return None
    return _Dated(launched_at, True)


def _end(
    state: KnownPower | None, seen: Seen, rules: DatingRules, launched: _Dated | None
) -> _Dated:
    """Date an end that we had missed, of what was launched then, if we had missed that, too."""
    ended_at = seen.instance.ended_at
    if not rules.is_first and ended_at and ended_at <= seen.read_at:
        if launched:
            dated = _Dated(ended_at, True) if launched.at < ended_at else None
        else:
            dated = _after(ended_at, state)
        if dated:
            # What was terminated may have been stopped before.
            return dated._replace(is_exact=seen.instance.state != TERMINATED)
    return _Dated(_not_before_newest(seen.read_at, state), False)


def _after(moment: datetime, state: KnownPower | None) -> _Dated | None:
    """Return a moment that EC2 tells, if it lies after the newest power event.

    An event of ours is dated when the page had been read that showed it. What happened meanwhile,
    or within the same second, came after what the page shows, and so after that event.
    """
    if state is None or state.occurred_at is None or state.occurred_at < moment:
        return _Dated(moment, True)
    at_the_earliest = min(state.scanned_at or state.occurred_at, state.occurred_at)
    if moment < state.occurred_at and at_the_earliest < moment + _SECOND:
        return _Dated(state.occurred_at, True)
    return None


def _is_newer(state: KnownPower, moment: datetime) -> bool:
    """Check whether the newest power event may have happened after a moment.

    What we did ourselves has not: the account was enabled again before it was looked at.
    """
    at = state.occurred_at
    if at is None or state.origin in _OUR_OWN_DOING:
        return False
    is_whole_second = state.origin == InstanceEvent.Origin.CLOUDTRAIL or at.microsecond == 0
    return at > moment or (is_whole_second and at + _SECOND > moment)


def _not_before_newest(moment: datetime, state: KnownPower | None) -> datetime:
    """Return a moment, but none before the newest event (decision 41)."""
    return max(moment, state.newest_at) if state and state.newest_at else moment


def _missed_on(state: KnownPower | None, rules: DatingRules) -> str | None:
    """Return whether a power-on had been missed, or we had no reason to expect it."""
    if state and state.event_type and state.origin in _OUR_OWN_DOING:
        return None
    if (state and state.event_type) or not rules.is_first:
        return str(Correction.Kind.MISSED_ON)
    return None
