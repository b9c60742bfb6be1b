"""What is said of a customer's day: its state, error bars, and seconds of gaps (spec 10 §2)."""

from collections.abc import Collection, Iterable, Sequence
from datetime import UTC, date, datetime, time, timedelta
from typing import NamedTuple

from api.coverage.error_bars import Bars, CountedRun, UnsureSpan, error_bars
from api.images.facts import RHEL_FOR_EVERYBODY
from api.metering.days import windows
from api.models import CoverageDay
from api.models.usage import is_stale
from util import clock
from util.arrays import array_literal
from util.replica import connection

State = CoverageDay.State

ONE_DAY = timedelta(days=1)
LARGEST_HOLE = 31
DAYS_AT_ONCE = 366
ROWS_AT_ONCE = 20_000

_RANKS = {str(state): rank for rank, state in enumerate(CoverageDay.RANK)}

_ACCOUNTS = """
account AS MATERIALIZED (
    SELECT id, (created_at AT TIME ZONE 'UTC')::date AS born
    FROM api_cloudaccount WHERE user_id = %(user)s AND NOT is_synthetic
)
"""

# Gaps of several accounts at the same time are one gap of the customer.
_DAYS = f"""
WITH {_ACCOUNTS}, held AS MATERIALIZED (
    SELECT date, state, gaps FROM api_coverageday
    WHERE cloud_account_id = ANY(ARRAY(SELECT id FROM account))
      AND date BETWEEN %(first)s AND %(last)s
), covered AS MATERIALIZED (
    SELECT date, array_agg(DISTINCT state) AS states, count(*) AS accounts,
           bool_or(gaps @> '[{{"reason": "correction"}}]') AS is_corrected
    FROM held GROUP BY date
), unknown AS MATERIALIZED (
    SELECT date, range_agg(
        tstzrange((gap->>'from')::timestamptz, (gap->>'to')::timestamptz)
    ) AS spans
    FROM held, jsonb_array_elements(gaps) AS gap
    WHERE gaps <> '[]' AND gap->>'reason' <> 'not_metered'
    GROUP BY date
)
SELECT day::date, coalesce(covered.states, '{{}}'), coalesce(covered.is_corrected, false),
       (SELECT count(*) FROM account WHERE born <= day::date) > coalesce(covered.accounts, 0),
       (SELECT coalesce(sum(extract(epoch FROM upper(span) - lower(span))), 0)::float8
        FROM unknown, unnest(unknown.spans) AS span WHERE unknown.date = day::date),
       (SELECT coalesce((maximum_counts->0->>5)::integer, 0) FROM api_concurrentusage usage
        WHERE usage.user_id = %(user)s AND usage.date = day::date
          AND NOT {is_stale("usage.user_id", "usage.date")})
FROM generate_series(%(first)s::timestamp, %(last)s::timestamp, '1 day') AS day
LEFT JOIN covered ON covered.date = day::date
ORDER BY day
"""  # noqa: S608 - made of constants

# Of many customers at once, the same as above but for the gaps.
_STATES = """
SELECT wanted.user_id, wanted.date, array_remove(array_agg(DISTINCT held.state), NULL),
       count(account.id) FILTER (
           WHERE (account.created_at AT TIME ZONE 'UTC')::date <= wanted.date
       ) > count(held.state)
FROM unnest(%(users)s::bigint[], %(days)s::date[]) AS wanted (user_id, date)
LEFT JOIN api_cloudaccount account
  ON account.user_id = wanted.user_id AND NOT account.is_synthetic
LEFT JOIN api_coverageday held
  ON held.cloud_account_id = account.id AND held.date = wanted.date
GROUP BY wanted.user_id, wanted.date
"""

UNSURE_KINDS = ("missed_on", "missed_off")
"""Corrections of what was on; the others say nothing of how many were."""

