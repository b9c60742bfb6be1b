"""Shows the tasks that killed their process too often, and releases them (decision 43)."""

import json
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from api import set_aside
from api.models import SetAsideTask

COLUMNS = "{:>8}  {:<55}  {:<36}  {:<20}  {:>4}  {}"
ARGUMENTS_WIDTH = 60


class Command(BaseCommand):
    """For operators."""

    help = "List tasks that killed their process too often and are set aside; or release them."

    def add_arguments(self, parser: CommandParser) -> None:
        """Let tasks be chosen."""
        parser.add_argument("ids", nargs="*", type=int, help="only these tasks, by their numbers")
        parser.add_argument(
            "--release", action="store_true", help="queue them again: ids, or --all"
        )
        parser.add_argument("--all", action="store_true", help="with --release: all of them")
        parser.add_argument("--json", action="store_true", help="one JSON object a line")

    def handle(self, *args: Any, **options: Any) -> None:
        """List or release. Unknown ids are refused with exit code 2."""
        if options["release"] and bool(options["ids"]) == options["all"]:
            raise CommandError("--release needs ids, or --all", returncode=2)
        tasks = self._chosen(options["ids"])
        if options["release"]:
            count = set_aside.release(tasks)
            self._tell({"released": count}, f"{count} tasks are queued again.", options["json"])
        elif options["json"]:
            for task in tasks:
                self.stdout.write(json.dumps(_columns(task)))
        else:
            self._list(tasks)

    def _chosen(self, ids: list[int]) -> list[SetAsideTask]:
        tasks = set_aside.waiting()
        if not ids:
            return list(tasks)
        found = list(tasks.filter(id__in=ids))
        if unknown := sorted(set(ids) - {task.id for task in found}):
            raise CommandError(f"No task is set aside with number {unknown[0]}", returncode=2)
        return found

    def _tell(self, result: dict[str, Any], text: str, as_json: bool) -> None:
        self.stdout.write(json.dumps(result) if as_json else text)

    def _list(self, tasks: list[SetAsideTask]) -> None:
        if tasks:
            head = ("number", "task", "task id", "set aside", "lost", "arguments")
            self.stdout.write(COLUMNS.format(*head))
        for task in tasks:
            row = _columns(task)
            row["arguments"] = row["arguments"][:ARGUMENTS_WIDTH]
            self.stdout.write(COLUMNS.format(*row.values()))
        self.stdout.write(f"{len(tasks)} tasks are set aside.")


def _columns(task: SetAsideTask) -> dict[str, Any]:
    return {
        "id": task.id,
        "name": task.name,
        "task_id": task.task_id,
        "set_aside_at": f"{task.updated_at:%Y-%m-%dT%H:%M:%SZ}",
        "lost_processes": task.lost_processes,
        "arguments": task.arguments,
    }
