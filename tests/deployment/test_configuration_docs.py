"""The reference of all variables, and what operators see of them (08 §19, §24)."""

import subprocess
import sys

import pytest

from cloudigrade.settings.variables import VARIABLES
from deployment.local.service import REPOSITORY
from docs import configuration
from tests.cloudigrade.programs import run


def test_the_reference_is_current():
    assert configuration.main(["--check"]) == 0


def test_a_stale_reference_is_told(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(configuration, "FILE", tmp_path / "configuration.rst")
    assert configuration.main(["--check"]) == 1
    assert "stale" in capsys.readouterr().err
    assert configuration.main([]) == 0
    assert configuration.main(["--check"]) == 0


def test_every_variable_is_described():
    text = configuration.document()
    for variable in VARIABLES:
        assert f"\n``{variable.name}`` ({variable.kind.name}" in text


def test_no_environment_is_needed_to_check():
    done = subprocess.run(
        [sys.executable, "-m", "docs.configuration", "--check"],
        cwd=REPOSITORY,
        env={},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def show_config(*arguments, **changes):
    done = run("python", "manage.py", "show_config", *arguments, **changes)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_show_config_tells_values_and_origins_but_no_secret():
    output = show_config(ANALYZE_LOG_SCHEDULE="45", CLOUDIGRADE_PSKS='{"sw-watch": "hush"}')
    assert "  ANALYZE_LOG_SCHEDULE = 45  [environment]" in output
    assert "  AWS_RECONCILE_SCHEDULE = 21600  [default]" in output
    assert "  CLOUDIGRADE_PSKS = (set)  [environment]" in output
    assert "  SOURCES_PSK = (unset)  [default]" in output
    for secret in ("hush", "a-secret-key", "password  ["):
        assert secret not in output
    for variable in VARIABLES:
        assert f"  {variable.name} = " in output


def test_show_config_of_what_is_set_only():
    output = show_config("--set", ANALYZE_LOG_SCHEDULE="45")
    assert "ANALYZE_LOG_SCHEDULE = 45" in output
    assert "AWS_RECONCILE_SCHEDULE" not in output


@pytest.mark.parametrize("variable", VARIABLES, ids=lambda variable: variable.name)
def test_what_looks_like_a_secret_is_treated_as_one(variable):
    words = ("PASSWORD", "SECRET", "PSK", "DSN", "TOKEN", "ACCESS_KEY")
    assert variable.secret == any(word in variable.name for word in words) or variable.name in {
        "REDIS_URL",
        "DEPLOY_NOTIFICATION_URL",
    }