# A span without its beginning is unsure from the first moment of the days. Runs are those that
# touch the days, and those that begin where an unsure span ends.
_UNSURE_AND_RUNS = f"""
WITH {_ACCOUNTS}, unsure AS MATERIALIZED (
    SELECT instance_id, greatest(unsure_from, %(begin)s) AS since, unsure_to AS until
    FROM api_correction
    WHERE cloud_account_id = ANY(ARRAY(SELECT id FROM account)) AND kind = ANY(%(kinds)s)
      AND explained_by IS NULL AND unsure_to > %(begin)s
      AND coalesce(unsure_from, '-infinity') < least(unsure_to, %(limit)s)
), touching AS MATERIALIZED (
    SELECT instance_id, machine_image_id, start_time, end_time FROM api_run
    WHERE cloud_account_id = ANY(ARRAY(SELECT id FROM account)) AND machine_image_id IS NOT NULL
      AND (end_time >= %(begin)s OR end_time IS NULL)
      AND start_time <= greatest(%(limit)s, (SELECT max(until) FROM unsure))
)
SELECT true, instance_id, (extract(epoch FROM since) * 1000000)::bigint,
       (extract(epoch FROM until) * 1000000)::bigint
FROM unsure
UNION ALL
SELECT false, instance_id, (extract(epoch FROM start_time) * 1000000)::bigint,
       (extract(epoch FROM end_time) * 1000000)::bigint
FROM touching
WHERE machine_image_id IN (
    SELECT image.id FROM api_machineimage image
    WHERE image.id IN (SELECT machine_image_id FROM touching) AND ({RHEL_FOR_EVERYBODY} OR EXISTS (
        SELECT FROM api_imagetags tags
        WHERE tags.machine_image_id = image.id AND tags.rhel
          AND tags.cloud_account_id = ANY(ARRAY(SELECT id FROM account))
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


class _QualityDay(NamedTuple):
    date: date
    states: Sequence[str]
    is_corrected: bool
    lacks_account: bool
    gap_seconds: float
    total: int | None


def of_days(
    user_id: int, first: date, last: date, *, with_counts: bool = True
) -> dict[date, Quality]:
    """Return the quality of each UTC day of a customer from the first to the last, both included.

    A day is as good as the worst one of its accounts (§4). An account that has no row for a day
    that it was there on is not proved then: the day is open, or partial if it is long past. One
    statement, and another one for each stretch of days with corrections; ``with_counts`` false
    saves these and leaves the counts out.
    """
    with connection.cursor() as cursor:
        cursor.execute(_DAYS, {"user": user_id, "first": first, "last": last})
        days = [_QualityDay(*row) for row in cursor.fetchall()]
    states = {day.date: _state(day.states, day.lacks_account, day.date) for day in days}
    counted = [
        day
        for day in days
        if with_counts and day.total is not None and states[day.date] != str(State.PARTIAL)
    ]
    bars = _bars(user_id, [day.date for day in counted if day.is_corrected])
    limits = {day.date: _limits(day.total or 0, bars.get(day.date)) for day in counted}
    return {
        day.date: _quality(states[day.date], limits.get(day.date), day.gap_seconds) for day in days
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
                "days": array_literal(days),
            },
        )
        return {
            (user_id, day): _state(states, lacks_account, day)
            for user_id, day, states, lacks_account in cursor.fetchall()
        }


def _quality(state: str, limits: Bars | None, gap_seconds: float) -> Quality:
    least, most = (None, None) if limits is None else limits
    return Quality(state, least, most, round(gap_seconds))


def worst(states: Iterable[str]) -> str:
    """Return the worst of some states; without any there is nothing to be trusted or not."""
    return max(states, key=_RANKS.__getitem__, default=str(State.OFF))


def _state(states: Sequence[str], lacks_account: bool, day: date) -> str:
    """Return a day's state; ``lacks_account`` says that an account has no row for it."""
    if not lacks_account:
        return worst(states)
    is_due = day >= clock.today() - ONE_DAY
    return worst([*states, str(State.OPEN if is_due else State.PARTIAL)])


def _limits(count: int, bars: Bars | None) -> Bars:
    if bars is None:
        return Bars(count, count)
    return Bars(min(bars.least, count), max(bars.most, count))


def _bars(user_id: int, days: Iterable[date]) -> dict[date, Bars]:
    """Return the bars of days of which something is unsure."""
    bars: dict[date, Bars] = {}
    for window in windows(days, gap=LARGEST_HOLE, length=DAYS_AT_ONCE):
        first, last = window[0], window[-1]
        runs, unsure = _runs_and_unsure(user_id, first, last)
        bars |= error_bars(runs, unsure, first, last)
    return bars


def _runs_and_unsure(
    user_id: int, first: date, last: date
) -> tuple[list[CountedRun], list[UnsureSpan]]:
    parameters = {
        "user": user_id,
        "kinds": list(UNSURE_KINDS),
        "begin": datetime.combine(first, time(), UTC),
        "limit": datetime.combine(last + ONE_DAY, time(), UTC),
    }
    runs: list[CountedRun] = []
    unsure: list[UnsureSpan] = []
    with connection.cursor() as cursor:
        cursor.execute(_UNSURE_AND_RUNS, parameters)
        while rows := cursor.fetchmany(ROWS_AT_ONCE):
            for is_unsure, *row in rows:
                if is_unsure:
                    unsure.append(UnsureSpan(*row))
                else:
                    runs.append(CountedRun(*row))
    return runs, unsure
