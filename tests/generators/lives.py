"""The true life of an EC2 instance: what EC2 says of it at any moment, and what its log says.

A reference for tests that let logs be lost or come late, and EC2 be asked at odd moments.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import pairwise

from api.clouds.aws.describe.ec2 import (
    PENDING,
    RUNNING,
    SHUTTING_DOWN,
    STOPPED,
    STOPPING,
    TERMINATED,
    DescribedInstance,
)

PENDING_FOR = timedelta(seconds=40)
ENDING_FOR = timedelta(seconds=30)
UNLISTED_FOR = timedelta(seconds=50)
"""How long EC2 may not list an instance that was launched."""
LISTED_AFTERWARDS = timedelta(hours=1)

LOGGED = {
    "run": "RunInstances",
    "start": "StartInstances",
    "stop": "StopInstances",
    "terminate": "TerminateInstances",
}
"""What happens through the API; all else leaves no log record and no time in EC2's answers."""
STARTS = frozenset({"run", "start"})

Span = tuple[datetime, datetime | None]
"""From when on, and until when; without an end while it still is."""

SECOND = timedelta(seconds=1)
FOREVER = datetime(9999, 1, 1, tzinfo=UTC)


def whole(moment: datetime) -> datetime:
    """Cut off the fraction of a second, as EC2 and CloudTrail do."""
    return moment.replace(microsecond=0)


@dataclass(frozen=True, slots=True)
class Change:
    """Something that happened to the instance: run, start, stop, terminate, or fail."""

    at: datetime
    kind: str


@dataclass
class Life:
    """The changes of one instance, in the order of time; each must fit the state before it."""

    instance_id: str = "i-0123456789abcdef0"
    image_id: str | None = "ami-1"
    changes: list[Change] = field(default_factory=list)

    def add(self, at: datetime, kind: str) -> Change:
        """Let something happen."""
        change = Change(at, kind)
        self.changes.append(change)
        return change

    @property
    def is_on(self) -> bool:
        """Check whether it is on after all its changes."""
        return bool(self.changes) and self.changes[-1].kind in STARTS

    @property
    def is_gone(self) -> bool:
        """Check whether it was terminated."""
        return bool(self.changes) and self.changes[-1].kind == "terminate"

    @property
    def spans(self) -> list[Span]:
        """When it was on."""
        spans: list[Span] = []
        start: datetime | None = None
        for change in self.changes:
            if change.kind in STARTS:
                start = start or change.at
            elif start is not None:
                spans.append((start, change.at))
                start = None
        return [*spans, (start, None)] if start else spans

    def described(self, now: datetime) -> DescribedInstance | None:
        """Return what EC2 says at a moment; None if it does not list the instance."""
        past = [change for change in self.changes if change.at <= now]
        if not past or self._is_unlisted(past, now):
            return None
        last = past[-1]
        launched_at = max(change.at for change in past if change.kind in STARTS)
        ended_at = whole(last.at) if last.kind in ("stop", "terminate") else None
        return DescribedInstance(
            instance_id=self.instance_id,
            image_id=self.image_id,
            instance_type="m5.large",
            subnet=None,
            state=_state(last, now - last.at),
            is_windows=False,
            facts={"instance_type": "m5.large"},
            launched_at=whole(launched_at),
            ended_at=ended_at,
        )

    def _is_unlisted(self, past: list[Change], now: datetime) -> bool:
        last = past[-1]
        if last.kind == "run":
            return now - last.at < UNLISTED_FOR
        return last.kind == "terminate" and now - last.at > LISTED_AFTERWARDS


def _state(last: Change, age: timedelta) -> int:
    if last.kind in STARTS:
        return PENDING if age < PENDING_FOR else RUNNING
    is_over = age > ENDING_FOR or last.kind == "fail"
    if last.kind == "terminate":
        return TERMINATED if is_over else SHUTTING_DOWN
    return STOPPED if is_over else STOPPING


def errors(
    true: Iterable[Span], believed: Iterable[Span], *, unsure: Iterable[tuple[datetime, datetime]]
) -> list[tuple[datetime, datetime]]:
    """Return when something is believed that is not true, and not known to be unsure either.

    A second more or less is no error: neither EC2 nor CloudTrail tells fractions.
    """
    allowed = sorted(unsure)
    return [
        (start, end)
        for start, end in _differences(_closed(true), _closed(believed))
        if end - start > SECOND and _sure_from(start, allowed) < end
    ]


def _closed(spans: Iterable[Span]) -> list[tuple[datetime, datetime]]:
    return [(start, end or FOREVER) for start, end in spans]


def _sure_from(start: datetime, unsure: Iterable[tuple[datetime, datetime]]) -> datetime:
    for unsure_from, unsure_to in unsure:
        if unsure_from - SECOND <= start <= unsure_to + SECOND:
            start = max(start, unsure_to + SECOND)
    return start


def _differences(
    one: Sequence[tuple[datetime, datetime]], other: Sequence[tuple[datetime, datetime]]
) -> list[tuple[datetime, datetime]]:
    """Return the spans in which exactly one of two lists of spans holds."""
    edges = sorted({edge for span in (*one, *other) for edge in span})
    return [
        (start, end) for start, end in pairwise(edges) if _holds(one, start) != _holds(other, start)
    ]


def _holds(spans: Iterable[tuple[datetime, datetime]], moment: datetime) -> bool:
    return any(start <= moment < end for start, end in spans)
