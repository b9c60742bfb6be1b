"""The SQL that answers a question from a customer's runs (spec 11 §1, 07 §5.2).

One statement whatever is asked for; its memory is PostgreSQL's, and only a page leaves it. Each run
is looked at once however many buckets it covers: starts and ends carry what they add to the bucket
in which they lie (the rest of its seconds) and to all later ones (their whole seconds). One walk
through starts and ends in the order of 07 §5.2 finds the peaks.
"""

from collections.abc import Iterator
from datetime import datetime
from typing import Any

from api.billing.stretches import STRETCHES
from api.images.facts import RHEL_FOR_EVERYBODY
from api.measures.question import BY_STRETCH, DIMENSIONS, FACETS, Question
from api.metering.sums import SECOND
from api.metering.timeline import instant_of

DAY_BITS = 16
"""A peak is carried along with the first day that reaches it, counted from the window's first.

As one number, ``peak << DAY_BITS`` plus how many days are left: the largest is the highest peak,
and of these the earliest.
"""
LAST_DAY = (1 << DAY_BITS) - 1


def micros(column: str) -> str:
    """Return SQL of a moment in whole microseconds since 1970, exact until the year 2242."""
    return f"round(date_part('epoch', {column}) * 1000000)::bigint"


_RUN_COLUMNS = f"""id, instance_id, cloud_account_id, machine_image_id, instance_type, cpus,
       resizes, {micros("start_time")} AS starts"""
_TOUCHING = """cloud_account_id = ANY(ARRAY(SELECT id FROM account))
  AND start_time < %(limit)s AND start_time <= %(now)s AND machine_image_id IS NOT NULL"""

# Two ranges of one index: the runs that end late enough, and those that are still open.
_RUNS = f"""
account AS MATERIALIZED (SELECT id, cloud_type FROM api_cloudaccount WHERE user_id = %(user)s),
run AS MATERIALIZED (
    SELECT {_RUN_COLUMNS}, {micros("end_time")} AS ends
    FROM api_run WHERE {_TOUCHING} AND end_time >= %(begin)s
    UNION ALL
    SELECT {_RUN_COLUMNS}, NULL
    FROM api_run WHERE {_TOUCHING} AND end_time IS NULL
),
image AS MATERIALIZED (
    SELECT image.id, coalesce(image.architecture, '') AS arch, image.role, image.sla, image.usage,
           image.service_type
    FROM api_machineimage image
    WHERE image.id = ANY(ARRAY(SELECT DISTINCT machine_image_id FROM run))
      AND ({RHEL_FOR_EVERYBODY} OR EXISTS (
          SELECT FROM api_imagetags tags
          WHERE tags.machine_image_id = image.id AND tags.rhel
            AND tags.cloud_account_id = ANY(ARRAY(SELECT id FROM account))))
),
size AS MATERIALIZED (
    SELECT cloud_type, instance_type, trunc(vcpu)::bigint AS vcpu,
           trunc(memory_mib)::bigint AS memory
    FROM api_instancedefinition
),
stretch AS (
    SELECT id AS run_id, instance_id, cloud_account_id, machine_image_id, starts AS since,
           ends AS until, true AS is_first, true AS is_last, instance_type, cpus
    FROM run WHERE resizes IS NULL
    UNION ALL
    SELECT id, instance_id, cloud_account_id, machine_image_id, piece.since, piece.until,
           piece.since = starts, piece.is_last, piece.instance_type, piece.cpus
    FROM run CROSS JOIN LATERAL (
        SELECT told.*, lead(since, 1, ends) OVER pieces AS until,
               lead(since) OVER pieces IS NULL AS is_last
        FROM (
            SELECT starts AS since, run.instance_type, run.cpus
            UNION ALL
            SELECT (told ->> 0)::bigint, told ->> 1, (told ->> 2)::integer
            FROM jsonb_array_elements(resizes) AS told
        ) told
        WINDOW pieces AS (ORDER BY since)
    ) piece
    WHERE resizes IS NOT NULL
)"""  # noqa: S608 - made of constants

# A run is divided where its billing class changes as well.
_BILLED = f"""
paid AS (
    SELECT stretch.run_id, instance_id, stretch.cloud_account_id, stretch.machine_image_id,
           greatest(stretch.since, paid.since) AS since, least(stretch.until, paid.until) AS until,
           true AS is_first, true AS is_last, instance_type, cpus, paid.billing
    FROM stretch
    JOIN (
        SELECT run_id, {micros("since")} AS since, {micros("until")} AS until, billing FROM billed
    ) paid ON paid.run_id = stretch.run_id
       AND (stretch.since = stretch.until
            OR (paid.until IS NULL OR paid.until > stretch.since)
            AND (stretch.until IS NULL OR paid.since < stretch.until))
)"""  # noqa: S608 - made of constants

