"""Fixtures for tests of the product's processes."""

import os
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import requests
from django.db import connection

from deployment.local.ports import LOOPBACK
from tests.cloudigrade.programs import ROOT, environment, free_port


@contextmanager
def gunicorns(folder: Path) -> Iterator[Callable[..., tuple[subprocess.Popen[bytes], Path]]]:
    """Return a function that starts gunicorn and returns process and log once it serves a URL."""
    started: list[subprocess.Popen[bytes]] = []

    def start(url: str, **changes: str) -> tuple[subprocess.Popen[bytes], Path]:
        log = folder / "log"
        with log.open("w") as output:
            process = subprocess.Popen(
                ("gunicorn", "-c", "cloudigrade/gunicorn.py", "cloudigrade.wsgi"),
                env=environment("prod", {"TMPDIR": str(folder), **changes}),
                cwd=ROOT,
                stdout=output,
                stderr=output,
            )
        started.append(process)
        deadline = time.monotonic() + 120
        while not _answers(url):
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.1)
        return process, log

    try:
        yield start
    finally:
        for process in started:
            process.terminate()
            process.wait(60)


@contextmanager
def gunicorn_on_the_tests_database(folder: Path, **changes: str) -> Iterator[tuple[int, Path]]:
    """Run gunicorn with one worker on the services of the tests; yield its port and its log."""
    port = free_port()
    services = {
        name: value
        for name, value in os.environ.items()
        if name.startswith(("DJANGO_DATABASE_", "REDIS_", "AWS_"))
    }
    services["DJANGO_DATABASE_NAME"] = connection.settings_dict["NAME"]
    places = {"GUNICORN_BIND": f"{LOOPBACK}:{port}", "GUNICORN_WORKERS": "1"}
    with gunicorns(folder) as start:
        _, log = start(
            f"http://{LOOPBACK}:{port}/internal/livez/", **{**services, **changes, **places}
        )
        yield port, log


def _answers(url: str) -> bool:
    try:
        requests.get(url, timeout=30)
    except requests.ConnectionError:
        return False
    return True


@pytest.fixture
def gunicorn(tmp_path):
    """Start gunicorn; return its process and log once its workers serve."""
    with gunicorns(tmp_path) as start:
        yield start
