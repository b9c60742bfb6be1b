"""Compares what a deployment says of tasks and queues with the program (spec 08 §11)."""

from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

QUEUES_PARAMETER = "CELERY_QUEUE_NAMES"
_CELERYS_OWN = "celery."


def manifest_queues(manifest: Path) -> set[str]:
    """Return the queues that an OpenShift template's workers consume by default.

    Raises ValueError if the file is no template or does not say.
    """
    try:
        template = yaml.safe_load(manifest.read_text(encoding="utf-8"))
        parameters = {one["name"]: one.get("value") for one in template["parameters"]}
    except (OSError, yaml.YAMLError, LookupError, TypeError) as error:
        raise ValueError(f"{manifest} is not a readable template") from error
    if not parameters.get(QUEUES_PARAMETER):
        raise ValueError(f"{manifest} does not define the parameter {QUEUES_PARAMETER}")
    names = (name.strip() for name in str(parameters[QUEUES_PARAMETER]).split(","))
    return {name for name in names if name}


def task_problems(
    *,
    discovered: Collection[str],
    routes: Mapping[str, Mapping[str, Any]],
    schedule: Mapping[str, Mapping[str, Any]],
) -> Iterator[str]:
    """Yield what does not fit together among the tasks, their routes and the beat schedule."""
    for task, route in routes.items():
        if not route.get("queue"):
            yield f"The route of task {task} names no queue"
        if task not in discovered:
            yield f"Routed task {task} does not exist"
    for name, entry in schedule.items():
        if not entry.get("enabled", True):
            continue
        if entry["task"] not in discovered:
            yield f"Task {entry['task']} of periodic task {name} does not exist"
        if entry["task"] not in routes:
            yield f"Task {entry['task']} of periodic task {name} is not routed"
    for task in discovered:
        if not task.startswith(_CELERYS_OWN) and task not in routes:
            yield f"Task {task} is not routed"


def queue_problems(
    routes: Mapping[str, Mapping[str, Any]], consumed: Collection[str]
) -> Iterator[str]:
    """Yield the routes' queues that no worker would consume."""
    for queue in dict.fromkeys(route.get("queue") for route in routes.values()):
        if queue and queue not in consumed:
            yield f"Queue {queue} is missing from {QUEUES_PARAMETER}"
