"""The smoke script, run."""

import subprocess
import sys

from deployment.local.service import REPOSITORY
from tests.deployment.processes import clean_environment


def smoke(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the script on a URL, as whoever deploys does; give what it said."""
    return subprocess.run(
        [sys.executable, REPOSITORY / "deployment" / "scripts" / "smoke.py", *arguments],
        env=clean_environment(NO_PROXY="127.0.0.1"),
        capture_output=True,
        text=True,
        check=False,
    )
