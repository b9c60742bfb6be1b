"""Calculate and store how far the days of accounts can be trusted (spec 10 §2).

Today is calculated provisionally. A past day is calculated until it is final, and again whenever
something of it changes.
"""

import json
import logging
from collections.abc import Iterator, Sequence
from datetime import date, datetime, timedelta
from typing import Any

from django.conf import settings
from django.db import connection

from api.clouds.aws.backlog import outage_since
from api.coverage.days import days_to_calculate
from api.coverage.evidence import AccountDay, read_evidence
from api.coverage.proofs import (
    SECOND,
    Audit,
    CoverageRules,
    DayEvidence,
    DayVerdict,
    GapSpan,
    Reason,
    judge,
)
from api.metering.concurrency import start_of
from api.metering.timeline import Instant, instant_of, moment_of
from api.models import AuditedDay, CloudType
from api.push import outbox
from util import clock

logger = logging.getLogger(__name__)

ACCOUNTS_AT_ONCE = 5000
"""How many accounts are worked on together: bounds memory, and the number of statements."""

AUDIT_DAYS = 2
"""A day is audited on each of so many days after it (spec 10 §3.3)."""

POLLS_APART = 2.5
"""Azure's polls may lie two periods apart; half a one is for delays."""

ONE_DAY = timedelta(days=1)

# An account that is being deleted meanwhile is left out, and waited for by nobody.
_STORE = """
INSERT INTO api_coverageday AS held (
    cloud_account_id, date, computed_at, state, metered_seconds, gaps, newest_event_time,
    newest_delivery, log_files, describes_ok, describes_failed, corrections,
    max_event_age_seconds, max_queue_wait_seconds)
SELECT account.id, %s, %s, fresh.state, fresh.metered_seconds, fresh.gaps, fresh.newest_event_time,
       fresh.newest_delivery, fresh.log_files, fresh.describes_ok, fresh.describes_failed,
       fresh.corrections, fresh.event_age, fresh.queue_wait
FROM unnest(%s::bigint[], %s::text[], %s::integer[], %s::jsonb[], %s::timestamptz[],
            %s::timestamptz[], %s::integer[], %s::integer[], %s::integer[], %s::integer[],
            %s::integer[], %s::integer[]) AS fresh (
    account_id, state, metered_seconds, gaps, newest_event_time, newest_delivery, log_files,
    describes_ok, describes_failed, corrections, event_age, queue_wait)
JOIN api_cloudaccount account ON account.id = fresh.account_id
ORDER BY account.id
FOR KEY SHARE OF account SKIP LOCKED
ON CONFLICT (cloud_account_id, date) DO UPDATE
SET computed_at = EXCLUDED.computed_at, state = EXCLUDED.state,
    metered_seconds = EXCLUDED.metered_seconds, gaps = EXCLUDED.gaps,
    newest_event_time = EXCLUDED.newest_event_time,
    newest_delivery = GREATEST(held.newest_delivery, EXCLUDED.newest_delivery),
    log_files = EXCLUDED.log_files, describes_ok = EXCLUDED.describes_ok,
    describes_failed = EXCLUDED.describes_failed, corrections = EXCLUDED.corrections,
    max_event_age_seconds = EXCLUDED.max_event_age_seconds,
    max_queue_wait_seconds = EXCLUDED.max_queue_wait_seconds
"""


def calculate_coverage() -> dict[str, int]:
    """Calculate today, and the past days that are not final or have changed.

    Return how many days of accounts were calculated, by date. What one transaction stores is a
    batch of accounts, so an interrupted run goes on where it was.
    """
    done: dict[str, int] = {}
    for day, account_ids in days_to_calculate(clock.now()):
        calculate_day(account_ids, day)
        done[str(day)] = len(account_ids)
    logger.info("Calculated the coverage of days of accounts: %s", done)
    return done


def _batches(account_ids: Sequence[int]) -> Iterator[Sequence[int]]:
    for first in range(0, len(account_ids), ACCOUNTS_AT_ONCE):
        yield account_ids[first : first + ACCOUNTS_AT_ONCE]


def calculate_day(account_ids: Sequence[int], day: date) -> None:
    """Calculate and store a UTC day of some accounts. About nine statements for 5,000 of them."""
    audit = _audit(day, clock.now())
    for batch in _batches(account_ids):
        _calculate(batch, day, audit)


def _calculate(account_ids: Sequence[int], day: date, audit: Audit) -> None:
    now = clock.now()
    out_since = outage_since(now)
    rows = []
    for known in read_evidence(account_ids, day, reach=_reach()):
        if known.cloud_type == CloudType.AWS and out_since is not None:
            known.found.append(
                GapSpan(instant_of(out_since), instant_of(now), Reason.INGEST_OUTAGE)
            )
        evidence = DayEvidence(known.switches, known.scans, known.found, known.unsure)
        verdict = judge(day, evidence, _rules(known.cloud_type), audit, instant_of(now))
        rows.append(_row(known, verdict))
    if rows:
        columns = [list(column) for column in zip(*rows, strict=True)]
        with (
            outbox.change_of_quality(day, account_ids=columns[0], states=columns[1]),
            connection.cursor() as cursor,
        ):
            cursor.execute(_STORE, [day, now, *columns])


def _rules(cloud_type: str) -> CoverageRules:
    if cloud_type == CloudType.AWS:
        limit = settings.COVERAGE_MAX_DESCRIBE_GAP
        return CoverageRules(int(limit * SECOND), Reason.DESCRIBE_GAP, needs_audit=True)
    return CoverageRules(int(_poll_limit() * SECOND), Reason.POLL_MISSED, needs_audit=False)


def _poll_limit() -> float:
    return POLLS_APART * (settings.UPDATE_AZURE_INSTANCE_EVENTS_SCHEDULE or 3600)


def _reach() -> timedelta:
    return timedelta(seconds=max(settings.COVERAGE_MAX_DESCRIBE_GAP, _poll_limit()) + 3600)


def _audit(day: date, now: datetime) -> Audit:
    """Return whether the day was audited when it was over, and whether it still may be."""
    audited = AuditedDay.objects.filter(day=day).values_list("audited_at", flat=True).first()
    end = moment_of(start_of(day + ONE_DAY))
    return Audit(
        is_done=audited is not None and audited >= end, is_due=now < end + AUDIT_DAYS * ONE_DAY
    )


def _row(known: AccountDay, verdict: DayVerdict) -> tuple[Any, ...]:
    logs = known.logs
    return (
        known.account_id,
        verdict.state,
        verdict.metered_seconds,
        json.dumps([_shown(gap) for gap in verdict.gaps]),
        max(filter(None, (known.newest_event_at, logs.newest_event_at)), default=None),
        logs.newest_delivery,
        logs.files,
        known.scans_good,
        known.scans_failed,
        known.corrections,
        _whole(logs.event_age),
        _whole(logs.queue_wait),
    )


def _shown(gap: GapSpan) -> dict[str, str]:
    return {"from": _text(gap.start), "to": _text(gap.end), "reason": gap.reason}


def _text(instant: Instant) -> str:
    """Write a moment as the APIs do."""
    text = moment_of(instant).isoformat()
    return text.removesuffix("+00:00") + "Z"


def _whole(seconds: float | None) -> int | None:
    """Return whole seconds that the column can hold."""
    return None if seconds is None else min(max(round(seconds), 0), 2**31 - 1)
