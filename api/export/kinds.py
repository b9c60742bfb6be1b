"""The tables that customers may export: from what a request asks for to SQL (spec 11 §4, §5).

Filters and ranges are those of the lists. ``runs`` has no list: it has all runs that touch a time,
of images without RHEL too.
"""

import datetime
from collections.abc import Callable, Mapping
from typing import Final

from rest_framework.exceptions import ValidationError

from api.billing.findings import FINDINGS
from api.coverage.listing import MEMBERS
from api.coverage.quality import of_days
from api.export.columns import ColumnKind, ExportColumn
from api.export.tables import ExportTable
from api.export.usage import usage_table
from api.metering.facets import Key
from api.metering.staleness import is_unavailable
from api.models import ConcurrentUsage, User
from api.models.instance import EVENT_RANK
from api.public import billing, coverage, measures, usage
from api.public.brackets import BracketParameters, Errors, Field, FieldSql, boolean, lower_text
from api.public.brackets import whole_number as number
from api.public.filtered_instances import STATE_COLUMNS, instance_rows
from api.public.filters import INSTANCE_PARAMETERS, IS_RHEL
from api.public.image_listing import OWN
from api.public.instance_fields import INSTANCE_BRACKETS, INSTANCE_COLUMNS
from api.public.list_queries import read_list
from api.public.timestamps import parse_day
from api.public.usage import UsageUnavailable, read_days

Query = Mapping[str, str]

NO_BRACKETS: Final = BracketParameters(())
RUN_BRACKETS: Final = BracketParameters(
    (
        Field("account", "The account, by its account_id.", "41", number),
        Field("instance", "The instance, by our id or the cloud's.", "i-0a1b2c3d", lower_text),
        Field("image", "The image, by its image_id.", "312", number),
        Field("rhel", "Whether the image counts as RHEL.", "true", boolean),
    )
)
_RUN_COLUMNS: Final = {
    "account": FieldSql("run.cloud_account_id"),
    "instance": FieldSql(
        "instance.id::text",
        equals="ARRAY[instance.id::text, lower(instance.cloud_instance_id)] && %s::text[]",
    ),
    "image": FieldSql("run.machine_image_id"),
    "rhel": FieldSql(IS_RHEL),
}


def instances(user: User, query: Query) -> ExportTable:
    """Return a customer's instances with all that lists of them are filtered by."""
    wanted = read_list(INSTANCE_PARAMETERS, INSTANCE_BRACKETS, query)
    kinds = {
        **dict.fromkeys(("account", "image"), ColumnKind.ID),
        **dict.fromkeys(("rhel", "openshift"), ColumnKind.BOOLEAN),
        **dict.fromkeys(("cloud_type", "status", "billing", "finding"), ColumnKind.WORD),
        "created_at": ColumnKind.MOMENT,
    }
    fields = [
        ExportColumn(name, f"({column.sql})", kinds.get(name, ColumnKind.TEXT))
        for name, column in INSTANCE_COLUMNS.items()
    ]
    more = [
        ExportColumn("since", STATE_COLUMNS["since"], ColumnKind.MOMENT),
        ExportColumn("vcpu", STATE_COLUMNS["vcpu"], ColumnKind.INTEGER),
    ]
    before, source, order, parameters = instance_rows(user.id, wanted.filter, wanted.brackets)
    columns = [ExportColumn("instance", "instance.id", ColumnKind.ID), *fields, *more]
    return ExportTable(columns, source, order, before=before, parameters=parameters)


def _origin(event_type: str, moment: str) -> str:
    return f"""(
    SELECT origin FROM api_instanceevent
    WHERE instance_id = run.instance_id AND occurred_at = run.{moment}
      AND event_type = '{event_type}'
    ORDER BY {EVENT_RANK}, id LIMIT 1
)"""  # noqa: S608 - made of constants


