"""Hours and high-water marks as a table: the rows of ``usage/``, flattened (spec 11 §1, §4, §5)."""

from collections.abc import Iterator
from typing import Final

from api.export.columns import ColumnKind, ExportColumn
from api.export.tables import ExportTable
from api.measures.buckets import Granularity
from api.measures.question import Question
from api.measures.statement import DAY_BITS, LAST_DAY, parameters, statement
from api.measures.stored import days_in, known_days
from api.measures.usage import ARCHITECTURES

_ANSWER: Final = (
    "total",
    "groups",
    "bucket",
    "g1",
    "g2",
    "instance_seconds",
    "vcpu_seconds",
    "memory_mib_seconds",
    "unsized_seconds",
    "peak",
)
"""The columns of the statement of ``api.measures.statement``."""
_NOTHING: Final = (
    "SELECT 0, 0, NULL::integer, '', '', 0::bigint, 0::bigint, 0::bigint, 0::bigint, 0::bigint"
)
"""What answers a question about no time at all."""
_SECONDS: Final = _ANSWER[5:9]
_IDS: Final = frozenset({"account", "image"})


def usage_table(question: Question) -> ExportTable:
    """Return the rows that answer a question, computed from the runs in one statement.

    The question is one that ``api.measures.usage`` answers: not of too many days or groups.
    """
    columns = [
        _of_bucket("start", "begins", ColumnKind.MOMENT),
        _of_bucket("end", "ends", ColumnKind.MOMENT),
        *_groups(question),
        *(ExportColumn(name, f"answer.{name}", ColumnKind.INTEGER) for name in _SECONDS),
        ExportColumn("instance_hours", _hours("answer.instance_seconds")),
        ExportColumn("vcpu_hours", _hours("answer.vcpu_seconds")),
        ExportColumn("peak", f"answer.peak >> {DAY_BITS}", ColumnKind.INTEGER),
        *_peak_date(question),
        _of_bucket("final", "finals", ColumnKind.BOOLEAN),
    ]
    rows = statement(question) if question.buckets else _NOTHING
    answer = f"({rows}) AS answer ({', '.join(_ANSWER)})"
    return ExportTable(
        columns,
        f"FROM {answer} WHERE answer.bucket IS NOT NULL",
        "ORDER BY answer.bucket, answer.g1, answer.g2",
        parameters=_parameters(question),
    )


def _parameters(question: Question) -> dict[str, object]:
    buckets = question.buckets
    final = known_days(question).final if buckets else frozenset()
    return {
        **(parameters(question) if buckets else {}),
        "rows": None,
        "offset": 0,
        "bucket_begins": [bucket.begin for bucket in buckets],
        "bucket_ends": [bucket.end for bucket in buckets],
        "bucket_finals": [
            all(day in final for day in days_in(bucket.begin, bucket.end)) for bucket in buckets
        ],
    }


_ARRAYS: Final = {ColumnKind.MOMENT: "timestamptz[]", ColumnKind.BOOLEAN: "boolean[]"}


def _of_bucket(name: str, parameter: str, kind: ColumnKind) -> ExportColumn:
    """Return a column of what is known of buckets, which count from 0."""
    array = f"%(bucket_{parameter})s::{_ARRAYS[kind]}"
    return ExportColumn(name, f"({array})[answer.bucket + 1]", kind)


def _groups(question: Question) -> Iterator[ExportColumn]:
    for name, value in zip(question.dimensions, ("answer.g1", "answer.g2"), strict=False):
        sql = f"nullif({value}, '')" if name == "instance_type" else value
        yield ExportColumn(f"group.{name}", sql, ColumnKind.ID if name in _IDS else ColumnKind.TEXT)
        if name == "arch":
            cases = " ".join(f"WHEN '{one}' THEN '{other}'" for one, other in ARCHITECTURES.items())
            normalized = f"CASE lower({value}) {cases} ELSE {value} END"
            yield ExportColumn("group.arch_normalized", normalized)


def _peak_date(question: Question) -> Iterator[ExportColumn]:
    if question.granularity == Granularity.MONTH:
        day = f"{LAST_DAY} - (answer.peak & {LAST_DAY})"
        first = "(%(bucket_begins)s::timestamptz[])[1] AT TIME ZONE 'UTC'"
        date = f"(({first})::date + ({day})::integer)"
        sql = f"CASE WHEN answer.peak >> {DAY_BITS} > 0 THEN {date} END"
        yield ExportColumn("peak_date", sql, ColumnKind.DATE)


def _hours(seconds: str) -> str:
    """Return SQL of seconds as hours with six decimals, rounded to the nearest."""
    return f"(div({seconds}::numeric * 1000000 + 1800, 3600) / 1000000)::numeric(30, 6)::text"
