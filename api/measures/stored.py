"""Answers from what is stored for each day: sums and counts (spec 11 §1).

They do for days and months, and for what the counts of a day have a key for: facets, one value of
each, and not architecture and role together (07 §5.1). All else is asked of the runs.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any

from django.db.models import F, Q

from api.measures.buckets import Granularity
from api.measures.question import FACETS, Question
from api.measures.statement import DAY_BITS, LAST_DAY
from api.metering.days import each_day
from api.metering.facets import ANY
from api.metering.staleness import is_unavailable
from api.models import ConcurrentUsage
from api.models.usage import is_stale
from util.replica import connection

_ONE_DAY = timedelta(days=1)
_FIRST_FACET = 1
"""Place of the first facet in an entry of ``ConcurrentUsage.sums``."""

SIZES = """
    LEFT JOIN api_cloudaccount account ON account.id = (told ->> 0)::bigint
    LEFT JOIN api_instancedefinition size
         ON size.cloud_type = account.cloud_type AND size.instance_type = told ->> 6"""
SECONDS = "(told ->> 8)::bigint"
VCPUS = "coalesce((told ->> 7)::bigint, trunc(size.vcpu)::bigint, 0)"
"""SQL of an entry ``told``: the size that its type has now, its seconds, and its virtual CPUs."""

_DAYS = f"""
day AS MATERIALIZED (
    SELECT date, width_bucket(date, %(begins)s::date[]) - 1 AS bucket, sums, maximum_counts
    FROM api_concurrentusage stored
    WHERE user_id = %(user)s AND date BETWEEN %(first)s AND %(last)s AND summed_at = computed_at
      AND NOT {is_stale("stored.user_id", "stored.date")}
)"""  # noqa: S608 - made of constants

_PAGE = """
summed AS (
    SELECT bucket, g1, g2, sum(seconds) AS instance_seconds,
           sum(seconds * vcpu) AS vcpu_seconds, sum(seconds * memory) AS memory_mib_seconds,
           sum(seconds * unsized) AS unsized_seconds
    FROM entry GROUP BY bucket, g1, g2
),
answer AS (
    SELECT bucket, g1, g2, coalesce(instance_seconds, 0) AS instance_seconds,
           coalesce(vcpu_seconds, 0) AS vcpu_seconds,
           coalesce(memory_mib_seconds, 0) AS memory_mib_seconds,
           coalesce(unsized_seconds, 0) AS unsized_seconds, peak
    FROM peak FULL JOIN summed USING (bucket, g1, g2)
)
SELECT (SELECT count(*) FROM day), (SELECT bool_and(peak IS NOT NULL) FROM answer),
       (SELECT count(*) FROM answer), (SELECT count(*) FROM (SELECT DISTINCT g1, g2 FROM answer) g),
       page.*
FROM (SELECT) AS always
LEFT JOIN (SELECT * FROM answer ORDER BY bucket, g1, g2 LIMIT %(rows)s OFFSET %(offset)s) page
     ON true
