"""What is said of a customer's day: its state, error bars, and seconds of gaps (spec 10 §2)."""

from collections.abc import Collection, Iterable, Sequence
from datetime import date, timedelta
from typing import Any, NamedTuple

from django.db import connection

from api.coverage.error_bars import Bars, CountedRun, UnsureSpan, error_bars
from api.images.facts import RHEL_FOR_EVERYBODY
from api.metering.concurrency import day_of, start_of
from api.metering.days import each_day, windows
from api.metering.staleness import is_withdrawn
from api.models import ConcurrentUsage, CoverageDay
from util import clock
from util.arrays import array_literal

State = CoverageDay.State

ONE_DAY = timedelta(days=1)
LARGEST_HOLE = 31
DAYS_AT_ONCE = 366
ROWS_AT_ONCE = 20_000

_RANKS = {str(state): rank for rank, state in enumerate(CoverageDay.RANK)}

_ACCOUNTS = """
SELECT id, (created_at AT TIME ZONE 'UTC')::date
FROM api_cloudaccount WHERE user_id = %s AND NOT is_synthetic
"""

# Gaps of several accounts at the same time are one gap of the customer.
_DAYS = """
WITH held AS MATERIALIZED (
    SELECT date, state, gaps FROM api_coverageday
    WHERE cloud_account_id = ANY(%(accounts)s) AND date BETWEEN %(first)s AND %(last)s
), unknown AS (
    SELECT date, range_agg(tstzrange((gap->>'from')::timestamptz, (gap->>'to')::timestamptz)) spans
    FROM held, jsonb_array_elements(gaps) gap
    WHERE gaps <> '[]' AND gap->>'reason' <> 'not_metered'
    GROUP BY date
)
SELECT date, array_agg(DISTINCT state), count(*), (
    SELECT coalesce(sum(extract(epoch FROM upper(span) - lower(span))), 0)::float8
    FROM unknown, unnest(unknown.spans) span WHERE unknown.date = held.date
)
FROM held
GROUP BY date
"""

# Of many customers at once, the same as above but for the gaps.
_STATES = """
SELECT wanted.user_id, wanted.date, array_remove(array_agg(DISTINCT held.state), NULL),
       count(held.state), count(account.id) FILTER (
           WHERE (account.created_at AT TIME ZONE 'UTC')::date <= wanted.date)
FROM unnest(%(users)s::bigint[], %(days)s::date[]) AS wanted (user_id, date)
LEFT JOIN api_cloudaccount account
  ON account.user_id = wanted.user_id AND NOT account.is_synthetic
LEFT JOIN api_coverageday held
  ON held.cloud_account_id = account.id AND held.date = wanted.date
GROUP BY wanted.user_id, wanted.date
"""

UNSURE_KINDS = ("missed_on", "missed_off")
"""Corrections of what was on; the others say nothing of how many were."""

_UNSURE = """
SELECT instance_id,
       (extract(epoch FROM greatest(unsure_from, %(begin)s)) * 1000000)::bigint,
       (extract(epoch FROM unsure_to) * 1000000)::bigint
FROM api_correction
WHERE cloud_account_id = ANY(%(accounts)s) AND kind = ANY(%(kinds)s) AND explained_by IS NULL
  AND unsure_to > %(begin)s AND (unsure_from IS NULL OR unsure_from < %(limit)s)
  AND unsure_from IS DISTINCT FROM unsure_to
"""

# Two ranges of one index: the runs that end late enough, and those that are still open.
_RUNS = f"""
WITH touching AS MATERIALIZED (
    SELECT instance_id, machine_image_id, start_time, end_time FROM api_run
    WHERE cloud_account_id = ANY(%(accounts)s) AND machine_image_id IS NOT NULL
      AND (end_time >= %(begin)s OR end_time IS NULL) AND start_time < %(limit)s
)
SELECT instance_id, (extract(epoch FROM start_time) * 1000000)::bigint,
       (extract(epoch FROM end_time) * 1000000)::bigint
FROM touching
WHERE machine_image_id IN (
    SELECT image.id FROM api_machineimage image
    WHERE image.id IN (SELECT machine_image_id FROM touching) AND ({RHEL_FOR_EVERYBODY} OR EXISTS (
        SELECT FROM api_imagetags tags
        WHERE tags.machine_image_id = image.id AND tags.rhel
          AND tags.cloud_account_id = ANY(%(accounts)s)
    ))
)
"""  # noqa: S608 - made of constants


class Quality(NamedTuple):
    """How far a customer's day can be trusted.

    ``count_min`` and ``count_max`` are those of the key that counts everything; None where they are
    not known: for a partial day, and for one whose usage is not calculated. ``gap_seconds`` is for
    how long something is unknown of at least one account; time that is not metered is no gap.
    """

    state: str
    count_min: int | None
    count_max: int | None
    gap_seconds: int


class _Held(NamedTuple):
    states: Sequence[str]
    accounts: int
    gap_seconds: float


_NOTHING = _Held((), 0, 0)