_RUNS: Final = (
    ExportColumn("run", "run.id", ColumnKind.ID),
    ExportColumn("account", "run.cloud_account_id", ColumnKind.ID),
    ExportColumn("instance", "run.instance_id", ColumnKind.ID),
    ExportColumn("cloud_id", "instance.cloud_instance_id"),
    ExportColumn("image", "run.machine_image_id", ColumnKind.ID),
    ExportColumn("rhel", IS_RHEL, ColumnKind.BOOLEAN),
    ExportColumn("start", "run.start_time", ColumnKind.MOMENT),
    ExportColumn("end", "run.end_time", ColumnKind.MOMENT),
    ExportColumn("type", "run.instance_type"),
    ExportColumn("vcpu", "run.vcpu", ColumnKind.INTEGER),
    ExportColumn("memory", "run.memory", ColumnKind.NUMBER),
    ExportColumn("arch", "image.architecture"),
    *(ExportColumn(name, f"image.{name}") for name in Key._fields[1:]),
    ExportColumn("start_origin", _origin("power_on", "start_time"), ColumnKind.WORD),
    ExportColumn("end_origin", _origin("power_off", "end_time"), ColumnKind.WORD),
)
_RUNS_SOURCE: Final = """
FROM api_run run
JOIN api_instance instance ON instance.id = run.instance_id
LEFT JOIN api_machineimage image ON image.id = run.machine_image_id
LEFT JOIN own_tags ON own_tags.machine_image_id = run.machine_image_id
WHERE run.cloud_account_id = ANY(ARRAY(SELECT id FROM own))
"""


def runs(user: User, query: Query) -> ExportTable:
    """Return a customer's runs, of images without RHEL too; all that touch the days asked for."""
    brackets, errors = RUN_BRACKETS.collect(query)
    first, end = (_day(query, name, errors) for name in ("start_date", "end_date"))
    if errors:
        raise ValidationError(errors)
    condition = brackets.condition(_RUN_COLUMNS)
    sql, values = condition.sql, list(condition.values)
    if first:
        sql += " AND (run.end_time IS NULL OR run.end_time > %s OR run.start_time >= %s)"
        values += [first, first]
    if end:
        sql += " AND run.start_time < %s"
        values.append(end)
    return ExportTable(
        _RUNS,
        _RUNS_SOURCE + sql,
        "ORDER BY run.start_time, run.id",
        before=OWN,
        parameters=[user.id, *values],
    )


def _day(query: Query, name: str, errors: Errors) -> datetime.datetime | None:
    """Return the beginning of a day in UTC, None if none is asked for."""
    text = query.get(name)
    if not text:
        return None
    try:
        return datetime.datetime.combine(parse_day(text), datetime.time(), datetime.UTC)
    except ValueError:
        errors[name] = [f"{name} must be a date (YYYY-MM-DD)."]
        return None


_PEAKS: Final = (
    ExportColumn("date", "day.date", ColumnKind.DATE),
    *(ExportColumn(name, f"entry.value ->> {place}") for place, name in enumerate(Key._fields)),
    ExportColumn("instances_count", "(entry.value ->> 5)::integer", ColumnKind.INTEGER),
    ExportColumn("revision", "day.revision", ColumnKind.INTEGER),
    ExportColumn("quality", "told.quality", ColumnKind.WORD),
)
_PEAKS_SOURCE: Final = """
FROM api_concurrentusage day
JOIN unnest(%(days)s::date[], %(states)s::text[]) told (date, quality) ON told.date = day.date
CROSS JOIN LATERAL jsonb_array_elements(day.maximum_counts) WITH ORDINALITY entry (value, place)
WHERE day.user_id = %(user)s
"""


def peaks(user: User, query: Query) -> ExportTable:
    """Return the daily maxima of a customer. Raises UsageUnavailable if a day is not calculated."""
    NO_BRACKETS.read(query)
    found = read_days(query, joined=user.joined_on, start=usage.START, end=usage.END)
    days = [datetime.date.fromordinal(day) for day in found]
    calculated = ConcurrentUsage.objects.filter(~is_unavailable(), user=user, date__in=days).count()
    if calculated < len(days):
        raise UsageUnavailable
    qualities = of_days(user.id, days[0], days[-1], with_counts=False) if days else {}
    parameters = {
        "user": user.id,
        "days": days,
        "states": [str(qualities[day].state) for day in days],
    }
    return ExportTable(
        _PEAKS, _PEAKS_SOURCE, "ORDER BY day.date, entry.place", parameters=parameters
    )


