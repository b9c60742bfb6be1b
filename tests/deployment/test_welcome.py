"""``make up``: every line that it prints works, and Ctrl-C ends it (operations issue, item 1)."""

import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys

import pytest

from deployment.local.service import REPOSITORY
from tests.deployment.processes import (
    clean_environment,
    descendants,
    is_running,
    supervisor,
    wait_for,
)

pytestmark = [pytest.mark.services, pytest.mark.e2e, pytest.mark.slow]


def read_until_up(process):
    lines = []
    for line in process.stdout:
        lines.append(line.rstrip("\n"))
        if "Ctrl-C stops everything" in line:
            return lines
    pytest.fail(process.stderr.read())


def shell(*lines):
    return subprocess.run(
        ["sh", "-c", "\n".join(lines)],
        cwd=REPOSITORY,
        env=clean_environment(),
        capture_output=True,
        text=True,
        timeout=180,
    )


@pytest.mark.skipif(shutil.which("curl") is None, reason="needs curl")
def test_every_line_works_and_the_first_ctrl_c_ends_everything(tmp_path):
    with supervisor(tmp_path) as process:
        lines = read_until_up(process)
        started = descendants(process.pid)
        assert len(started) > 8
        tries = [line.strip() for line in lines if line.startswith("  curl ")]
        assert len(tries) == 4
        places = [line.split()[-1] for line in lines if re.search(r" https?://\S+/[a-z]\S*$", line)]
        assert any(place.endswith("/redoc/") for place in places)
        needs_identity = {url for url in places if url.endswith("/api/cloudigrade/v2/")}
        urls = [url for url in places if "/internal" in url or "/api/" in url]
        urls = [url for url in urls if url not in needs_identity]
        for line in [*tries, *(f"curl -s {url}" for url in urls)]:
            done = shell(line.replace("curl -s", "curl -sSf -L -o /dev/null", 1))
            assert (done.returncode, done.stderr) == (0, ""), line
        [source] = [line.strip() for line in lines if line.startswith("  . ")]
        manage = f"{sys.executable} manage.py"
        doctor = shell(source, f"{manage} doctor --json")
        assert json.loads(doctor.stdout)["checks"], doctor.stderr
        assert shell(source, f"{manage} migrate --check").returncode == 0
        config = shell(source, f"{manage} show_config --set --json").stdout
        values = {one["name"]: one["value"] for one in map(json.loads, config.splitlines())}
        assert values["CLOUDIGRADE_ENVIRONMENT"] == "local"

        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 128 + signal.SIGINT
        assert process.stderr.read().splitlines()[0] == "stopping ..."
        assert wait_for(lambda: not any(map(is_running, started)))
        assert wait_for(lambda: not list(tmp_path.iterdir()))


def test_a_second_ctrl_c_leaves_nothing_either(tmp_path):
    with supervisor(tmp_path) as process:
        read_until_up(process)
        started = descendants(process.pid)
        process.send_signal(signal.SIGINT)
        assert process.stderr.readline() == "stopping ...\n"
        with contextlib.suppress(ProcessLookupError):
            os.kill(process.pid, signal.SIGINT)
        assert process.wait(60) == 128 + signal.SIGINT
        assert wait_for(lambda: not any(map(is_running, started)))
        assert wait_for(lambda: not list(tmp_path.iterdir()))


def test_make_user_without_a_running_world_says_so_in_one_line():
    """Operations issue, item 7."""
    done = subprocess.run(
        ["make", "--no-print-directory", "user"],
        cwd=REPOSITORY,
        env=clean_environment(HOME=os.environ.get("HOME", "/"), DJANGO_DATABASE_PORT="1"),
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert done.returncode != 0
    told = [line for line in done.stderr.splitlines() if not line.startswith("make")]
    assert told[-1].startswith("CommandError: No database answers. Start one with `make up`")
    assert "Traceback" not in done.stderr
