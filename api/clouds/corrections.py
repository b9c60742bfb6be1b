"""What a cloud told us that our events did not know (spec 09 P5)."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import NamedTuple

from django.db import connection

from api.models import Correction

# Since the last look at the instance's region, or since its newest event if that is later.
_UNSURE_SINCE = """
SELECT instance.id, GREATEST(looked.at, newest.occurred_at)
FROM api_instance instance
LEFT JOIN LATERAL (
    SELECT occurred_at FROM api_instanceevent
    WHERE instance_id = instance.id AND occurred_at < %(before)s
    ORDER BY occurred_at DESC LIMIT 1
) newest ON true
LEFT JOIN LATERAL (
    SELECT max(finished_at) AS at FROM api_describerun run
    WHERE run.cloud_account_id = instance.cloud_account_id
      AND run.outcome = 'ok' AND run.kind IN ('initial', 'reconcile', 'azure_poll')
      AND (run.region IS NULL OR run.region = instance.region)
      AND run.finished_at < %(before)s
) looked ON true
WHERE instance.id = ANY(%(instances)s)
"""


class Contradiction(NamedTuple):
    """Something that had been missed, seen at a moment."""

    instance_id: int
    account_id: int
    kind: str
    seen_at: datetime
    event_id: int | None = None
    describe_run_id: int | None = None


def save_corrections(contradictions: Sequence[Contradiction], *, before: datetime) -> None:
    """Store what had been missed. ``before`` is when the look that showed it was begun."""
    if not contradictions:
        return
    since = _unsure_since((one.instance_id for one in contradictions), before)
    Correction.objects.bulk_create(
        Correction(
            event_id=one.event_id,
            instance_id=one.instance_id,
            cloud_account_id=one.account_id,
            describe_run_id=one.describe_run_id,
            kind=one.kind,
            unsure_from=since.get(one.instance_id),
            unsure_to=one.seen_at,
        )
        for one in contradictions
    )


def _unsure_since(instance_ids: Iterable[int], before: datetime) -> dict[int, datetime | None]:
    with connection.cursor() as cursor:
        cursor.execute(_UNSURE_SINCE, {"before": before, "instances": list(instance_ids)})
        return dict(cursor.fetchall())
