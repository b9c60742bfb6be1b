"""What one operation costs: time, processor time on both sides, statements, rows, memory."""

import os
import resource
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from unittest import mock

from django.db import connection

from util import tasks

TICKS = os.sysconf("SC_CLK_TCK")
_MIB = 1024


@dataclass
class Cost:
    """What one operation took. CPU in seconds; ``db_cpu_s`` is None if PostgreSQL is elsewhere.

    ``p95_s`` is for operations that are many: 95 of a hundred took no longer. ``read_mib`` is for
    those that read disks.
    """

    wall_s: float = 0.0
    p95_s: float | None = None
    cpu_s: float = 0.0
    db_cpu_s: float | None = None
    statements: int = 0
    rows: int = 0
    messages: int = 0
    peak_rss_mib: float = 0.0
    read_mib: float | None = None


@contextmanager
def measured() -> Iterator[Cost]:
    """Measure the block; the numbers are there when it has ended.

    Statements are those of the product, without BEGIN and COMMIT; rows are all that PostgreSQL
    inserted, updated or deleted; messages are tasks queued, which do not leave this process.
    """
    cost = Cost()
    postmaster = postmaster_id()
    rows = _rows_written()

    def count(execute, sql, params, many, context):
        cost.statements += 1
        return execute(sql, params, many, context)

    def publish(name, **options):
        cost.messages += 1

    _forget_peak_memory()
    db_cpu = cpu_of_family(postmaster)
    cpu, wall = time.process_time(), time.perf_counter()
    with connection.execute_wrapper(count), mock.patch.object(tasks, "publish", publish):
        yield cost
    cost.wall_s = time.perf_counter() - wall
    cost.cpu_s = time.process_time() - cpu
    db_cpu_after = cpu_of_family(postmaster)
    if db_cpu is not None and db_cpu_after is not None:
        cost.db_cpu_s = db_cpu_after - db_cpu
    cost.peak_rss_mib = _peak_memory()
    cost.rows = _rows_written() - rows


def _rows_written() -> int:
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_stat_force_next_flush()")
        cursor.execute("SELECT pg_stat_clear_snapshot()")
        cursor.execute(
            "SELECT sum(n_tup_ins + n_tup_upd + n_tup_del)::bigint FROM pg_stat_user_tables"
        )
        return cursor.fetchone()[0]


def postmaster_id() -> int | None:
    """Find the process id of PostgreSQL, if it runs on this machine."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        backend = cursor.fetchone()[0]
    try:
        fields = stat(backend)
    except OSError:
        return None
    return int(fields[1]) if "postgres" in _name(backend) else None


def cpu_of_family(parent: int | None) -> float | None:
    """Add up the processor time of a process and all its children, those that ended included."""
    if parent is None:
        return None
    ticks = sum(int(number) for number in stat(parent)[11:15])
    ticks += sum(int(fields[11]) + int(fields[12]) for fields in children_of(parent).values())
    return ticks / TICKS


def children_of(parent: int) -> dict[int, list[str]]:
    """Return the children of a process that run now, with their ``stat``."""
    children = {}
    for folder in Path("/proc").iterdir():
        if folder.name.isdecimal():
            try:
                fields = stat(int(folder.name))
            except OSError:
                continue
            if int(fields[1]) == parent:
                children[int(folder.name)] = fields
    return children


def stat(process: int) -> list[str]:
    """Return what follows the name in /proc/<pid>/stat: state, parent, ..., times from 11 on."""
    return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()


def _name(process: int) -> str:
    return Path(f"/proc/{process}/comm").read_text()


def _forget_peak_memory() -> None:
    """Let the kernel measure the peak anew, where it can."""
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        return


def _peak_memory() -> float:
    try:
        status = Path("/proc/self/status").read_text()
    except OSError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / _MIB
    line = next(line for line in status.splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) / _MIB