EXPRESSIONS = {
    "account": "stretch.cloud_account_id",
    "billing": "stretch.billing",
    "cloud_type": "account.cloud_type",
    "image": "stretch.machine_image_id",
    "instance_type": "coalesce(stretch.instance_type, '')",
    "region": "instance.region",
    **{name: f"image.{name}" for name in FACETS},
}
"""The SQL of each dimension; what is not known is an empty text."""

_STEPS = f"""
step AS (
    SELECT grp.no AS grp, step.*, vcpu, memory, unsized,
           width_bucket(step.at, %(begins)s::bigint[]) AS bucket
    FROM part JOIN grp USING (g1, g2)
    CROSS JOIN LATERAL (VALUES
        (since, CASE WHEN since = until OR NOT opens THEN 1 ELSE 2 END,
         CASE WHEN since = until THEN 0 ELSE 1 END,
         CASE WHEN opens AND since IS DISTINCT FROM until THEN 1 ELSE 0 END,
         CASE WHEN since = until THEN 1 ELSE 0 END),
        (until, CASE WHEN closes THEN 0 ELSE 1 END, -1, CASE WHEN closes THEN -1 ELSE 0 END, 0)
    ) AS step (at, rank, sign, moved, alone)
    WHERE step.at < %(limit_us)s AND step.at <= %(now_us)s
      AND (step.sign >= 0 OR since < until)
),
walk AS (
    SELECT grp, bucket, moved, sign, vcpu, memory, unsized,
           CASE WHEN bucket = 0 THEN 0
                ELSE (%(ends)s::bigint[])[bucket] - at / 1000000 END AS rest,
           ((sum(moved) OVER (PARTITION BY grp ORDER BY at * 4 + rank ROWS UNBOUNDED PRECEDING)
             + alone) << {DAY_BITS})
           + {LAST_DAY} - greatest(at - %(begin_us)s, 0) / 86400000000 AS peak
    FROM step
)"""  # noqa: S608 - made of constants

_CELLS = """
per AS (
    SELECT grp, bucket, max(peak) AS peak,
           sum(sign) AS instances, sum(sign * rest) AS instances_rest,
           sum(sign * vcpu) AS vcpu, sum(sign * vcpu * rest) AS vcpu_rest,
           sum(sign * memory) AS memory, sum(sign * memory * rest) AS memory_rest,
           sum(sign * unsized) AS unsized, sum(sign * unsized * rest) AS unsized_rest
    FROM walk GROUP BY grp, bucket
),
cell AS (
    SELECT grp.g1, grp.g2, number AS bucket, (%(lengths)s::bigint[])[number] AS length,
           per.peak, per.instances_rest, per.vcpu_rest, per.memory_rest, per.unsized_rest,
           coalesce(sum(per.instances) OVER earlier, 0) AS instances,
           coalesce(sum(per.vcpu) OVER earlier, 0) AS vcpu,
           coalesce(sum(per.memory) OVER earlier, 0) AS memory,
           coalesce(sum(per.unsized) OVER earlier, 0) AS unsized
    FROM grp CROSS JOIN generate_series(0, %(count)s) AS number
    LEFT JOIN per ON per.grp = grp.no AND per.bucket = number
    WINDOW earlier AS (
        PARTITION BY grp.no ORDER BY number ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING)
)"""

_ROWS = f"""
answer AS (
    SELECT bucket - 1 AS bucket, g1, g2,
           instances * length + coalesce(instances_rest, 0) AS instance_seconds,
           vcpu * length + coalesce(vcpu_rest, 0) AS vcpu_seconds,
           memory * length + coalesce(memory_rest, 0) AS memory_mib_seconds,
           unsized * length + coalesce(unsized_rest, 0) AS unsized_seconds,
           greatest(peak, (instances::bigint << {DAY_BITS}) + {LAST_DAY}
               - ((%(begins)s::bigint[])[bucket] - %(begin_us)s) / 86400000000) AS peak
    FROM cell WHERE bucket > 0
)"""  # noqa: S608 - made of constants

_PAGE = """
SELECT (SELECT count(*) FROM present), (SELECT count(*) FROM grp), page.*
FROM (SELECT) AS always
LEFT JOIN (SELECT * FROM present ORDER BY bucket, g1, g2 LIMIT %(rows)s OFFSET %(offset)s) page
     ON true
ORDER BY bucket, g1, g2
"""


