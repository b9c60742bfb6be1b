"""Two schedulers at once (08 §14.2, DR-11)."""

import signal

import pytest

from deployment.local.app import Product
from deployment.local.process import ManagedProcess
from deployment.local.service import REPOSITORY
from deployment.local.world import LocalServices
from tests.deployment.processes import wait_for

pytestmark = [pytest.mark.services, pytest.mark.e2e, pytest.mark.slow]

WAITS = "Another process holds the lease beat"


def test_a_second_beat_idles_until_the_first_ends(tmp_path):
    with LocalServices(["postgres", "valkey"], environment={}, scratch_parent=tmp_path) as services:
        product = Product(services)
        try:
            product.start("beat")
            first = product.processes()["beat"]
            assert wait_for(lambda: first.has_logged("Sending due task"), seconds=60)
            second = ManagedProcess(
                name="second beat",
                command=first.command,
                log_file=tmp_path / "second.log",
                watchdog=services.surroundings.watchdog,
                environment=product.environment,
                directory=REPOSITORY,
                stop_signal=signal.SIGTERM,
            )
            second.start()
            assert wait_for(lambda: second.has_logged(WAITS), seconds=60)
            assert not second.has_logged("Sending due task")
            first.stop()
            assert wait_for(lambda: second.has_logged("Sending due task"), seconds=90)
            second.stop()
        finally:
            product.stop()
