"""What a check finds."""

from dataclasses import dataclass

MOST_NAMED = 10
"""Things that one check names, the oldest first; of the others it tells how many there are."""


@dataclass(frozen=True)
class Finding:
    """Something that an operator should look at.

    ``runbook`` is the title of a section of docs/operations.rst.
    """

    text: str
    runbook: str


def span(seconds: float) -> str:
    """Return a span of time as people read it."""
    for unit, length in (("days", 86400), ("hours", 3600), ("minutes", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:.0f} {unit}"
    return f"{seconds:.0f} seconds"


def and_more(count: int) -> str:
    """Return what to say of those that are not named."""
    more = count - MOST_NAMED
    return f" and {more} more" if more > 0 else ""
