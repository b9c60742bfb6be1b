"""Checks that tasks, routes, schedule and the deployment's queues agree (spec 08 §11)."""

import sys
from collections.abc import Iterator
from typing import Any

from django.conf import settings

from api.management.base import OperatorCommand
from cloudigrade import celery_app
from cloudigrade.task_checks import manifest_queues, queue_problems, task_problems


class Command(OperatorCommand):
    """Says nothing if all is well; else one line per problem, and exit code 1."""

    help = "Check that Celery's tasks, routes, schedule and the deployment's queues agree."
    requires_system_checks: list[str] = []

    def handle(self, *args: Any, **options: Any) -> None:
        """Report all problems before ending."""
        found = list(_problems())
        for problem in found:
            self.stderr.write(problem)
        if self.wants_json:
            self.tell({"problems": found}, "")
        if found:
            sys.exit(1)


def _problems() -> Iterator[str]:
    celery_app.loader.import_default_modules()
    routes = celery_app.conf.task_routes
    yield from task_problems(
        discovered=sorted(celery_app.tasks), routes=routes, schedule=celery_app.conf.beat_schedule
    )
    try:
        consumed = manifest_queues(settings.BASE_DIR / "deployment" / "clowdapp.yaml")
    except ValueError as error:
        yield str(error)
    else:
        yield from queue_problems(routes, consumed)
