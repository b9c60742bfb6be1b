"""The init container step by step (08 §12.1); the whole is in deployment/test_scripts.py."""

import time

import pytest
from django.core.management import call_command

from api.management.commands import initialize


@pytest.fixture
def steps(monkeypatch):
    """The commands that were called, in order; what a test enters in ``faults`` is called too."""
    called, faults = [], {}

    def call(name, **options):
        called.append(name)
        faults.get(name, lambda: None)()

    monkeypatch.setattr(initialize, "call_command", call)
    monkeypatch.setattr(initialize, "_migrate", lambda wait: call("migrate"))
    return called, faults


def fail():
    raise OSError("no way")


def test_the_database_comes_first(steps):
    called, _ = steps
    call_command("initialize")
    assert called == ["migrate", "provisionaws", "configurequeues", "syncbucketlifecycle"]


def test_without_migrations_nothing_else_is_done(steps):
    called, faults = steps
    faults["migrate"] = fail
    with pytest.raises(SystemExit) as end:
        call_command("initialize")
    assert (end.value.code, called) == (1, ["migrate"])


def test_a_step_that_fails_keeps_no_other_from_being_taken(steps):
    called, faults = steps
    faults["provisionaws"] = fail
    call_command("initialize")
    assert called[-1] == "syncbucketlifecycle"


def test_a_step_that_hangs_is_given_up(steps, caplog):
    called, faults = steps
    faults["provisionaws"] = lambda: time.sleep(60)
    call_command("initialize", aws_timeout=1)
    assert called[-1] == "syncbucketlifecycle"
    assert "gave up after 1 seconds" in caplog.text


def test_strictly_every_failure_counts(steps, monkeypatch):
    _, faults = steps
    faults["configurequeues"] = fail
    monkeypatch.setenv("CLOUDIGRADE_INIT_STRICT", "true")
    with pytest.raises(SystemExit):
        call_command("initialize")
