"""Read what is known of one day of many accounts: a few statements, however many there are.

Spec 10 §2; what it proves is told by ``api.coverage.proofs``.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import Any, NamedTuple

from django.db import connection

from api.coverage.proofs import GapSpan, Span, Switch
from api.coverage.quality import UNSURE_KINDS
from api.metering.timeline import Instant
from api.models import AccountState

ONE_DAY = timedelta(days=1)

BEFORE_ALL: Instant = -(2**62)
"""Stands for a moment that nobody knows any more."""

_Change = AccountState.Change
ON = str(_Change.ENABLED)
SWITCHING = [ON, *map(str, (_Change.DISABLED, _Change.PAUSED, _Change.DELETED))]
"""The changes of state that begin or end metering; a pause is followed by a disabling."""


def _micros(expression: str) -> str:
    return f"(extract(epoch FROM {expression}) * 1000000)::bigint"


_ACCOUNTS = f"""
SELECT id, cloud_type, aws_account_id, {_micros("enabled_at")},
       is_enabled AND NOT platform_application_is_paused
FROM api_cloudaccount
WHERE id = ANY(%(accounts)s)
ORDER BY id
"""  # noqa: S608 - made of constants

_SWITCHES = f"""
SELECT wanted.id, {_micros("change.at")}, change.to_state, change.from_state
FROM unnest(%(accounts)s::bigint[]) AS wanted (id)
CROSS JOIN LATERAL (
    (SELECT id, at, to_state, from_state FROM api_accountstate
     WHERE account_id = wanted.id AND at < %(begin)s AND to_state = ANY(%(switching)s)
     ORDER BY at DESC, id DESC LIMIT 1)
    UNION ALL
    SELECT id, at, to_state, from_state FROM api_accountstate
    WHERE account_id = wanted.id AND at >= %(begin)s AND at < %(limit)s
      AND to_state = ANY(%(switching)s)
) change
ORDER BY wanted.id, change.at, change.id
"""  # noqa: S608

# A region is in use if an instance of it was on. Of an account without any the region counts that
# was read most often: those that an organization has closed are never read.
_SCANS = f"""
WITH scan AS MATERIALIZED (
    SELECT cloud_account_id AS account, coalesce(region, '') AS region, outcome = 'ok' AS is_good,
           started_at >= %(begin)s AND started_at < %(limit)s AS is_today,
           {_micros("started_at")} AS began,
           {_micros("coalesce(finished_at, started_at)")} AS ended
    FROM api_describerun
    WHERE cloud_account_id = ANY(%(accounts)s) AND kind IN ('initial', 'reconcile', 'azure_poll')
      AND started_at >= %(since)s AND started_at < %(until)s
), read AS MATERIALIZED (
    SELECT account, region,
           count(*) FILTER (WHERE is_good AND is_today) AS good,
           count(*) FILTER (WHERE NOT is_good AND is_today) AS failed,
           array_agg(began ORDER BY began) FILTER (WHERE is_good) AS began,
           array_agg(ended ORDER BY began) FILTER (WHERE is_good) AS ended
    FROM scan GROUP BY account, region
), used AS MATERIALIZED (
    SELECT DISTINCT run.cloud_account_id AS account, instance.region
    FROM api_run run JOIN api_instance instance ON instance.id = run.instance_id
    WHERE run.cloud_account_id = ANY(%(accounts)s) AND instance.cloud_type = 'aws'
      AND (run.end_time >= %(begin)s OR run.end_time IS NULL) AND run.start_time < %(limit)s
), wanted AS (
    SELECT account, region FROM used
    UNION ALL
    (SELECT DISTINCT ON (account) account, region FROM read
     WHERE NOT EXISTS (SELECT FROM used WHERE used.account = read.account)
     ORDER BY account, coalesce(cardinality(began), 0) DESC, region)
), total AS (
    SELECT account, sum(good)::integer AS good, sum(failed)::integer AS failed
    FROM read GROUP BY account
)
SELECT wanted.account, coalesce(total.good, 0), coalesce(total.failed, 0), read.began, read.ended
FROM wanted
LEFT JOIN read ON read.account = wanted.account AND read.region = wanted.region
LEFT JOIN total ON total.account = wanted.account
"""  # noqa: S608

_FINDINGS = f"""
SELECT aws_account_id, {_micros("lower(span)")}, {_micros("upper(span)")}, reason
FROM (
    SELECT aws_account_id, reason, range_agg(
        tstzrange(events_from, greatest(events_to, events_from + interval '1 second'))
    ) AS spans
    FROM api_auditfinding
    WHERE aws_account_id = ANY(%(numbers)s) AND resolved_at IS NULL
      AND events_to >= %(begin)s AND events_from < %(limit)s
    GROUP BY aws_account_id, reason
) found, unnest(spans) AS span
"""  # noqa: S608

_CORRECTIONS = f"""
SELECT account, seen, (SELECT array_agg({_micros("lower(span)")}) FROM unnest(spans) span),
       (SELECT array_agg({_micros("upper(span)")}) FROM unnest(spans) span)
