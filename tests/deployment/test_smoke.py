"""The smoke script (08 §14.7) against the product's own processes."""

import pytest

from deployment.local.app import Product
from deployment.local.local_services import LocalServices
from tests.cloudigrade.programs import free_port
from tests.deployment.smoke import smoke

pytestmark = [pytest.mark.services, pytest.mark.e2e, pytest.mark.slow]


def test_a_deployment_that_works_and_one_that_lacks_workers(tmp_path):
    with LocalServices(
        ["postgres", "valkey", "kafka", "aws"], environment={}, scratch_parent=tmp_path
    ) as services:
        product = Product(services)
        try:
            product.start("api", "worker")
            done = smoke(product.url)
            assert done.returncode == 0, done.stdout
            product.processes()["worker"].stop()
            lacking = smoke(product.url, "--task-seconds", "1")
        finally:
            product.stop()
    assert done.stdout.split("\n")[:4] == ["health: ok", "metrics: ok", "sysconfig: ok", "task: ok"]
    assert lacking.returncode == 1
    assert "task: FAILED (TimeoutError" in lacking.stdout


def test_a_deployment_that_is_not_there():
    done = smoke(f"http://127.0.0.1:{free_port()}")
    assert done.returncode == 1
    assert done.stdout.count("FAILED") == 4
