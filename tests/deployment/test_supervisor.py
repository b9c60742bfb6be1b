"""``python -m deployment.local`` as a process: however it ends, nothing of it remains."""

import os
import signal
import subprocess
import time

import psycopg2
import pytest
from psycopg2.extras import wait_select

from deployment.local.watchdog import Watchdog
from tests.deployment.processes import (
    command_of,
    descendants,
    is_running,
    supervisor,
    wait_for,
)

pytestmark = pytest.mark.services

_ENDLESS = "DO $$ BEGIN LOOP END LOOP; END $$"


def read_until_ready(process):
    lines = []
    for line in process.stdout:
        lines.append(line)
        if line.startswith("# ready"):
            break
    return lines


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGKILL])
def test_nothing_remains_after_a_signal(tmp_path, number):
    with supervisor(
        tmp_path, "--services-only", KAFKA_SERVER_HOST="elsewhere", AWS_ENDPOINT_URL="elsewhere"
    ) as process:
        exports = read_until_ready(process)
        assert any(line.startswith("export DJANGO_DATABASE_PORT=") for line in exports)
        started = descendants(process.pid)
        assert len(started) >= 4
        process.send_signal(number)
        process.wait(30)
        assert wait_for(lambda: not any(map(is_running, started)))
        assert wait_for(lambda: not list(tmp_path.iterdir()))
        if number != signal.SIGKILL:
            assert process.returncode == 128 + number


def test_the_exports_are_lines_for_a_shell(tmp_path):
    with supervisor(tmp_path, "--services-only") as process:
        exports = "".join(read_until_ready(process))
        shell = f'{exports}\necho "$KAFKA_SERVER_HOST:$REDIS_PASSWORD:$AWS_DEFAULT_REGION"'
        printed = subprocess.run(["sh", "-c", shell], capture_output=True, text=True, check=True)
        assert printed.stdout == "127.0.0.1::us-east-1\n"
        os.kill(process.pid, signal.SIGTERM)
        process.wait(30)


def test_the_supervisor_ends_and_says_why_when_a_service_dies(tmp_path):
    with supervisor(
        tmp_path, "--services-only", KAFKA_SERVER_HOST="elsewhere", AWS_ENDPOINT_URL="elsewhere"
    ) as process:
        read_until_ready(process)
        started = descendants(process.pid)
        (victim,) = [pid for pid in started if "valkey-server" in command_of(pid)]
        os.kill(victim, signal.SIGKILL)
        assert process.wait(30) == 1
        assert "Valkey (Redis) ended with exit code -9" in process.stderr.read()
        assert wait_for(lambda: not any(map(is_running, started)))
        assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_a_statement_that_goes_on_for_ever_ends_with_its_server(tmp_path, number):
    """A busy backend does not notice that the server it belongs to was killed."""
    with supervisor(
        tmp_path, "--services-only", KAFKA_SERVER_HOST="elsewhere", AWS_ENDPOINT_URL="elsewhere"
    ) as process:
        exports = read_until_ready(process)
        port = next(
            line.partition("=")[2].strip()
            for line in exports
            if line.startswith("export DJANGO_DATABASE_PORT=")
        )
        database = psycopg2.connect(
            host="127.0.0.1", port=port, user="postgres", dbname="postgres", async_=True
        )
        wait_select(database)
        database.cursor().execute(_ENDLESS)
        backend = database.get_backend_pid()
        assert is_running(backend)
        process.send_signal(number)
        process.wait(30)
        assert wait_for(lambda: not is_running(backend))
        database.close()


def test_what_takes_long_to_go_is_left_to_the_watchdog():
    """Ctrl-C ends in time, whatever a busy machine takes to clean up (operations issue, item 1)."""
    stubborn = subprocess.Popen(
        ["sh", "-c", "trap '' TERM QUIT; echo ready; sleep 60"],
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert stubborn.stdout.readline() == "ready\n"
    watchdog = Watchdog()
    watchdog.watch(stubborn.pid)
    watchdog.close(until=time.monotonic())
    assert stubborn.poll() is None
    assert stubborn.wait(60) == -signal.SIGKILL
