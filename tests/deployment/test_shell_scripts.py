"""All shell scripts: well formed, executable, and nothing that shellcheck has something against."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from deployment.local.service import REPOSITORY

SCRIPTS = [
    REPOSITORY / ".ci" / "run",
    REPOSITORY / "build_deploy.sh",
    *sorted((REPOSITORY / "deployment").rglob("*.sh")),
]
# Its wheels are not for every machine.
SHELLCHECK = Path(sys.executable).with_name("shellcheck")


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_a_script_is_executable_and_well_formed(script):
    assert os.access(script, os.X_OK)
    subprocess.run(["/bin/bash", "-n", script], check=True)


@pytest.mark.skipif(not SHELLCHECK.exists(), reason="there is no shellcheck for this machine")
def test_shellcheck_finds_nothing():
    done = subprocess.run(
        [SHELLCHECK, "--color=never", *SCRIPTS], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (0, "")
