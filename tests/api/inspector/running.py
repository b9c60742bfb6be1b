"""The inspector as a program, and what its results have to be."""

import json
import os
import subprocess
import sys

from api.inspection.results.parse import parse_result
from api.inspector.results import RULES, make_result
from deployment.local.service import REPOSITORY


def run_program(*arguments, **variables):
    return subprocess.run(
        [sys.executable, "-m", "api.inspector", *map(str, arguments)],
        cwd=REPOSITORY,
        env={"PATH": os.environ["PATH"], **variables},
        capture_output=True,
        text=True,
        check=False,
        timeout=240,
    )


def assert_valid(entry):
    """Assert that cloudigrade stores a result, whatever stands in it."""
    text = json.dumps(make_result("aws", {"ami-1": entry}), allow_nan=False)
    assert len(text) < 1_000_000
    (finding,) = parse_result(text.encode()).findings
    assert finding.omitted == ""
    for key in (*(f"{rule}_found" for rule in RULES), "inconclusive", "encrypted"):
        assert isinstance(entry[key], bool), key