FROM (
    SELECT cloud_account_id AS account,
           count(*) FILTER (WHERE unsure_to >= %(begin)s AND unsure_to < %(limit)s) AS seen,
           range_agg(tstzrange(greatest(unsure_from, %(begin)s), least(unsure_to, %(limit)s)))
               FILTER (WHERE kind = ANY(%(kinds)s) AND explained_by IS NULL
                       AND coalesce(unsure_from, '-infinity') < unsure_to
                       AND coalesce(unsure_from, '-infinity') < %(limit)s) AS spans
    FROM api_correction
    WHERE cloud_account_id = ANY(%(accounts)s) AND unsure_to >= %(begin)s
      AND (unsure_from IS NULL OR unsure_from < %(limit)s)
    GROUP BY cloud_account_id
) corrected
"""  # noqa: S608

# The names of an hour's files begin with the minute of their delivery.
_LOGS = """
SELECT aws_account_id, files, newest_event_at, event_age, queue_wait, newest_hour + coalesce((
    SELECT make_interval(mins => max(left(name, 2))::integer)
    FROM api_ingesthour newest, regexp_split_to_table(newest.seen, E'\\n') AS name
    WHERE newest.aws_account_id = day.aws_account_id AND newest.hour = day.newest_hour
      AND name ~ '^[0-5][0-9]_'
), '0')
FROM (
    SELECT aws_account_id, sum(files)::bigint AS files, max(newest_event_at) AS newest_event_at,
           max(largest_event_age) AS event_age, max(largest_queue_wait) AS queue_wait,
           max(hour) AS newest_hour
    FROM api_ingesthour
    WHERE aws_account_id = ANY(%(numbers)s) AND hour >= %(begin)s AND hour < %(limit)s
    GROUP BY aws_account_id
) day
"""

_NEWEST_EVENTS = """
SELECT wanted.id, newest.occurred_at
FROM unnest(%(accounts)s::bigint[]) AS wanted (id)
CROSS JOIN LATERAL (
    SELECT occurred_at FROM api_instanceevent
    WHERE cloud_account_id = wanted.id AND occurred_at >= %(begin)s AND occurred_at < %(limit)s
    ORDER BY occurred_at DESC LIMIT 1
) newest
"""


class Logs(NamedTuple):
    """What arrived of an account's log files on the day."""

    files: int = 0
    newest_event_at: datetime | None = None
    event_age: float | None = None
    queue_wait: float | None = None
    newest_delivery: datetime | None = None


@dataclass(slots=True)
class AccountDay:
    """What is known of a day of one account."""

    account_id: int
    cloud_type: str
    aws_account_id: str | None
    switches: list[Switch] = field(default_factory=list)
    scans: list[Sequence[Span]] = field(default_factory=list)
    scans_good: int = 0
    scans_failed: int = 0
    found: list[GapSpan] = field(default_factory=list)
    unsure: list[Span] = field(default_factory=list)
    corrections: int = 0
    logs: Logs = field(default_factory=Logs)
    newest_event_at: datetime | None = None


def read_evidence(account_ids: Sequence[int], day: date, *, reach: timedelta) -> list[AccountDay]:
    """Return what is known of a UTC day of those of the accounts that there are.

    ``reach`` is for how long before and after the day scans are looked at. Seven statements.
    """
    parameters = {
        "accounts": list(account_ids),
        "begin": day,
        "limit": day + ONE_DAY,
        "since": _midnight(day) - reach,
        "until": _midnight(day + ONE_DAY) + reach,
        "switching": SWITCHING,
        "kinds": list(UNSURE_KINDS),
    }
    accounts = _fetch(_ACCOUNTS, parameters)
    days = {row[0]: AccountDay(*row[:3]) for row in accounts}
    numbers = {one.aws_account_id: one for one in days.values() if one.aws_account_id}
    parameters["numbers"] = list(numbers)
    _add_switches(days, _fetch(_SWITCHES, parameters), accounts)
    for account_id, good, failed, began, ended in _fetch(_SCANS, parameters):
        known = days[account_id]
        known.scans_good, known.scans_failed = good, failed
        known.scans.append(list(map(Span, began or (), ended or ())))
    for number, *gap in _fetch(_FINDINGS, parameters):
        numbers[number].found.append(GapSpan(*gap))
    for account_id, seen, starts, ends in _fetch(_CORRECTIONS, parameters):
        days[account_id].corrections = seen
        days[account_id].unsure = list(map(Span, starts or (), ends or ()))
    for number, *logs in _fetch(_LOGS, parameters):
        numbers[number].logs = Logs(*logs)
    for account_id, newest in _fetch(_NEWEST_EVENTS, parameters):
        days[account_id].newest_event_at = newest
    return list(days.values())


def _add_switches(
    days: Mapping[int, AccountDay], changes: Iterable[Any], accounts: Iterable[Any]
) -> None:
    """Add when metering began and ended; where no change is recorded, what the account says."""
    by_account: dict[int, list[Any]] = defaultdict(list)
    for account_id, *change in changes:
        by_account[account_id].append(change)
    for account_id, _, _, enabled_at, is_metered in accounts:
        recorded = by_account.get(account_id)
        switches = days[account_id].switches
        if recorded:
            if recorded[0][2] == ON and recorded[0][1] != ON:
                switches.append(Switch(BEFORE_ALL, True))
            switches += [Switch(at, to_state == ON) for at, to_state, _ in recorded]
        elif is_metered:
            switches.append(Switch(BEFORE_ALL if enabled_at is None else enabled_at, True))


def _midnight(day: date) -> datetime:
    return datetime.fromisoformat(f"{day}T00:00:00+00:00")


def _fetch(statement: str, parameters: Mapping[str, Any]) -> list[Any]:
    with connection.cursor() as cursor:
        cursor.execute(statement, parameters)
        return cursor.fetchall()
