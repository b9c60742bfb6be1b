"""What daily usage must be, computed the slow and obvious way from spans of time (spec 07 §5).

It shares no code with the product on purpose: it looks at every moment at which something changes.
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from itertools import product

ANY = "_ANY"
Category = tuple[str, str, str, str, str]
TOTAL: Category = (ANY, ANY, ANY, ANY, ANY)


@dataclass(frozen=True)
class Span:
    """A time in which a RHEL instance was on; without an end it still is."""

    start: datetime
    end: datetime | None
    arch: str
    role: str = ""
    sla: str = ""
    usage: str = ""
    service_type: str = ""

    def categories(self) -> set[Category]:
        """Return the categories that the instance counts for; never an arch with a role."""
        pairs = [(ANY, ANY), (self.arch, ANY), (ANY, self.role)]
        return {
            (arch, role, sla, usage, service_type)
            for (arch, role), sla, usage, service_type in product(
                pairs, (ANY, self.sla), (ANY, self.usage), (ANY, self.service_type)
            )
        }


def expected_usage(spans: Iterable[Span], day: date) -> dict[Category, int]:
    """Return the largest number of instances on at once on a UTC day, by category.

    Looks at the state with which the day begins and at each moment at which an instance starts;
    what ends at that moment is off by then. The story has no span without length.
    """
    midnight = datetime.combine(day, time(), UTC)
    next_midnight = midnight + timedelta(days=1)
    spans = [
        span
        for span in spans
        if span.start < next_midnight and (span.end is None or span.end >= midnight)
    ]
    states = [[span for span in spans if span.start < midnight]]
    for moment in {span.start for span in spans if span.start >= midnight}:
        states.append([span for span in spans if _is_on(span, moment)])
    largest: Counter[Category] = Counter()
    for state in states:
        largest |= Counter(category for span in state for category in span.categories())
    return dict(largest)


def _is_on(span: Span, moment: datetime) -> bool:
    return span.start <= moment and (span.end is None or span.end > moment)
