"""Copy a database of the original into ours, table by table, parents first (appendix A).

Each batch is stored in a transaction of its own. Whoever is killed in the middle starts again: what
is stored already is found, and the end is the same.
"""

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from api.metering.recalculate import recalculate_usage_of_user
from api.metering.runs import recalculate_runs
from api.models import Instance
from api.original import load, queries
from api.original.source import Original


class CopyStep(NamedTuple):
    """A kind of rows: how they are read, and how they are stored."""

    name: str
    query: str
    store: Callable[[load.Rows], int]
    table: str | None = None
    """Ours whose ids are kept; the id is the first column that is stored."""


STEPS = (
    CopyStep("users", queries.USERS, load.store_users, "api_user"),
    CopyStep(
        "instance definitions",
        queries.DEFINITIONS,
        load.store_definitions,
        "api_instancedefinition",
    ),
    CopyStep("accounts", queries.ACCOUNTS, load.store_accounts, "api_cloudaccount"),
    CopyStep("images", queries.IMAGES, load.store_images, "api_machineimage"),
    CopyStep("instances", queries.INSTANCES, load.store_instances, "api_instance"),
    CopyStep("image tags", queries.TAGS, load.store_tags),
    CopyStep("inspection attempts", queries.ATTEMPTS, load.store_attempts, "api_inspectionattempt"),
    CopyStep("events", queries.EVENTS, load.store_events, "api_instanceevent"),
)


@dataclass
class CopyReport:
    """What became of the rows of one kind."""

    name: str
    read: int = 0
    copied: int = 0
    present: int = 0
    """Stored already, under this id or another one."""
    left_out: Counter[str] = field(default_factory=Counter)
    """By reason."""
    notes: Counter[str] = field(default_factory=Counter)
    """Copied, with something changed or missing."""

    def as_json(self) -> dict[str, Any]:
        """Return it for programs."""
        return {
            "table": self.name,
            "read": self.read,
            "copied": self.copied,
            "present": self.present,
            "left_out": dict(self.left_out),
            "notes": dict(self.notes),
        }


def copy_all(
    original: Original,
    *,
    dry_run: bool = False,
    told: Callable[[str], None] = lambda text: None,
) -> Iterator[CopyReport]:
    """Copy everything, and yield a report of each kind. Raises NotTheOriginalError.

    A dry run stores nothing: ``copied`` is then what there is to be copied into an empty database.
    ``told`` is called after each batch with how far it has come; what it raises ends the copying.
    """
    original.require(queries.TABLES)
    for step in STEPS:
        yield _copy(original, step, dry_run, told)


def _copy(
    original: Original, step: CopyStep, dry_run: bool, told: Callable[[str], None]
) -> CopyReport:
    report = CopyReport(step.name)
    for batch in original.batches(step.query):
        good = []
        for reason, note, *columns in batch:
            report.read += 1
            if reason is not None:
                report.left_out[reason] += 1
                continue
            if note is not None:
                report.notes[note] += 1
            good.append(columns)
        stored = len(good) if dry_run else _store(step, good)
        report.copied += stored
        report.present += len(good) - stored
        told(f"{step.name}: {report.read} read")
    return report


def _store(step: CopyStep, rows: load.Rows) -> int:
    if not rows:
        return 0
    if step.table:
        load.reserve_ids(step.table, max(row[0] or 1 for row in rows))
    return step.store(rows)


def recalculate(*, user_id: int) -> None:
    """Calculate the runs of a customer, and the days without usage since they joined.

    Only what differs is written, so it may be repeated, and is what the hourly passes do.
    """
    instances = Instance.objects.filter(cloud_account__user_id=user_id).order_by("id")
    recalculate_runs(user_id=user_id, instance_ids=instances.values_list("id", flat=True))
    recalculate_usage_of_user(user_id=user_id)
