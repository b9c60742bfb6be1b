"""The steps of an inspection: the one place that says which may follow which (spec 05 §2)."""

import enum
from typing import NamedTuple

from api.models import MachineImage

Status = MachineImage.Status

ANY: frozenset[str] = frozenset(Status.values)
UNFINISHED: frozenset[str] = frozenset({Status.PENDING, Status.PREPARING, Status.INSPECTING})


class InspectionEvent(enum.Enum):
    """What happens to an image that is, or was, or will be inspected."""

    STARTED = "its inspection begins"
    POSTPONED = "a start finds that enough others are being inspected"
    SKIPPED = "a start finds that there is nothing to look for"
    EXHAUSTED = "a start finds that it was tried too often"
    LAUNCHED = "an instance, or a worker, looks into it"
    COMPLETED = "on the way it turns out that there is nothing to look for"
    GIVEN_UP = "on the way it turns out that it cannot be looked into"
    RESULT = "the inspector has told what it found"
    ASKED_AGAIN = "an operator wants it inspected again"


class Transition(NamedTuple):
    """From which statuses an event leads to which."""

    sources: frozenset[str]
    target: str


TRANSITIONS: dict[InspectionEvent, Transition] = {
    InspectionEvent.STARTED: Transition(ANY, Status.PREPARING),
    InspectionEvent.POSTPONED: Transition(ANY, Status.PENDING),
    InspectionEvent.SKIPPED: Transition(ANY, Status.INSPECTED),
    InspectionEvent.EXHAUSTED: Transition(ANY, Status.ERROR),
    InspectionEvent.LAUNCHED: Transition(
        frozenset({Status.PENDING, Status.PREPARING}), Status.INSPECTING
    ),
    # Tasks come late and twice: what they find out counts only while it is waited for.
    InspectionEvent.COMPLETED: Transition(UNFINISHED, Status.INSPECTED),
    InspectionEvent.GIVEN_UP: Transition(UNFINISHED, Status.ERROR),
    # A result always counts, however late: it tells what is on the disk.
    InspectionEvent.RESULT: Transition(ANY, Status.INSPECTED),
    InspectionEvent.ASKED_AGAIN: Transition(ANY, Status.PENDING),
}


def after(status: str, event: InspectionEvent) -> str | None:
    """Return the status that an event leads to; None if it has no business with such an image."""
    move = TRANSITIONS[event]
    return move.target if status in move.sources else None
