"""Processes whose clocks are five minutes off lose and double nothing (decision 41)."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.e2e.sources_world import CREATE, DESTROY, PAUSE, UNPAUSE, WORKERS, SourcesWorld
from tests.e2e.test_sources_faults import Wave

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

SHIFTS = {"listener": 300, "worker-1": 300, "worker-2": -300}
FOLDER = Path(__file__).parent / "shifted_clock"


class ShiftedWorld(SourcesWorld):
    """The same, but no two processes have the same time, and PostgreSQL has another one."""

    def _run(self, name, command, **variables):
        return super()._run(name, command, **_shifted(name), **variables)


def _shifted(name: str) -> dict[str, str]:
    """Return the variables that let the process of this name go wrong."""
    path = os.pathsep.join(filter(None, [str(FOLDER), os.environ.get("PYTHONPATH")]))
    return {"PYTHONPATH": path, "CLOCK_SHIFT_SECONDS": str(SHIFTS[name])}


@pytest.fixture(scope="module")
def world():
    world = ShiftedWorld()
    try:
        yield world
    finally:
        world.stop()


@pytest.fixture
def wave(world, request):
    world.sources.reset()
    world.recover()
    failed_before = request.session.testsfailed
    wave = Wave.prepare(world)
    yield wave
    if request.session.testsfailed > failed_before:
        for customer in wave.customers:
            print(customer, world.history(customer), world.statuses.of(customer))
        world.show_logs()


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


def test_work_is_done_once(world, wave):
    wave.send()
    wave.verify()
    for customer in wave.customers:
        assert len(world.statuses.of(customer)) == 1


def test_workers_are_killed(world, wave):
    """Leases end by PostgreSQL's clock: neither at once nor five minutes late."""
    wave.send()
    world.wait_for(wave.is_stored, "all is stored")
    world.kill(*WORKERS)
    world.start(*WORKERS)
    wave.verify()


def test_redis_is_flushed(world, wave):
    world.kill(*WORKERS)
    wave.send()
    world.wait_for(wave.is_stored, "all is stored")
    world.redis().flushall()
    world.start(*WORKERS)
    wave.verify()


def test_failing_messages_are_repeated(world, wave):
    world.sources.fail("/", status=503, times=3)
    wave.send()
    wave.verify()


def test_burst_of_one_customer_is_worked_on_in_order(world):
    world.sources.reset()
    world.recover()
    customer = world.new_customer()
    world.send(customer, CREATE, *[PAUSE, UNPAUSE] * 4, DESTROY, CREATE, PAUSE)
    world.wait_until_done(12, customer)
    account = world.account(customer)
    assert account is not None
    assert (account["enabled"], account["paused"]) == (False, True)
