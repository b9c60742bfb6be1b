"""The table that is printed while the benchmarks run."""

from tests.benchmarks.suite import Result

COLUMNS = (
    ("wall s", "wall_s", 4),
    ("95 % s", "p95_s", 4),
    ("cpu s", "cpu_s", 4),
    ("db cpu s", "db_cpu_s", 4),
    ("statements", "statements", 0),
    ("rows", "rows", 0),
    ("messages", "messages", 0),
    ("peak MiB", "peak_rss_mib", 0),
    ("read MiB", "read_mib", 1),
)
TIMES_BARE = "times bare"
"""How many times its bare work an operation takes; shown beside the bare work."""


def show_heading(title: str) -> None:
    """Print a suite's title and the heads of the columns."""
    heads = "".join(f"{head:>12}" for head, _, _ in COLUMNS) + f"{TIMES_BARE:>12}"
    print(f"\n{title:<56}{heads}", flush=True)


def show(result: Result) -> None:
    """Print the figures of an operation."""
    cells = ""
    for _, name, digits in COLUMNS:
        value = getattr(result.cost, name)
        cells += f"{'-':>12}" if value is None else f"{value:>12,.{digits}f}"
    times = "" if result.times_bare is None else f"{result.times_bare:>12.2f}"
    print(f"{result.name:<56}{cells}{times}", flush=True)
