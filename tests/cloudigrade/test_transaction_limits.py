"""Which process has which limits of its transactions (decision 42)."""

import sys

import pytest
from celery import signals

from cloudigrade import celery
from tests.cloudigrade.programs import free_port, run, settings_of

TELL_KIND = "from util import transaction_limits; print(transaction_limits._limiter._kind)"


def test_limits_by_default():
    found = settings_of("local", "DATABASE_LIMITS")["DATABASE_LIMITS"]
    assert found == {
        "api": {"lock": 5, "statement": 20, "idle": 120},
        "worker": {"lock": 5, "statement": 300, "idle": 120},
        "beat": {"lock": 5, "statement": 30, "idle": 120},
        "listener": {"lock": 5, "statement": 30, "idle": 120},
        "command": {"lock": 60, "statement": 0, "idle": 120},
    }


def test_limits_as_the_environment_has_them():
    found = settings_of(
        "local",
        "DATABASE_LIMITS",
        DJANGO_DATABASE_LOCK_TIMEOUT="7",
        DJANGO_DATABASE_IDLE_TRANSACTION_TIMEOUT="0",
        DJANGO_DATABASE_API_STATEMENT_TIMEOUT="9",
        DJANGO_DATABASE_WORKER_STATEMENT_TIMEOUT="0",
    )["DATABASE_LIMITS"]
    assert found["api"] == {"lock": 7, "statement": 9, "idle": 0}
    assert found["worker"] == {"lock": 7, "statement": 0, "idle": 0}
    assert found["command"]["lock"] == 60


def test_a_request_of_the_api_ends_before_gunicorn_ends_its_worker():
    found = settings_of("local", "DATABASE_LIMITS")["DATABASE_LIMITS"]["api"]
    assert found["lock"] < found["statement"] < 30


@pytest.mark.parametrize(("signal", "kind"), [("worker_init", "worker"), ("beat_init", "beat")])
def test_workers_and_beat(monkeypatch, signal, kind):
    limited = []
    monkeypatch.setattr(celery, "limit_transactions", limited.append)
    receiver = getattr(celery, f"limit_transactions_of_{kind}")
    assert any(found() is receiver for _, found in getattr(signals, signal).receivers)
    receiver()
    assert limited == [kind]


def test_commands():
    program = (sys.executable, "manage.py", "shell", "--no-imports", "-c", TELL_KIND)
    done = run(*program, module="local", DJANGO_DATABASE_PORT=str(free_port()))
    assert done.stdout.splitlines()[-1:] == ["command"], done.stderr


def test_workers_of_gunicorn():
    program = (
        f"from types import SimpleNamespace; from cloudigrade import gunicorn;"
        f" gunicorn.post_worker_init(SimpleNamespace(age=2)); {TELL_KIND}"
    )
    done = run(sys.executable, "-c", program, module="local", DJANGO_DATABASE_PORT="1")
    assert done.stdout.splitlines()[-1:] == ["api"], done.stderr


def test_the_listener(monkeypatch):
    listen = __import__("api.management.commands.listen_to_sources", fromlist=["Command"])
    limited = []

    class Enough(Exception):
        pass

    def stop():
        raise Enough

    monkeypatch.setattr(listen, "limit_transactions", limited.append)
    monkeypatch.setattr(listen, "hurry_broker", stop)
    with pytest.raises(Enough):
        listen.Command().handle()
    assert limited == ["listener"]
