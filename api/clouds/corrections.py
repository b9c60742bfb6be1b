"""What a cloud told us that our events did not know (spec 09 P5)."""

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

from django.db import connection

from api.models import Correction

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


def save_corrections(corrections: Sequence[NewCorrection], *, before: datetime) -> None:
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


def _earlier(since: datetime | None, until: datetime) -> datetime | None:
    return min(since, until) if since else None


def _unsure_since(
    corrections: Sequence[tuple[int, NewCorrection]], before: datetime
) -> dict[int, datetime | None]:
    """Return since when it is unsure, by the corrections' places."""
    if not corrections:
        return {}
    parameters = {
        "places": [place for place, _ in corrections],
        "instances": [one.instance_id for _, one in corrections],
        "events": [one.event_id for _, one in corrections],
        "before": [one.asked_at or before for _, one in corrections],
    }
    with connection.cursor() as cursor:
        cursor.execute(_UNSURE_SINCE, parameters)
        return dict(cursor.fetchall())
