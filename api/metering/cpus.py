"""The virtual CPUs that instances have by their CPU options (spec 11 §1, 09 P8).

CPU options (cores x threads) are chosen for an instance and its type. They hold for one stretch of
a run: the time in which it is on with one type.
"""

import json
from collections.abc import Collection, Sequence
from typing import NamedTuple

from django.db import connection

from api.metering.timeline import Instant, PowerRun

# What an observation is silent about is stored as it was before. So the same options beside another
# type than before are not known to be that type's.
_OPTIONS = """
SELECT instance_id, observed_at, instance_type, cpus
FROM (
    SELECT instance_id, id, (extract(epoch FROM observed_at) * 1000000)::bigint AS observed_at,
           instance_type, cpu_cores * threads_per_core AS cpus,
           instance_type IS DISTINCT FROM lag(instance_type) OVER history
           AND cpu_cores IS NOT DISTINCT FROM lag(cpu_cores) OVER history
           AND threads_per_core IS NOT DISTINCT FROM lag(threads_per_core) OVER history AS carried
    FROM api_instancefact
    WHERE instance_id = ANY(%s)
    WINDOW history AS (PARTITION BY instance_id ORDER BY observed_at, id)
) fact
WHERE cpus IS NOT NULL AND NOT carried
ORDER BY instance_id, observed_at, id
"""


class CpuOptions(NamedTuple):
    """What a source said at a moment of an instance; the type may be unknown."""

    observed_at: Instant
    instance_type: str | None
    cpus: int


def cpu_options_of(instance_ids: Collection[int]) -> dict[int, list[CpuOptions]]:
    """Return what is known of the CPU options of instances, the oldest first; one query."""
    options: dict[int, list[CpuOptions]] = {}
    with connection.cursor() as cursor:
        cursor.execute(_OPTIONS, [list(instance_ids)])
        for instance_id, *option in cursor.fetchall():
            options.setdefault(instance_id, []).append(CpuOptions(*option))
    return options


def sizes_within(run: PowerRun, options: Sequence[CpuOptions]) -> tuple[int | None, str | None]:
    """Return the virtual CPUs by CPU options at a run's start, and its later types as JSON.

    The JSON is a list of ``[moment, type, CPUs or null]`` as PostgreSQL writes it; None without
    any. Either number of CPUs is None where no options are known.
    """
    if not options and not run.resizes:
        return None, None
    moments = [run.start, *(at for at, _ in run.resizes), run.end]
    types = [run.instance_type, *(instance_type for _, instance_type in run.resizes)]
    cpus = [
        _cpus(options, instance_type, begin, end)
        for instance_type, begin, end in zip(types, moments[:-1], moments[1:], strict=True)
        if begin is not None
    ]
    if not run.resizes:
        return cpus[0], None
    resizes = [[*resize, count] for resize, count in zip(run.resizes, cpus[1:], strict=True)]
    return cpus[0], json.dumps(resizes, ensure_ascii=False)


def _cpus(
    options: Sequence[CpuOptions], instance_type: str | None, begin: Instant, end: Instant | None
) -> int | None:
    """Return the CPUs of a stretch: by what was seen in it, or else last before, or first after.

    Options can be changed only while an instance is off, so the first ones seen in a stretch hold
    for all of it.
    """
    fitting = [option for option in options if option.instance_type in (None, instance_type)]
    before = [option for option in fitting if option.observed_at < begin]
    rest = fitting[len(before) :]
    if rest and (end is None or rest[0].observed_at <= end):
        return rest[0].cpus
    if before:
        return before[-1].cpus
    return rest[0].cpus if rest else None
