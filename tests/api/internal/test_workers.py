"""Two gunicorn workers answer as one (spec 02 §12.5)."""

import os
import re
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.cloudigrade.programs import free_port

REQUESTS = 60
SERIES = "django_http_requests_total_by_view_transport_method_total"


def _get(url: str) -> str:
    with urllib.request.urlopen(url, timeout=10) as response:
        return response.read().decode()


@pytest.fixture
def server(postgres: None, valkey: None, tmp_path: Path) -> Iterator[str]:
    """The product's web process with two workers, on a database without tables."""
    port = free_port()
    command = [sys.executable, "-m", "gunicorn", "-c", "cloudigrade/gunicorn.py"]
    command += ["-b", f"127.0.0.1:{port}", "-w", "2", "cloudigrade.wsgi"]
    with subprocess.Popen(
        command,
        # What it leaves behind when it is killed in its grace goes with the rest of the test.
        env={**os.environ, "TMPDIR": str(tmp_path)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as process:
        try:
            url = f"http://127.0.0.1:{port}/internal"
            _wait_for(f"{url}/livez/")
            yield url
        finally:
            process.terminate()
            process.wait(90)


def _wait_for(url: str) -> None:
    for _ in range(900):
        try:
            _get(url)
            return
        except (urllib.error.URLError, ConnectionError):
            time.sleep(0.1)
    raise AssertionError(f"{url} does not answer")


def _counted(page: str, view: str) -> float:
    found = re.search(rf'^{SERIES}{{.*view="{view}".*}} ([0-9.]+)$', page, re.MULTILINE)
    return float(found.group(1)) if found else 0.0


@pytest.mark.e2e
@pytest.mark.slow
def test_scrapes_under_load_tell_of_all_workers(server: str):
    before = _counted(_get(f"{server}/metrics"), "internal-livez")
    with ThreadPoolExecutor(8) as pool:
        load = [pool.submit(_get, f"{server}/livez/") for _ in range(REQUESTS)]
        during = [pool.submit(_get, f"{server}/metrics") for _ in range(10)]
        pages = [future.result() for future in during]
        for future in load:
            future.result()
    assert all("cloudigrade_sqs_queue_length" in page for page in pages)
    # Whichever worker answers, it knows of all requests; and gauges are told once.
    for _ in range(10):
        page = _get(f"{server}/metrics")
        assert _counted(page, "internal-livez") == before + REQUESTS
        assert page.count("cloudigrade_sqs_queue_length{") == 4
        assert len(re.findall(r"^process_cpu_seconds_total ", page, re.MULTILINE)) == 1
