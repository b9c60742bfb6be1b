"""How long a customer's RHEL was on, and how much at once (spec 11 §1)."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import date, timedelta
from typing import Any, NamedTuple

from api.measures.buckets import Granularity
from api.measures.question import MOST_GROUPS, Question, TooManyGroupsError
from api.measures.statement import DAY_BITS, LAST_DAY, parameters, statement
from api.measures.stored import (
    DaysChangedError,
    StoredDays,
    days_in,
    known_days,
    number_of_stored_buckets,
    read,
)
from util.replica import connection

JSONObject = dict[str, Any]

ARCHITECTURES: Mapping[str, str] = {"x64": "x86_64", "amd64": "x86_64", "aarch64": "arm64"}
"""Names of clouds for what others call otherwise (decision 48)."""

_ONE_DAY = timedelta(days=1)
_MICRO_HOURS = 10**6


class Measures(NamedTuple):
    """What is known of one group in one bucket: sums in seconds, and the highest peak.

    ``peak_day`` is the first day that reaches it, counted from the first of the question's buckets.
    """

    bucket: int
    group: tuple[Any, ...]
    instance_seconds: int
    vcpu_seconds: int
    memory_mib_seconds: int
    unsized_seconds: int
    peak: int
    peak_day: int


def usage(question: Question, *, limit: int, offset: int) -> tuple[int, list[JSONObject]]:
    """Return how many rows answer a question, and a page of them, by start and group values.

    Not grouped, there is a row for each bucket; else one for each bucket and group of which
    something was on. Sums are exact to the second, up to ``question.now``; what is not stored, or
    stale, is computed from the runs. Raises BucketsError and TooManyGroupsError.
    """
    question.check()
    total = len(question.buckets)
    if not question.dimensions:
        question = question.of(question.buckets[offset : offset + limit])
        offset = 0
    if not question.buckets:
        return total, []
    days = known_days(question)
    found, rows = _answer(question, days, limit, offset)
    return (
        found if question.dimensions else total,
        [_shown(question, row, days.final) for row in rows],
    )


def _answer(
    question: Question, days: StoredDays, limit: int, offset: int
) -> tuple[int, list[Measures]]:
    """Answer from what is stored as far as that holds, and from the runs from there on."""
    split = number_of_stored_buckets(question, days)
    if not split:
        return _from_runs(question, limit, offset)
    try:
        total, rows = _from_stored(question.of(question.buckets[:split]), limit, offset)
    except DaysChangedError:
        return _from_runs(question, limit, offset)
    tail = question.of(question.buckets[split:])
    if not tail.buckets:
        return total, rows
    more, others = _from_runs(tail, limit - len(rows), max(offset - total, 0))
    later = (tail.buckets[0].begin - question.buckets[0].begin) // _ONE_DAY
    rows += [
        row._replace(bucket=row.bucket + split, peak_day=row.peak_day + later) for row in others
    ]
    return total + more, rows


def _from_runs(question: Question, limit: int, offset: int) -> tuple[int, list[Measures]]:
    with connection.cursor() as cursor:
        cursor.execute(
            statement(question), {**parameters(question), "rows": limit, "offset": offset}
        )
        rows = cursor.fetchall()
    total, groups = rows[0][:2]
    _check_groups(groups)
    return total, [_measures(question, row[2:]) for row in rows if row[2] is not None]


def _from_stored(question: Question, limit: int, offset: int) -> tuple[int, list[Measures]]:
    total, groups, rows = read(question, limit, offset)
    _check_groups(groups)
    found = [_measures(question, row) for row in rows]
    if question.dimensions:
        return total, found
    by_bucket = {row.bucket: row for row in found}
    buckets = range(len(question.buckets))
    return len(buckets), [by_bucket.get(number, _nothing(number)) for number in buckets]


def _check_groups(groups: int) -> None:
    if groups > MOST_GROUPS:
        raise TooManyGroupsError


def _measures(question: Question, row: Sequence[Any]) -> Measures:
    bucket, first, second, instances, vcpu, memory, unsized, peak = row
    return Measures(
        bucket=bucket,
        group=(first, second)[: len(question.dimensions)],
        instance_seconds=int(instances),
        vcpu_seconds=int(vcpu),
        memory_mib_seconds=int(memory),
        unsized_seconds=int(unsized),
        peak=peak >> DAY_BITS,
        peak_day=LAST_DAY - (peak & LAST_DAY),
    )


def _nothing(bucket: int) -> Measures:
    return Measures(bucket, (), 0, 0, 0, 0, 0, 0)


def _shown(question: Question, row: Measures, final: Collection[date]) -> JSONObject:
    """Return a row as it goes over the wire."""
    bucket = question.buckets[row.bucket]
    shown = {
        "start": bucket.begin,
        "end": bucket.end,
        "group": dict(_group(question.dimensions, row.group)),
        "instance_seconds": row.instance_seconds,
        "vcpu_seconds": row.vcpu_seconds,
        "memory_mib_seconds": row.memory_mib_seconds,
        "unsized_seconds": row.unsized_seconds,
        "instance_hours": hours(row.instance_seconds),
        "vcpu_hours": hours(row.vcpu_seconds),
        "peak": row.peak,
    }
    if question.granularity == Granularity.MONTH:
        first = question.buckets[0].begin.date()
        shown["peak_date"] = first + row.peak_day * _ONE_DAY if row.peak else None
    shown["final"] = all(day in final for day in days_in(bucket.begin, bucket.end))
    return shown


def _group(dimensions: Sequence[str], values: Sequence[Any]) -> Iterator[tuple[str, Any]]:
    for name, value in zip(dimensions, values, strict=True):
        yield name, None if name == "instance_type" and value == "" else value
        if name == "arch":
            yield "arch_normalized", normalized(value)


def normalized(architecture: str) -> str:
    """Return the one name of an architecture that clouds call differently (decision 48)."""
    return ARCHITECTURES.get(architecture.lower(), architecture)


def hours(seconds: int) -> str:
    """Return seconds as hours with six decimals, rounded to the nearest."""
    whole, micro = divmod((seconds * _MICRO_HOURS + 1800) // 3600, _MICRO_HOURS)
    return f"{whole}.{micro:06}"
