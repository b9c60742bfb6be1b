"""Schedulers that wait: for each other (08 §14.2, DR-11), and for the database (12.2)."""

import os
import signal

import pytest

from deployment.local.app import Product
from deployment.local.local_services import LocalServices
from deployment.local.process import ManagedProcess
from deployment.local.service import REPOSITORY
from tests.deployment.processes import wait_for

pytestmark = [pytest.mark.services, pytest.mark.e2e, pytest.mark.slow]

WAITS = "Another process holds the lease beat"
SENDS = "Sending due task"


def test_a_second_beat_idles_until_the_first_ends_or_is_lost(tmp_path):
    with LocalServices(["postgres", "valkey"], environment={}, scratch_parent=tmp_path) as services:
        product = Product(services, settings={"ANALYZE_LOG_SCHEDULE": "1"})

        def start(name):
            beat = ManagedProcess(
                name=name,
                command=first.command,
                log_file=tmp_path / f"{name}.log",
                watchdog=services.surroundings.watchdog,
                environment=product.environment,
                directory=REPOSITORY,
            )
            beat.start()
            assert wait_for(lambda: beat.has_logged(WAITS), seconds=90)
            assert not beat.has_logged(SENDS)
            return beat

        try:
            product.start("beat")
            first = product.processes()["beat"]
            assert wait_for(lambda: first.has_logged(SENDS), seconds=90)

            second = start("second")
            first.request_stop()
            assert wait_for(lambda: first.exit_code() == 0)
            assert wait_for(lambda: second.has_logged(SENDS), seconds=90)

            third = start("third")
            os.kill(second.pid, signal.SIGKILL)
            assert wait_for(lambda: third.has_logged(SENDS), seconds=90)
            third.request_stop()
            assert wait_for(lambda: third.exit_code() == 0)
        finally:
            product.stop()


def test_beat_waits_for_a_database_without_tables(tmp_path, unmigrated):
    """Issue 14, 27: it ended, and its schedule was not installed."""
    with LocalServices(["postgres", "valkey"], environment={}, scratch_parent=tmp_path) as services:
        product = Product(services, settings={"ANALYZE_LOG_SCHEDULE": "1"})

        def start(name, waits_for):
            [command] = [part.command for part in product._parts() if part.name == "beat"]
            beat = ManagedProcess(
                name=name,
                command=command,
                log_file=tmp_path / f"{name}.log",
                watchdog=services.surroundings.watchdog,
                environment=product.environment,
                directory=REPOSITORY,
            )
            beat.start()
            assert wait_for(lambda: beat.has_logged(waits_for), seconds=90)
            return beat

        beat = start("beat", waits_for="migrations are pending")
        other = start("other", waits_for=WAITS)
        try:
            other.request_stop()
            assert wait_for(lambda: other.exit_code() == 0)
            beat.request_stop()
            assert wait_for(lambda: beat.exit_code() == 0)
            beat = start("again", waits_for="migrations are pending")
            product.manage("migrate", "--no-input")
            assert wait_for(lambda: beat.has_logged(SENDS), seconds=90)
            assert "Traceback" not in beat.log_file.read_text()
        finally:
            beat.stop()
            other.stop()
