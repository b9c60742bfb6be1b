"""What is proved of one day of one account, and where the gaps are (spec 10 §2, §4). Pure.

All moments are microseconds since 1970 (UTC), as in ``api.metering``.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import NamedTuple

from api.metering.concurrency import DAY, start_of
from api.metering.timeline import Instant
from api.models import CoverageDay

State = CoverageDay.State
Reason = CoverageDay.Gap

SECOND = 1_000_000
HOUR = 3600 * SECOND

PROVED_AFTER_ENABLING = HOUR
"""A scan that began so soon after metering began shows what was on when it began."""


class Span(NamedTuple):
    """A span of time, without its end."""

    start: Instant
    end: Instant


class Switch(NamedTuple):
    """A moment from which on an account is metered, or is not."""

    at: Instant
    is_on: bool


class MeteredPart(NamedTuple):
    """A stretch of the day in which the account is metered.

    ``since`` is when metering began, on that day or before it. ``is_ended`` says that metering was
    ended, so that nothing after ``end`` has to be known.
    """

    start: Instant
    end: Instant
    since: Instant
    is_ended: bool


class GapSpan(NamedTuple):
    """A span of time of which something is not known, or that is not metered."""

    start: Instant
    end: Instant
    reason: str


@dataclass(frozen=True, slots=True)
class CoverageRules:
    """What the cloud of an account demands.

    Its scans may lie no more than ``limit`` microseconds apart; ``reason`` is what it is called if
    they do. ``needs_audit`` says that there are logs, of which all must be known to be processed.
    """

    limit: int
    reason: str
    needs_audit: bool


@dataclass(frozen=True, slots=True)
class DayEvidence:
    """What is known of one day of an account.

    ``scans`` holds, of each region in use, when the good full describes around the day began and
    ended, in the order of time; of an account that uses none, those of any one region. ``found``
    are gaps that others found: what the audit misses, and an outage of ingest. ``unsure`` are the
    spans of corrections.
    """

    switches: Sequence[Switch]
    scans: Sequence[Sequence[Span]] = ()
    found: Sequence[GapSpan] = ()
    unsure: Sequence[Span] = ()


class Audit(NamedTuple):
    """Whether all objects of the day were compared with what was processed, or still will be."""

    is_done: bool
    is_due: bool


class DayVerdict(NamedTuple):
    """What can be said of the day."""

    state: str
    metered_seconds: int
    gaps: list[GapSpan]


@dataclass(slots=True)
class _Holes:
    spans: list[Span] = field(default_factory=list)
    is_pending: bool = False


def judge(
    day: date, evidence: DayEvidence, rules: CoverageRules, audit: Audit, now: Instant
) -> DayVerdict:
    """Return the state of a UTC day and its gaps, as they are known at a moment.

    A day that is not over is open, or off if nothing is metered. A past one whose proofs are still
    due is open, unless a gap shows already.
    """
    begin = start_of(day)
    limit = min(begin + DAY, max(now, begin))
    parts = metered_parts(evidence.switches, begin, limit)
    holes = _Holes()
    for part in parts:
        for scans in evidence.scans or [()]:
            _add_holes(holes, part, scans, rules.limit, now)
    gaps = [
        *_of(Reason.NOT_METERED, _complement(parts, begin, limit)),
        *_of(rules.reason, _merged(holes.spans)),
        *_of(Reason.CORRECTION, _merged(_clipped(evidence.unsure, begin, limit))),
        *_found(evidence.found, begin, limit),
    ]
    gaps.sort()
    seconds = sum(part.end - part.start for part in parts) // SECOND
    if not parts:
        state = State.OFF
    elif now < begin + DAY:
        state = State.OPEN
    else:
        is_proved = audit.is_done or not rules.needs_audit
        state = _state(gaps, holes.is_pending or (audit.is_due and not is_proved), is_proved)
    return DayVerdict(str(state), seconds, gaps)


def _state(gaps: Iterable[GapSpan], is_pending: bool, is_audited: bool) -> State:
    reasons = {gap.reason for gap in gaps} - {Reason.NOT_METERED}
    if reasons - {Reason.CORRECTION}:
        return State.PARTIAL
    if is_pending:
        return State.OPEN
    if not is_audited:
        return State.PARTIAL
    return State.CORRECTED if reasons else State.COMPLETE


def metered_parts(switches: Iterable[Switch], begin: Instant, limit: Instant) -> list[MeteredPart]:
    """Return the stretches between two moments in which an account is metered.

    ``switches`` are in the order of time and may lie outside.
    """
    parts: list[MeteredPart] = []
    since: Instant | None = None
    for at, is_on in switches:
        if is_on and since is None:
            since = at
        elif not is_on and since is not None:
            parts.append(MeteredPart(max(since, begin), min(at, limit), since, at <= limit))
            since = None
    if since is not None:
        parts.append(MeteredPart(max(since, begin), limit, since, False))
    return [part for part in parts if part.start < part.end]


def _add_holes(
    holes: _Holes, part: MeteredPart, scans: Sequence[Span], limit: int, now: Instant
) -> None:
    """Add the spans of a metered part that no two scans of a region enclose closely enough."""
    known, later = _proof_of_beginning(part, scans)
    for scan in later:
        if known is not None and known >= part.end:
            break
        if scan.start > part.start and (known is None or scan.start - known > limit):
            since = part.start if known is None else max(known, part.start)
            holes.spans.append(Span(since, min(scan.start, part.end)))
        known = scan.end if known is None else max(known, scan.end)
    if known is None:
        _end_unproved(holes, part, now)
    elif known < part.end:
        _end_holes(holes, part, known, limit, now)


def _proof_of_beginning(
    part: MeteredPart, scans: Sequence[Span]
) -> tuple[Instant | None, Sequence[Span]]:
    """Return until when all is known by a scan soon after metering began, and the scans after it.

    Without such a scan nothing is known yet, and all scans count.
    """
    for place, scan in enumerate(scans):
        if scan.start >= part.since:
            if scan.start - part.since <= PROVED_AFTER_ENABLING:
                return scan.end, scans[place + 1 :]
            break
    return None, scans


def _end_unproved(holes: _Holes, part: MeteredPart, now: Instant) -> None:
    """Add a part of which no scan proves anything, unless the first one is still to come."""
    if not part.is_ended and now - part.since <= PROVED_AFTER_ENABLING:
        holes.is_pending = True
    else:
        holes.spans.append(Span(part.start, part.end))


def _end_holes(holes: _Holes, part: MeteredPart, known: Instant, limit: int, now: Instant) -> None:
    """Add what no scan after the part proves; ``known`` is when the last one ended."""
    if (part.end if part.is_ended else now) - known > limit:
        holes.spans.append(Span(max(known, part.start), part.end))
    elif not part.is_ended:
        holes.is_pending = True


def _complement(parts: Iterable[MeteredPart], begin: Instant, limit: Instant) -> Iterator[Span]:
    for part in parts:
        if begin < part.start:
            yield Span(begin, part.start)
        begin = part.end
    if begin < limit:
        yield Span(begin, limit)


def _found(found: Iterable[GapSpan], begin: Instant, limit: Instant) -> Iterator[GapSpan]:
    by_reason: dict[str, list[Span]] = {}
    for start, end, reason in found:
        by_reason.setdefault(reason, []).append(Span(start, end))
    for reason, spans in by_reason.items():
        yield from _of(reason, _merged(_clipped(spans, begin, limit)))


def _of(reason: str, spans: Iterable[Span]) -> Iterator[GapSpan]:
    return (GapSpan(start, end, str(reason)) for start, end in spans)


def _clipped(spans: Iterable[Span], begin: Instant, limit: Instant) -> list[Span]:
    clipped = (Span(max(start, begin), min(end, limit)) for start, end in spans)
    return [span for span in clipped if span.start < span.end]


def _merged(spans: Iterable[Span]) -> list[Span]:
    """Return the same time as spans of which none overlaps or touches another one."""
    merged: list[Span] = []
    for start, end in sorted(spans):
        if merged and start <= merged[-1].end:
            merged[-1] = Span(merged[-1].start, max(end, merged[-1].end))
        else:
            merged.append(Span(start, end))
    return merged
