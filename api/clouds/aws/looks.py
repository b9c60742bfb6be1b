"""Compare what a look at an account's regions shows with what we know of them (spec 04 §7.3). Pure.

What happened is dated by the beginning of the look, which is when it was certainly so.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple

from api.clouds.aws.describe import RUNNING, DescribedInstance
from api.clouds.aws.records import POWER_OFF, POWER_ON
from api.clouds.load import PowerState
from api.models import Correction, DescribeRun, InstanceEvent

_OUR_OWN_DOING = frozenset(
    {
        InstanceEvent.Origin.DISABLE,
        InstanceEvent.Origin.PAUSE,
        InstanceEvent.Origin.ACCOUNT_CHANGE,
    }
)
"""Origins of events that told nothing of the instance, so that no look contradicts them."""


@dataclass(slots=True)
class Look:
    """One region as it was read, or why it could not be."""

    region: str
    started_at: datetime
    finished_at: datetime | None = None
    instances: list[DescribedInstance] = field(default_factory=list)
    problem: Exception | None = None

    @property
    def running(self) -> int:
        """How many instances were on."""
        return sum(one.state == RUNNING for one in self.instances)


class Switch(NamedTuple):
    """A power event that a look shows to be missing; ``missed`` is the kind of correction it is."""

    cloud_instance_id: str
    event_type: str
    look: Look
    instance: DescribedInstance | None
    missed: str | None


def switches(
    looks: Iterable[Look], known: Mapping[str, PowerState], *, running: set[str], kind: str
) -> Iterator[Switch]:
    """Give the power events that are missing: first those that switch off, then the others.

    ``running`` are all instances that are on, in whatever region, by ids in lower case. Of two
    events of one moment, or if something newer than the look is known, nothing is missing.
    """
    by_region = {look.region: look for look in looks}
    for name in sorted(known):
        state = known[name]
        look = by_region.get(state.region)
        if look and name not in running and state.event_type == POWER_ON and _is_older(state, look):
            yield Switch(name, POWER_OFF, look, None, Correction.Kind.MISSED_OFF)
    for look in by_region.values():
        for instance in look.instances:
            name = instance.instance_id.lower()
            if instance.state == RUNNING and _is_missing_on(known.get(name), look):
                missed = _missed_on(known.get(name), kind)
                yield Switch(name, POWER_ON, look, instance, missed)


def _is_older(state: PowerState, look: Look) -> bool:
    return state.occurred_at is None or state.occurred_at <= look.started_at


def _is_missing_on(state: PowerState | None, look: Look) -> bool:
    return state is None or (state.event_type != POWER_ON and _is_older(state, look))


def _missed_on(state: PowerState | None, kind: str) -> str | None:
    """Tell whether a power-on had been missed, or we had no reason to expect it."""
    if state and state.event_type and state.origin not in _OUR_OWN_DOING:
        return str(Correction.Kind.MISSED_ON)
    if (state is None or not state.event_type) and kind == DescribeRun.Kind.RECONCILE:
        return str(Correction.Kind.MISSED_ON)
    return None