def statement(question: Question) -> str:
    """Return the SQL of a page of rows.

    Columns: the numbers of all rows and of groups, the same in each row; number of the bucket, from
    0; two group values; sums of seconds: of instances, of vCPUs, of MiB of memory, unsized; the
    peak with its day (see ``DAY_BITS``). If the page has no row, there is one with nulls. The
    parameters are those of ``parameters``, and ``rows`` and ``offset``.
    """
    return _with(question) + _PAGE


def _present(question: Question) -> str:
    """Return the table of rows: a group has one where it was on at some moment (spec 11 §5)."""
    condition = f"peak >> {DAY_BITS} > 0" if question.dimensions else "true"
    return f"present AS MATERIALIZED (SELECT * FROM answer WHERE {condition})"  # noqa: S608


def _with(question: Question) -> str:
    is_billed = "billing" in question.named
    tables = [
        *([STRETCHES] if is_billed else []),
        _RUNS,
        *([_BILLED] if is_billed else []),
        _part(question, "paid" if is_billed else "stretch"),
        _groups(question),
        _STEPS,
        _CELLS,
        _ROWS,
        _present(question),
    ]
    return "WITH " + ",".join(table.strip() for table in tables)


def _part(question: Question, source: str) -> str:
    """Return the table of stretches with what they count for."""
    by_stretch = bool(question.named & BY_STRETCH)
    instance = ""
    if "region" in question.named:
        instance = "JOIN api_instance instance ON instance.id = stretch.instance_id"
    touches = "AND (until IS NULL OR until >= %(begin_us)s)" if by_stretch else ""
    opens, closes = ("true", "true") if by_stretch else ("is_first", "is_last")
    first, second = _group_values(question)
    return f"""
part AS MATERIALIZED (
    SELECT {first} AS g1, {second} AS g2, since, until, {opens} AS opens, {closes} AS closes,
           coalesce(stretch.cpus, size.vcpu, 0) AS vcpu, coalesce(size.memory, 0) AS memory,
           CASE WHEN size.memory IS NULL THEN 1 ELSE 0 END AS unsized
    FROM {source} stretch
    JOIN image ON image.id = stretch.machine_image_id
    JOIN account ON account.id = stretch.cloud_account_id
    LEFT JOIN size
         ON size.cloud_type = account.cloud_type AND size.instance_type = stretch.instance_type
    {instance}
    WHERE since < %(limit_us)s AND since <= %(now_us)s {touches} {"".join(_conditions(question))}
)"""  # noqa: S608 - made of constants


def _group_values(question: Question) -> list[str]:
    values = [_value(name) for name in question.dimensions]
    return [*values, *["''"] * (2 - len(values))]


def _value(dimension: str) -> str:
    """Return SQL of a group's value. Texts are sorted by their characters' numbers."""
    expression = EXPRESSIONS[dimension]
    return expression if dimension in ("account", "image") else f'{expression} COLLATE "C"'


def _conditions(question: Question) -> Iterator[str]:
    for name in DIMENSIONS:
        if name in question.filters:
            yield f" AND {EXPRESSIONS[name]} = ANY(%(filter_{name})s)"
        if name in question.excludes:
            yield f" AND NOT {EXPRESSIONS[name]} = ANY(%(exclude_{name})s)"


def _groups(question: Question) -> str:
    if not question.dimensions:
        return "grp AS (SELECT ''::text AS g1, ''::text AS g2, 1::bigint AS no)"
    return """
grp AS MATERIALIZED (
    SELECT g1, g2, row_number() OVER () AS no FROM (SELECT DISTINCT g1, g2 FROM part) found
)"""


def parameters(question: Question) -> dict[str, Any]:
    """Return the parameters of the statements; there must be a bucket."""
    now_second = _second_of(question.now)
    begins = [bucket.begin for bucket in question.buckets]
    limit = question.buckets[-1].end
    ends = [min(_second_of(bucket.end), now_second) for bucket in question.buckets]
    lengths = [max(end - _second_of(begin), 0) for begin, end in zip(begins, ends, strict=True)]
    return {
        "user": question.user_id,
        "begin": begins[0],
        "limit": limit,
        "now": question.now,
        "begin_us": instant_of(begins[0]),
        "limit_us": instant_of(limit),
        "now_us": instant_of(question.now),
        "begins": [instant_of(begin) for begin in begins],
        "ends": ends,
        "lengths": lengths,
        "count": len(begins),
        **{f"filter_{name}": list(values) for name, values in question.filters.items()},
        **{f"exclude_{name}": list(values) for name, values in question.excludes.items()},
    }


def _second_of(moment: datetime) -> int:
    return instant_of(moment) // SECOND
