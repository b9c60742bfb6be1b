"""What clouds said of instances, kept on change only (spec 09 P8)."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple

from api.models import InstanceFact

COLUMNS = (
    "instance_type",
    "usage_operation",
    "platform_details",
    "product_codes",
    "licenses",
    "lifecycle",
    "tenancy",
    "zone",
    "cpu_cores",
    "threads_per_core",
)


class Observation(NamedTuple):
    """What a source said of an instance at a moment; what it did not say is None or absent."""

    instance_id: int
    observed_at: datetime
    source: str
    values: Mapping[str, Any]


def save_facts(observations: Iterable[Observation]) -> int:
    """Store those observations that tell something new; gives how many.

    They may come late, and again: each is compared with what was known at its own moment.
    """
    ordered = sorted(observations, key=lambda one: one.observed_at)
    if not ordered:
        return 0
    history: dict[int, list[InstanceFact]] = {}
    stored = InstanceFact.objects.filter(instance_id__in={one.instance_id for one in ordered})
    for fact in stored.order_by("observed_at", "id"):
        history.setdefault(fact.instance_id, []).append(fact)
    new = []
    for observation in ordered:
        facts = history.setdefault(observation.instance_id, [])
        fact = changed(facts, observation)
        if fact:
            new.append(fact)
            facts.append(fact)
            facts.sort(key=lambda one: one.observed_at)
    InstanceFact.objects.bulk_create(new)
    return len(new)


def changed(history: Sequence[InstanceFact], observation: Observation) -> InstanceFact | None:
    """Return the fact that an observation adds to an instance's history, oldest first, if any.

    What the observation is silent about is taken to be as it was.
    """
    earlier = [fact for fact in history if fact.observed_at <= observation.observed_at]
    before = {column: getattr(earlier[-1], column) if earlier else None for column in COLUMNS}
    said = {column: observation.values.get(column) for column in COLUMNS}
    after = {column: before[column] if said[column] is None else said[column] for column in COLUMNS}
    if after == before:
        return None
    return InstanceFact(
        instance_id=observation.instance_id,
        observed_at=observation.observed_at,
        source=observation.source,
        **after,
    )
