"""The virtual CPUs that instances have by their CPU options (spec 11 §1, 09 P8).

CPU options (cores x threads) are chosen for an instance and its type. They hold for one stretch of
a run: the time in which it is on with one type.
"""

import json
from bisect import bisect_left
from collections.abc import Collection

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


class CpuOptions:
    """What sources said of the CPU options of one instance, told in the order of time.

    An instance may have many of them, and many runs, so they are looked up and not gone through.
    """

    def __init__(self) -> None:
        self._by_type: dict[str | None, list[tuple[Instant, int, int]]] = {}
        self._number = 0

    def add(self, observed_at: Instant, instance_type: str | None, cpus: int) -> None:
        """Add what a source said at a moment; the type may be unknown."""
        self._number += 1
        self._by_type.setdefault(instance_type, []).append((observed_at, self._number, cpus))

    def cpus(self, instance_type: str | None, begin: Instant, end: Instant | None) -> int | None:
        """Return the CPUs of a stretch of time in which the instance was on with one type.

        By what was seen in it, or else last before, or first after. Options can be changed only
        while an instance is off, so the first ones seen in a stretch hold for all of it.
        """
        before, rest = [], []
        for known_type in {None, instance_type}:
            known = self._by_type.get(known_type, [])
            place = bisect_left(known, (begin,))
            before += known[max(place - 1, 0) : place]
            rest += known[place : place + 1]
        if rest and (end is None or min(rest)[0] <= end):
            return min(rest)[2]
        if before:
            return max(before)[2]
        return min(rest)[2] if rest else None


def cpu_options_of(instance_ids: Collection[int]) -> dict[int, CpuOptions]:
    """Return what is known of the CPU options of instances; one query."""
    options: dict[int, CpuOptions] = {}
    with connection.cursor() as cursor:
        cursor.execute(_OPTIONS, [list(instance_ids)])
        for instance_id, *option in cursor.fetchall():
            options.setdefault(instance_id, CpuOptions()).add(*option)
    return options


def sizes_within(run: PowerRun, options: CpuOptions | None) -> tuple[int | None, str | None]:
    """Return the virtual CPUs by CPU options at a run's start, and its later types as JSON.

    The JSON is a list of ``[moment, type, CPUs or null]`` as PostgreSQL writes it; None without
    any. Either number of CPUs is None where no options are known.
    """
    if options is None and not run.resizes:
        return None, None
    moments = [run.start, *(at for at, _ in run.resizes), run.end]
    types = [run.instance_type, *(instance_type for _, instance_type in run.resizes)]
    cpus = [
        options.cpus(instance_type, begin, end) if options else None
        for instance_type, begin, end in zip(types, moments[:-1], moments[1:], strict=True)
        if begin is not None
    ]
    if not run.resizes:
        return cpus[0], None
    resizes = [[*resize, count] for resize, count in zip(run.resizes, cpus[1:], strict=True)]
    return cpus[0], json.dumps(resizes, ensure_ascii=False)
