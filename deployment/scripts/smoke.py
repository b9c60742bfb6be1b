#!/usr/bin/env python
"""Looks whether a deployment works: ``smoke.py BASE_URL``. Needs nothing but Python.

Asks for health, metrics and, as a customer, the configuration; then lets a worker do a harmless
task. Prints a line for each, ends with 1 if one of them fails.
"""

import argparse
import base64
import json
import sys
import time
import urllib.request
from collections.abc import Callable
from typing import Any

TASK = "api.tasks.sweep_inbox"
TIMEOUT = 10


def ask(url: str, *, headers: dict[str, str] | None = None, content: Any = None) -> str:
    """Return an answer's text; raises OSError unless it is a success."""
    body = None if content is None else json.dumps(content).encode()
    request = urllib.request.Request(  # noqa: S310 - the operator says which
        url, data=body, headers={"Content-Type": "application/json", **(headers or {})}
    )
    with urllib.request.urlopen(request, timeout=TIMEOUT) as response:  # noqa: S310
        return str(response.read().decode())


def health(base: str) -> None:
    """The database answers."""
    assert "working" in ask(f"{base}/internal/healthz/?format=json")


def metrics(base: str) -> None:
    """Metrics are told, those of Redis too."""
    assert "cloudigrade_celery_queue_length" in ask(f"{base}/internal/metrics")


def sysconfig(base: str, org_id: str) -> None:
    """A customer's identity is understood."""
    identity = {"identity": {"org_id": org_id, "user": {"is_org_admin": True}}}
    header = base64.b64encode(json.dumps(identity).encode()).decode()
    url = f"{base}/api/cloudigrade/v2/sysconfig/"
    assert "version" in json.loads(ask(url, headers={"X-RH-IDENTITY": header}))


def task(base: str, seconds: float) -> None:
    """A worker takes a task and its result comes back."""
    queued = json.loads(ask(f"{base}/internal/tasks/", content={"task_name": TASK}))
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        found = json.loads(ask(f"{base}/internal/tasks/{queued['async_result_id']}/"))
        if found.get("ready"):
            return
        assert "error_class" not in found, found
        time.sleep(1)
    raise TimeoutError(f"no worker finished {TASK} within {seconds:g} seconds")


def succeeds(name: str, check: Callable[[], None]) -> bool:
    """Make one check and say how it went."""
    try:
        check()
    except (OSError, ValueError, AssertionError) as error:
        print(f"{name}: FAILED ({type(error).__name__}: {error})")  # noqa: T201
        return False
    print(f"{name}: ok")  # noqa: T201
    return True


def main() -> int:
    """Make all checks; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("base_url", help="such as http://localhost:8080")
    parser.add_argument("--org-id", default="smoke", help="the customer that asks")
    parser.add_argument("--task-seconds", type=float, default=60, help="how long a task may take")
    options = parser.parse_args()
    base = options.base_url.rstrip("/")
    outcomes = [
        succeeds("health", lambda: health(base)),
        succeeds("metrics", lambda: metrics(base)),
        succeeds("sysconfig", lambda: sysconfig(base, options.org_id)),
        succeeds("task", lambda: task(base, options.task_seconds)),
    ]
    return 0 if all(outcomes) else 1


if __name__ == "__main__":
    sys.exit(main())
