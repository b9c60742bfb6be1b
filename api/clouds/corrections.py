"""What a cloud told us that our events did not know, and what explains it (09 P5, 10 §3.1)."""

from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from django.db import connection, transaction

from api.models import CloudType, Correction
from util.metrics import counter

CORRECTIONS = counter(
    "cloudigrade_corrections",
    "Corrections that were made (explained: false), and those explained by a later log (true).",
    ("cloud", "kind", "explained"),
)

CLOSE = timedelta(minutes=1)
"""How far a log and a describe may be apart that tell of one start or end, to the second both."""

# Since the newest event but the one by which the instance was corrected, the last look at the
# instance's region, or the account's being enabled, whichever is latest. A look that did not know
# of that event yet, since its log came later, did not confirm it.
_UNSURE_SINCE = """
SELECT wanted.place, GREATEST(looked.at, newest.occurred_at, account.enabled_at)
FROM unnest(%(places)s::integer[], %(instances)s::bigint[], %(events)s::bigint[],
            %(before)s::timestamptz[]) AS wanted (place, instance_id, event_id, before)
JOIN api_instance instance ON instance.id = wanted.instance_id
LEFT JOIN LATERAL (
    SELECT occurred_at, created_at, source_id FROM api_instanceevent
    WHERE instance_id = wanted.instance_id AND occurred_at < wanted.before
      AND id IS DISTINCT FROM wanted.event_id
    ORDER BY occurred_at DESC, id DESC LIMIT 1
) newest ON true
LEFT JOIN LATERAL (
    SELECT finished_at AS at FROM api_describerun run
    WHERE run.cloud_account_id = instance.cloud_account_id
      AND run.outcome = 'ok' AND run.kind IN ('initial', 'reconcile', 'azure_poll')
      AND (run.region IS NULL OR run.region = instance.region)
      AND run.finished_at < wanted.before
      AND run.started_at > COALESCE(newest.occurred_at - interval '1 hour', '-infinity')
      AND (newest.occurred_at IS NULL
           OR (run.finished_at >= newest.occurred_at
               AND (newest.created_at < run.started_at OR newest.source_id = run.id::text)))
    ORDER BY started_at DESC LIMIT 1
) looked ON true
LEFT JOIN api_cloudaccount account
    ON account.id = instance.cloud_account_id AND account.enabled_at < wanted.before
"""

# The earliest true event of the interval, or of a minute around an exact moment.
_EXPLAIN = """
UPDATE api_correction corrected SET explained_by = found.event_id
FROM (
    SELECT DISTINCT ON (correction.id) correction.id, event.id AS event_id
    FROM api_instanceevent event
    JOIN api_correction correction ON correction.instance_id = event.instance_id
    WHERE event.id = ANY(%(events)s) AND correction.explained_by IS NULL
      AND event.origin = 'cloudtrail'
      AND (correction.kind, event.event_type)
          IN (('missed_on', 'power_on'), ('missed_off', 'power_off'))
      AND event.occurred_at >= CASE
              WHEN correction.unsure_from = correction.unsure_to
              THEN correction.unsure_from - %(close)s
              ELSE coalesce(correction.unsure_from, '-infinity') END
      AND event.occurred_at <= CASE
              WHEN correction.unsure_from = correction.unsure_to
              THEN correction.unsure_to + %(close)s
              ELSE correction.unsure_to END
    ORDER BY correction.id, event.occurred_at, event.id
) found
WHERE corrected.id = found.id
RETURNING corrected.kind
"""


class NewCorrection(NamedTuple):
    """Something that had been missed, and happened at ``seen_at`` at the latest.

    ``is_exact`` says that it happened then. ``asked_at`` is when the cloud was asked for what shows
    it, if that is known of this instance alone.
    """

    instance_id: int
    account_id: int
    kind: str
    seen_at: datetime
    event_id: int | None = None
    describe_run_id: int | None = None
    is_exact: bool = False
    asked_at: datetime | None = None


def save_corrections(
    corrections: Sequence[NewCorrection], *, cloud_type: str, before: datetime
) -> None:
    """Store what had been missed, and between which moments it happened (09 P5, decision 31).

    ``before`` is when the look that showed it was begun, by PostgreSQL's clock.
    """
    if not corrections:
        return
    since = _unsure_since([one for one in enumerate(corrections) if not one[1].is_exact], before)
    Correction.objects.bulk_create(
        Correction(
            event_id=one.event_id,
            instance_id=one.instance_id,
            cloud_account_id=one.account_id,
            describe_run_id=one.describe_run_id,
            kind=one.kind,
            unsure_from=one.seen_at if one.is_exact else _earlier(since.get(place), one.seen_at),
            unsure_to=one.seen_at,
        )
        for place, one in enumerate(corrections)
    )
    _count(cloud_type, (one.kind for one in corrections), explained=False)


def explain_corrections(event_ids: Collection[int]) -> None:
    """Note which new events of AWS's logs happened when a describe had concluded that they did.

    So a correction stands for a log that was late, and not for one that was lost.
    """
    if not event_ids:
        return
    with connection.cursor() as cursor:
        parameters: dict[str, Any] = {"events": list(event_ids), "close": CLOSE}
        cursor.execute(_EXPLAIN, parameters)
        kinds = [kind for (kind,) in cursor.fetchall()]
    _count(str(CloudType.AWS), kinds, explained=True)


def _count(cloud_type: str, kinds: Iterable[str], *, explained: bool) -> None:
    counts = Counter(map(str, kinds))

    def count() -> None:
        for kind, number in counts.items():
            for label in (True, False):
                # Both series are there from the first correction on: alerts subtract them.
                series = CORRECTIONS.labels(cloud_type, kind, str(label).lower())
                series.inc(number if label is explained else 0)

    transaction.on_commit(count, robust=True)


def _earlier(since: datetime | None, until: datetime) -> datetime | None:
    return min(since, until) if since else None


def _unsure_since(
    corrections: Sequence[tuple[int, NewCorrection]], before: datetime
) -> dict[int, datetime | None]:
    """Return since when it is unsure, by the corrections' places."""
    if not corrections:
        return {}
    parameters: dict[str, Any] = {
        "places": [place for place, _ in corrections],
        "instances": [one.instance_id for _, one in corrections],
        "events": [one.event_id for _, one in corrections],
        "before": [min(one.asked_at or before, one.seen_at) for _, one in corrections],
    }
    with connection.cursor() as cursor:
        cursor.execute(_UNSURE_SINCE, parameters)
        return dict(cursor.fetchall())