ORDER BY bucket, g1, g2
"""


@dataclass(frozen=True)
class StoredDays:
    """What is known of days: which are final, and of which the sums are stored and hold."""

    final: frozenset[date]
    summed: frozenset[date]


class DaysChangedError(Exception):
    """Days that were stored are not any more, or hold what cannot be told apart."""


def known_days(question: Question) -> StoredDays:
    """Return what is known of a question's days; one query.

    Days before the customer joined are final without being stored: nothing is counted on them.
    """
    first, last = _range(question)
    rows = (
        ConcurrentUsage.objects.filter(
            ~is_unavailable(),
            user_id=question.user_id,
            date__range=(first, min(last, question.now.date() - _ONE_DAY)),
        )
        .annotate(is_summed=Q(summed_at=F("computed_at")))
        .values_list("date", "is_summed")
    )
    found = dict(rows)
    before = each_day(first, min(last, question.joined - _ONE_DAY))
    return StoredDays(
        final=frozenset((*found, *before)),
        summed=frozenset(day for day, is_summed in found.items() if is_summed),
    )


def number_of_stored_buckets(question: Question, days: StoredDays) -> int:
    """Return how many buckets, from the first on, can be read from what is stored."""
    if not _has_key(question):
        return 0
    for number, bucket in enumerate(question.buckets):
        if not all(day in days.summed for day in days_in(bucket.begin, bucket.end)):
            return number
    return len(question.buckets)


def days_in(begin: datetime, end: datetime) -> Iterator[date]:
    """Return the days that a bucket touches."""
    return each_day(begin.date(), (end - timedelta(microseconds=1)).date())


def _has_key(question: Question) -> bool:
    """Return whether the counts of a day tell the peaks that are asked for."""
    return (
        question.granularity != Granularity.HOUR
        and not question.excludes
        and question.named <= set(FACETS)
        and not {"arch", "role"} <= question.named
        and all(len(values) == 1 and ANY not in values for values in question.filters.values())
    )


def read(question: Question, limit: int, offset: int) -> tuple[int, int, list[Sequence[Any]]]:
    """Return the numbers of rows and groups, and a page of rows, of buckets that are stored.

    Rows are shaped as those of ``api.measures.statement``. Raises DaysChangedError.
    """
    first, last = _range(question)
    values: dict[str, Any] = {
        "user": question.user_id,
        "first": first,
        "last": last,
        "begins": [bucket.begin.date() for bucket in question.buckets],
        "rows": limit,
        "offset": offset,
        **{f"filter_{name}": value for name, (value,) in question.filters.items()},
    }
    with connection.cursor() as cursor:
        cursor.execute(_statement(question), values)
        rows = cursor.fetchall()
    number_of_days, is_told, total, groups = rows[0][:4]
    if number_of_days != (last - first).days + 1 or is_told is False:
        raise DaysChangedError
    return total, groups, [row[4:] for row in rows if row[4] is not None]


def _statement(question: Question) -> str:
    return f"WITH {_DAYS}, {_entries(question)}, {_peaks(question)}, {_PAGE}"


def _entries(question: Question) -> str:
    """Return the table of stored sums, with the sizes that types have now."""
    conditions = [f"told ->> {_place(name)} = %(filter_{name})s" for name in question.filters]
    first, second = _group_values(question, "told", _FIRST_FACET)
    return f"""
entry AS (
    SELECT bucket, {first} AS g1, {second} AS g2, {SECONDS} AS seconds, {VCPUS} AS vcpu,
           coalesce(trunc(size.memory_mib)::bigint, 0) AS memory,
           CASE WHEN size.id IS NULL THEN 1 ELSE 0 END AS unsized
    FROM day CROSS JOIN LATERAL jsonb_array_elements(sums) AS told {SIZES}
    WHERE {" AND ".join(["true", *conditions])}
)"""  # noqa: S608 - made of constants


def _peaks(question: Question) -> str:
    """Return the table of the largest counts of the keys that are asked for."""
    counts = "jsonb_array_elements(maximum_counts)"
    conditions = []
    for number, name in enumerate(FACETS):
        if name in question.filters:
            conditions.append(f"told ->> {number} = %(filter_{name})s")
        else:
            comparison = "<>" if name in question.dimensions else "="
            conditions.append(f"told ->> {number} {comparison} '{ANY}'")
    if not question.named:
        # The total comes first.
        counts, conditions = "(SELECT maximum_counts -> 0 AS told)", ["told IS NOT NULL"]
    first, second = _group_values(question, "told", 0)
    return f"""
peak AS (
    SELECT bucket, {first} AS g1, {second} AS g2,
           max(((told ->> 5)::bigint << {DAY_BITS}) + {LAST_DAY} - (date - %(first)s)) AS peak
    FROM day CROSS JOIN LATERAL {counts} AS told{"" if question.named else "(told)"}
    WHERE {" AND ".join(conditions)}
    GROUP BY 1, 2, 3
)"""  # noqa: S608 - made of constants


def _group_values(question: Question, entry: str, first_facet: int) -> list[str]:
    values = [
        f'({entry} ->> {FACETS.index(name) + first_facet}) COLLATE "C"'
        for name in question.dimensions
    ]
    return [*values, *["''"] * (2 - len(values))]


def _place(facet: str) -> int:
    return FACETS.index(facet) + _FIRST_FACET


def _range(question: Question) -> tuple[date, date]:
    """Return a question's first and last day."""
    last = question.buckets[-1].end - timedelta(microseconds=1)
    return question.buckets[0].begin.date(), last.date()
