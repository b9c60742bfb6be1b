"""Shows the tasks that killed their process too often, and releases them (decision 43)."""

from typing import Any

from django.core.management.base import CommandParser

from api import set_aside
from api.management.base import OperatorCommand, add_dry_run, refusal, require_known
from api.management.tables import Column
from api.management.values import row_id
from api.models import SetAsideTask

COLUMNS = (
    Column("id", "number", 8),
    Column("name", "task", 55),
    Column("task_id", "task id", 36),
    Column("set_aside_at", "set aside", 20),
    Column("lost_processes", "lost", 4),
    Column("arguments", "arguments"),
)
ARGUMENTS_WIDTH = 60


class Command(OperatorCommand):
    """For operators."""

    help = "List tasks that killed their process too often and are set aside; or release them."

    def add_arguments(self, parser: CommandParser) -> None:
        """Let tasks be chosen."""
        parser.add_argument(
            "ids", nargs="*", type=row_id, help="only these tasks, by their numbers"
        )
        parser.add_argument(
            "--release", action="store_true", help="queue them again: ids, or --all"
        )
        parser.add_argument("--all", action="store_true", help="with --release: all of them")
        add_dry_run(parser)

    def handle(self, *args: Any, ids: list[int], release: bool, **options: Any) -> None:
        """List or release. Unknown ids are refused with exit code 2."""
        if release and bool(ids) == options["all"]:
            raise refusal("--release needs ids, or --all.")
        tasks = self._chosen(ids)
        if not release:
            self._list(tasks)
        elif options["dry_run"]:
            for task in tasks:
                thing = f"task {task.id} ({task.name})"
                self.tell_change(thing, "set aside", "queued", id=task.id, name=task.name)
        else:
            count = set_aside.release(tasks)
            self.tell({"released": count}, f"{count} tasks are queued again.")

    def _chosen(self, ids: list[int]) -> list[SetAsideTask]:
        tasks = set_aside.waiting()
        if not ids:
            return list(tasks)
        found = list(tasks.filter(id__in=ids))
        require_known(ids, [task.id for task in found], "task set aside with number")
        return found

    def _list(self, tasks: list[SetAsideTask]) -> None:
        width = None if self.wants_json else ARGUMENTS_WIDTH
        self.tell_rows((_columns(task, width) for task in tasks), COLUMNS)
        self.say(f"{len(tasks)} tasks are set aside.")


def _columns(task: SetAsideTask, width: int | None) -> dict[str, Any]:
    return {
        "id": task.id,
        "name": task.name,
        "task_id": task.task_id,
        "set_aside_at": task.updated_at,
        "lost_processes": task.lost_processes,
        "arguments": task.arguments[:width],
    }