_FINDINGS: Final = (
    ExportColumn("kind", "finding.kind", ColumnKind.WORD),
    ExportColumn("confidence", "finding.confidence", ColumnKind.WORD),
    ExportColumn("instance.instance_id", "instance.id", ColumnKind.ID),
    ExportColumn("instance.cloud_type", "instance.cloud_type", ColumnKind.WORD),
    ExportColumn("instance.cloud_id", "instance.cloud_instance_id"),
    ExportColumn("instance.region", "instance.region"),
    ExportColumn("cloud_account_id", "finding.cloud_account_id", ColumnKind.ID),
    ExportColumn("image.image_id", "image.id", ColumnKind.ID),
    ExportColumn("image.cloud_id", "image.cloud_image_id"),
    ExportColumn("image.name", "image.name"),
    ExportColumn("from", "finding.lo", ColumnKind.MOMENT),
    ExportColumn("until", "nullif(finding.hi, 'infinity')", ColumnKind.MOMENT),
    ExportColumn("seconds", "finding.seconds", ColumnKind.INTEGER),
    ExportColumn("vcpu_seconds", "finding.vcpu_seconds", ColumnKind.INTEGER),
)
_FINDINGS_SOURCE: Final = """
FROM finding
JOIN api_instance instance ON instance.id = finding.instance_id
LEFT JOIN api_machineimage image ON image.id = finding.machine_image_id
WHERE true"""


def findings(user: User, query: Query) -> ExportTable:
    """Return what is wrong in how a customer's RHEL is paid."""
    brackets = billing.PARAMETERS.read(query)
    days = read_days(query, joined=user.joined_on, start=billing.START, end=billing.END)
    window = billing.window_of(user.id, days)
    condition, values = billing.FindingPages(window, brackets).condition()
    named = {f"value_{place}": value for place, value in enumerate(values)}
    for name in named:
        condition = condition.replace("%s", f"%({name})s", 1)
    return ExportTable(
        _FINDINGS,
        f"{_FINDINGS_SOURCE}{condition}",
        "ORDER BY finding.seconds DESC, finding.instance_id, finding.lo, finding.kind",
        before=FINDINGS,
        parameters={**window.parameters(), **named},
    )


_COVERAGE_KINDS: Final = {
    "date": ColumnKind.DATE,
    "cloud_account_id": ColumnKind.ID,
    "cloud_type": ColumnKind.WORD,
    "state": ColumnKind.WORD,
    "gaps": ColumnKind.JSON,
    **dict.fromkeys(("newest_event_time", "newest_delivery", "computed_at"), ColumnKind.MOMENT),
}
_COVERAGE: Final = tuple(
    ExportColumn(
        name,
        f"{'account' if name == 'cloud_type' else 'day'}.{name}",
        _COVERAGE_KINDS.get(name, ColumnKind.INTEGER),
    )
    for name in MEMBERS
)
_COVERAGE_SOURCE: Final = """
FROM api_coverageday day JOIN api_cloudaccount account ON account.id = day.cloud_account_id
WHERE account.user_id = %s AND day.date >= %s AND day.date < %s"""


def coverage_days(user: User, query: Query) -> ExportTable:
    """Return how far each day of each account of a customer can be trusted."""
    brackets = coverage.PARAMETERS.read(query)
    days = read_days(query, joined=user.joined_on, start=usage.START, end=coverage.CHANGES_END)
    condition = brackets.condition({"account": FieldSql("account.id")})
    first, end = map(datetime.date.fromordinal, (days.start, days.stop))
    return ExportTable(
        _COVERAGE,
        _COVERAGE_SOURCE + condition.sql,
        "ORDER BY day.date, account.id",
        parameters=[user.id, first, end, *condition.values],
    )


def usage_by_time(user: User, query: Query) -> ExportTable:
    """Return how long a customer's RHEL was on, by hour, day or month. Raises ValidationError."""
    question = measures.read_question(query, user)
    # Asked for one row, it tells whether there are too many days or groups.
    measures.reader(question)(1, 0)
    return usage_table(question)


KINDS: Final[Mapping[str, Callable[[User, Query], ExportTable]]] = {
    "usage": usage_by_time,
    "peaks": peaks,
    "instances": instances,
    "runs": runs,
    "findings": findings,
    "coverage": coverage_days,
}
"""By name, what makes the table of a customer from the parameters of a request."""


def table_of(kind: str, user: User, query: Query) -> ExportTable:
    """Return the table that is asked for. Raises ValidationError, or UsageUnavailable."""
    return KINDS[kind](user, query)
