"""The product's own processes under the supervisor (spec 08 §14.2)."""

import re
import signal
import subprocess
import sys

import pytest
import requests

from deployment.local.app import Product
from deployment.local.local_services import LocalServices
from deployment.local.process import LocalServiceError
from deployment.local.service import REPOSITORY
from tests.deployment.processes import (
    clean_environment,
    command_of,
    descendants,
    is_running,
    wait_for,
)

pytestmark = [pytest.mark.services, pytest.mark.e2e]


@pytest.mark.slow
def test_everything_is_served_until_a_signal_and_then_nothing_remains(tmp_path):
    process = subprocess.Popen(
        [sys.executable, "-m", "deployment.local"],
        cwd=REPOSITORY,
        env=clean_environment(TMPDIR=str(tmp_path)),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        output = []
        assert process.stdout is not None
        for line in process.stdout:
            output.append(line)
            if "cloudigrade is up" in line:
                break
        (internal,) = re.findall(r"internal API +(\S+)", "".join(output))
        root = internal.partition("api/")[0]
        assert requests.get(f"{root}healthz/", timeout=10).ok
        started = descendants(process.pid)
        commands = "\n".join(command_of(pid) for pid in started)
        for part in ("gunicorn", "cloudigrade worker", "cloudigrade beat", "listen_to_sources"):
            assert part in commands
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 128 + signal.SIGTERM
        assert wait_for(lambda: not any(map(is_running, started)))
        assert list(tmp_path.iterdir()) == []
    finally:
        process.kill()
        process.communicate()


def test_a_failing_process_is_named_with_its_last_output(tmp_path):
    services = LocalServices(["valkey"], environment={}, scratch_parent=tmp_path)
    product = Product(services, settings={"CLOUDIGRADE_ENVIRONMENT": ""})
    with (
        services,
        pytest.raises(
            LocalServiceError,
            match=r"(?s)manage-migrate ended with exit code .*CLOUDIGRADE_ENVIRONMENT",
        ),
    ):
        product.start()
    assert list(tmp_path.iterdir()) == []
