"""Workers without a broker: tests run tasks as often as they want, and in any order."""

from typing import Any

from api.tasks import accounts as account_tasks
from api.tasks import sources as source_tasks
from cloudigrade.task_names import TASK_NAMES
from tests.celery_fixtures import Queued

NOTIFY = "api.tasks.notify_application_availability_task"

TASKS = {
    task.name: task
    for module in (source_tasks, account_tasks)
    for task in vars(module).values()
    if hasattr(task, "apply_async") and task.name in TASK_NAMES
}


def run(name: str, *args: Any, headers: dict[str, str] | None = None, **options: Any) -> Any:
    """Run a task; what it raises, also the wish to be retried, is raised."""
    return TASKS[name].apply(args=args, headers=headers or {}, throw=True, **options).result


class Broker:
    """Remembers tasks with their headers; ``run`` has one run by a worker."""

    def __init__(self, queued: Queued) -> None:
        self._queued = queued
        self._tasks: list[tuple[str, dict[str, Any]]] = []

    @property
    def tasks(self) -> list[tuple[str, dict[str, Any]]]:
        """The tasks queued so far, as if the test's transaction had been committed."""
        len(self._queued)
        return self._tasks

    def publish(self, name: str, **options: Any) -> None:
        self._tasks.append((name, options))

    def names(self) -> list[str]:
        return [name for name, _ in self.tasks]

    def run(self, index: int = 0) -> Any:
        name, options = self.tasks.pop(index)
        return run(name, *options["args"], headers=options["headers"])

    def run_all(self) -> None:
        """Run what a worker would run now; what is queued for later stays."""
        while (index := self._first_ready()) is not None:
            self.run(index)

    def _first_ready(self) -> int | None:
        for index, (name, options) in enumerate(self.tasks):
            if name in TASKS and name != NOTIFY and not options.get("countdown"):
                return index
        return None
