"""The targets of make (08 §18)."""

import os
import shutil
import subprocess
import sys
from functools import cache

import pytest

from deployment.local.service import REPOSITORY
from tests.deployment.processes import clean_environment

NAMED_BY_THE_CONTRACT = {
    *("help", "clean", "unittest", "docs", "docs-api-examples", "docs-api-examples-test"),
    *("openapi", "openapi-test", "checkceleryconfigs", "user"),
}
# A network that has loopback and nothing else.
OFFLINE = ["unshare", "--user", "--map-root-user", "--net", sys.executable, "-c"]
RUN_OFFLINE = """
import fcntl, os, socket, struct, sys
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as some:
    set_flags, up_and_running = 0x8914, 0x1 | 0x40
    fcntl.ioctl(some, set_flags, struct.pack("16sh", b"lo", up_and_running))
os.execvp(sys.argv[1], sys.argv[1:])
"""


def make(*arguments, before=()):
    return subprocess.run(
        [*before, "make", "--no-print-directory", *arguments],
        cwd=REPOSITORY,
        env=clean_environment(HOME=os.environ.get("HOME", "/")),
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )


def test_help_lists_all_that_the_contract_names():
    listed = {line.split()[0] for line in make("help").stdout.splitlines()}
    assert listed >= NAMED_BY_THE_CONTRACT


@pytest.mark.parametrize("target", sorted(NAMED_BY_THE_CONTRACT))
def test_a_target_exists(target):
    done = make("--dry-run", target)
    assert done.returncode == 0, done.stderr
    assert done.stdout


@cache
def can_be_offline():
    if shutil.which("unshare") is None:
        return False
    attempt = [*OFFLINE, RUN_OFFLINE, "true"]
    return subprocess.run(attempt, capture_output=True, check=False).returncode == 0


@pytest.mark.slow
@pytest.mark.e2e
@pytest.mark.skipif(not can_be_offline(), reason="needs namespaces of networks")
@pytest.mark.parametrize("target", ["openapi-test", "docs-api-examples-test", "checkceleryconfigs"])
def test_scenario_27_generated_files_are_checked_without_a_network(target):
    done = make(target, before=[*OFFLINE, RUN_OFFLINE])
    assert done.returncode == 0, done.stdout + done.stderr
    if target == "checkceleryconfigs":
        assert (done.stdout, done.stderr) == ("", "")
