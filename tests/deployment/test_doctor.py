"""``manage.py doctor`` about real processes (spec 12 §2, acceptance 3)."""

import json
import os
import signal
import subprocess
import sys
from functools import partial

import pytest
import redis

from deployment.local.app import Product
from deployment.local.local_services import LocalServices
from deployment.local.service import REPOSITORY
from tests.deployment.processes import wait_for
from util.heartbeat import KEPT_SECONDS

pytestmark = [pytest.mark.services, pytest.mark.e2e, pytest.mark.slow]


def test_acceptance_3_processes_that_were_killed_are_named(tmp_path):
    services = LocalServices(
        ["postgres", "valkey", "kafka", "aws"], environment={}, scratch_parent=tmp_path
    )
    with services:
        product = Product(services)
        store = redis.Redis(services.env["REDIS_HOST"], int(services.env["REDIS_PORT"]))

        def key_of(name):
            return f"{product.environment['CLOUDIGRADE_ENVIRONMENT']}-heartbeat-{name}"

        def doctor():
            done = subprocess.run(
                [sys.executable, "manage.py", "doctor", "--json"],
                env=product.environment,
                cwd=REPOSITORY,
                capture_output=True,
                text=True,
                timeout=120,
            )
            found = json.loads(done.stdout)
            assert done.returncode == (not found["healthy"]), done.stderr
            return [finding["check"] for finding in found["findings"]]

        def kill_and_let_time_pass(name, seconds):
            os.kill(product.processes()[name].pid, signal.SIGKILL)
            assert wait_for(lambda: product.processes()[name].exit_code() is not None)
            store.expire(key_of(name), KEPT_SECONDS - seconds)

        try:
            product.start("beat", "listener")
            for name in ("beat", "listener"):
                assert wait_for(partial(store.exists, key_of(name)), seconds=60), name
            product.manage("configurequeues")
            assert doctor() == []
            kill_and_let_time_pass("beat", seconds=181)
            assert doctor() == ["scheduler"]
            kill_and_let_time_pass("listener", seconds=61)
            assert doctor() == ["scheduler", "listener"]
        finally:
            product.stop()
