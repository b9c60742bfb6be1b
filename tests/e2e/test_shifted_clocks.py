"""Processes whose clocks are five minutes off lose and double nothing (decision 41)."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.e2e.sources_environment import (
    WORKERS,
    SourcesEnvironment,
)
from tests.e2e.test_sources_faults import Wave

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

SHIFTS = {"listener": 300, "worker-1": 300, "worker-2": -300}
FOLDER = Path(__file__).parent / "shifted_clock"


class ShiftedEnvironment(SourcesEnvironment):
    """The same, but no two processes have the same time, and PostgreSQL has another one."""

    def _run(self, name, command, **variables):
        return super()._run(name, command, **_shifted(name), **variables)


def _shifted(name: str) -> dict[str, str]:
    """Return the variables that let the process of this name go wrong."""
    path = os.pathsep.join(filter(None, [str(FOLDER), os.environ.get("PYTHONPATH")]))
    return {"PYTHONPATH": path, "CLOCK_SHIFT_SECONDS": str(SHIFTS[name])}


@pytest.fixture(scope="module")
def environment():
    environment = ShiftedEnvironment()
    try:
        yield environment
    finally:
        environment.stop()


@pytest.fixture
def wave(environment, request):
    environment.sources.reset()
    environment.recover()
    failed_before = request.session.testsfailed
    wave = Wave.prepare(environment)
    yield wave
    if request.session.testsfailed > failed_before:
        for customer in wave.customers:
            print(customer, environment.history(customer), environment.statuses.of(customer))
        environment.show_logs()


@pytest.mark.parametrize("name", SHIFTS)
def test_processes_do_go_wrong(name):
    """Or the other tests would show nothing."""
    shown = subprocess.run(
        [sys.executable, "-c", "import time; print(time.time())"],
        env=os.environ | _shifted(name),
        capture_output=True,
        text=True,
        check=True,
    )
    assert abs(float(shown.stdout) - time.time() - SHIFTS[name]) < 60


def test_work_is_done_once(environment, wave):
    wave.send()
    wave.verify()
    for customer in wave.customers:
        assert len(environment.statuses.of(customer)) == 1


def test_workers_are_killed(environment, wave):
    """Leases end by PostgreSQL's clock: neither at once nor five minutes late."""
    wave.send()
    environment.wait_for(wave.is_stored, "all is stored")
    environment.kill(*WORKERS)
    environment.start(*WORKERS)
    wave.verify()


def test_redis_is_flushed(environment, wave):
    environment.kill(*WORKERS)
    wave.send()
    environment.wait_for(wave.is_stored, "all is stored")
    environment.redis().flushall()
    environment.start(*WORKERS)
    wave.verify()


def test_failing_messages_are_repeated(environment, wave):
    environment.sources.fail("/", status=503, times=3)
    wave.send()
    wave.verify()


def test_burst_of_one_customer_is_worked_on_in_order(environment):
    environment.verify_order_of_a_burst()
