"""What clouds said of instances, kept on change only (spec 09 P8).

Their newest word on how an instance is billed stands with the instance as well, so that lists can
be filtered by it (spec 11 §3).
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple

from django.db import connection

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

FACTS_AT_ONCE = 1000

_SAVE_NEWEST = """
UPDATE api_instance instance
SET usage_operation = newest.usage_operation, product_codes = newest.product_codes,
    licenses = newest.licenses, cloud_image = newest.image,
    instance_type = coalesce(instance.instance_type, newest.instance_type)
FROM (
    SELECT DISTINCT ON (instance_id) *
    FROM api_instancefact WHERE instance_id = ANY(%s)
    ORDER BY instance_id, observed_at DESC, id DESC
) newest
WHERE instance.id = newest.instance_id
"""


class Observation(NamedTuple):
    """What a source said of an instance at a moment; what it did not say is None or absent."""

    instance_id: int
    observed_at: datetime
    source: str
    values: Mapping[str, Any]


def save_facts(observations: Iterable[Observation]) -> list[InstanceFact]:
    """Store those observations that tell something new, and return them.

    They may come late, and again: each is compared with what was known at its own moment.
    """
    ordered = sorted(observations, key=lambda one: one.observed_at)
    if not ordered:
        return []
    history: dict[int, list[InstanceFact]] = {}
    stored = InstanceFact.objects.filter(instance_id__in={one.instance_id for one in ordered})
    for fact in stored.order_by("observed_at", "id"):
        history.setdefault(fact.instance_id, []).append(fact)
    new = []
    for observation in ordered:
        facts = history.setdefault(observation.instance_id, [])
        newer = changed(facts, observation)
        if newer:
            new.append(newer)
            facts.append(newer)
            facts.sort(key=lambda one: one.observed_at)
    store_facts(new)
    return new


def store_facts(facts: Sequence[InstanceFact]) -> None:
    """Store new facts, and with their instances what the newest facts of these say."""
    if not facts:
        return
    InstanceFact.objects.bulk_create(facts, batch_size=FACTS_AT_ONCE)
    with connection.cursor() as cursor:
        cursor.execute(_SAVE_NEWEST, [sorted({fact.instance_id for fact in facts})])


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