def of_days(user_id: int, first: date, last: date) -> dict[date, Quality]:
    """Return the quality of each UTC day of a customer from the first to the last, both included.

    A day is as good as the worst one of its accounts (§4). An account that has no row for a day
    that it was there on is not proved then: the day is open, or partial if it is long past. Four
    statements, and another one for each stretch of days with corrections.
    """
    accounts = _accounts(user_id)
    held = _held(list(accounts), first, last)
    states = {
        day: _state(held.get(day, _NOTHING), sum(born <= day for born in accounts.values()), day)
        for day in each_day(first, last)
    }
    counts = _counts(user_id, first, last)
    known = [day for day in counts if states[day] != State.PARTIAL]
    bars = _bars(list(accounts), known) if known else {}
    return {
        day: Quality(
            state,
            *_limits(counts.get(day), bars.get(day)) if day in known else (None, None),
            round(held.get(day, _NOTHING).gap_seconds),
        )
        for day, state in states.items()
    }


def states_of_days(keys: Collection[tuple[int, date]]) -> dict[tuple[int, date], str]:
    """Return the states of days of many customers, each named by the customer's id and the day.

    They are those that ``of_days`` tells. One statement.
    """
    users, days = zip(*keys, strict=True) if keys else ((), ())
    with connection.cursor() as cursor:
        cursor.execute(
            _STATES,
            {
                "users": array_literal(users),
                "days": array_literal(day.isoformat() for day in days),
            },
        )
        return {
            (user_id, day): _state(_Held(states, held, 0), accounts, day)
            for user_id, day, states, held, accounts in cursor.fetchall()
        }


def worst(states: Iterable[str]) -> str:
    """Return the worst of some states; without any there is nothing to be trusted or not."""
    return max(states, key=_RANKS.__getitem__, default=str(State.OFF))


def _accounts(user_id: int) -> dict[int, date]:
    """Return since when there are the customer's accounts that a cloud knows."""
    with connection.cursor() as cursor:
        cursor.execute(_ACCOUNTS, [user_id])
        return dict(cursor.fetchall())


def _held(account_ids: Sequence[int], first: date, last: date) -> dict[date, _Held]:
    with connection.cursor() as cursor:
        cursor.execute(_DAYS, {"accounts": account_ids, "first": first, "last": last})
        return {day: _Held(*values) for day, *values in cursor.fetchall()}


def _state(held: _Held, accounts: int, day: date) -> str:
    """Return the state of a day on which the customer had so many accounts."""
    states = list(held.states)
    if held.accounts < accounts:
        states.append(State.OPEN if day >= clock.today() - ONE_DAY else State.PARTIAL)
    return worst(map(str, states))


def _counts(user_id: int, first: date, last: date) -> dict[date, int]:
    """Return the stored totals of the days whose usage holds now."""
    rows = ConcurrentUsage.objects.filter(
        ~is_withdrawn(), user_id=user_id, date__range=(first, last)
    )
    totals = rows.values_list("date", "maximum_counts__0__5")
    return {day: total or 0 for day, total in totals}


def _limits(count: int | None, bars: Bars | None) -> tuple[int | None, int | None]:
    if count is None or bars is None:
        return count, count
    return min(bars.least, count), max(bars.most, count)


def _bars(account_ids: Sequence[int], days: Collection[date]) -> dict[date, Bars]:
    """Return the bars of those of the days of which something is unsure."""
    unsure = _unsure(account_ids, min(days), max(days))
    touched = {
        day for span in unsure for day in days if day_of(span.since) <= day <= day_of(span.until)
    }
    bars: dict[date, Bars] = {}
    for window in windows(touched, gap=LARGEST_HOLE, length=DAYS_AT_ONCE):
        first, last = window[0], window[-1]
        begin, limit = start_of(first), start_of(last + ONE_DAY)
        here = [span for span in unsure if span.since < limit and span.until >= begin]
        runs = _runs(account_ids, first, max(last, day_of(max(span.until for span in here))))
        bars |= error_bars(runs, here, first, last)
    return {day: bars[day] for day in touched}


def _unsure(account_ids: Sequence[int], first: date, last: date) -> list[UnsureSpan]:
    with connection.cursor() as cursor:
        cursor.execute(
            _UNSURE,
            {
                "accounts": account_ids,
                "kinds": list(UNSURE_KINDS),
                **_moments(first, last),
            },
        )
        return [UnsureSpan(*row) for row in cursor.fetchall()]


def _runs(account_ids: Sequence[int], first: date, last: date) -> list[CountedRun]:
    runs: list[CountedRun] = []
    with connection.cursor() as cursor:
        cursor.execute(_RUNS, {"accounts": account_ids, **_moments(first, last)})
        while rows := cursor.fetchmany(ROWS_AT_ONCE):
            runs += [CountedRun(*row) for row in rows]
    return runs


def _moments(first: date, last: date) -> dict[str, Any]:
    return {"begin": first, "limit": last + ONE_DAY}
