"""Probes (spec 02 §8; scenario 31; 08 §10)."""

import socket
import threading

import pytest
from django.db import OperationalError, connections
from django.urls import reverse

from api.internal import dependencies
from api.internal.dependencies import check_database, run_checks
from tests.api.internal.callers import ANYBODY

URL = "/internal/healthz/"
HOST = {"Host": "health.cloudigrade.insights.openshiftapps.com"}

with_database = pytest.mark.django_db(transaction=True)


def _fail() -> None:
    raise OperationalError("connection to server at db.example.com failed")


@pytest.fixture
def no_database(monkeypatch):
    monkeypatch.setattr(dependencies, "check_database", _fail)
    monkeypatch.setitem(dependencies.DEPENDENCIES, "database", _fail)


@with_database
def test_scenario_31_healthy():
    response = ANYBODY.get(URL, Accept="application/json")
    assert (response.status_code, response.json()) == (200, {"DatabaseBackend": "working"})
    assert response["Cache-Control"] == ("max-age=0, no-cache, no-store, must-revalidate, private")
    page = ANYBODY.get(URL)
    assert page["Content-Type"].startswith("text/html")
    text = page.content.decode()
    assert "<title>System status</title>" in text
    assert "DatabaseBackend" in text
    assert "working" in text
    assert "&#10003;" in text
    assert "seconds" in text


@pytest.mark.usefixtures("no_database")
def test_scenario_31_the_database_check_fails():
    response = ANYBODY.get(URL, Accept="application/json")
    assert response.status_code == 500
    assert response.json() == {"DatabaseBackend": "unavailable: Database error"}
    page = ANYBODY.get(URL)
    assert page.status_code == 500
    assert "&#10007;" in page.content.decode()
    assert "example.com" not in page.content.decode()


@pytest.mark.usefixtures("no_database")
@pytest.mark.parametrize("accept", ["text/plain", "image/png, text/csv", "garbage,,;;q=x", ""])
def test_scenario_31_other_types_are_not_acceptable(accept):
    response = ANYBODY.get(URL, Accept=accept)
    assert response.status_code == 406
    assert response["Content-Type"] == "text/plain"
    assert response.content.decode() == (
        "Not Acceptable: Supported content types: text/html, application/json"
    )


@pytest.mark.usefixtures("no_database")
@pytest.mark.parametrize(
    ("accept", "kind"),
    [
        ("*/*", "text/html"),
        ("text/*", "text/html"),
        ("application/xhtml+xml", "text/html"),
        ("application/*", "application/json"),
        ("application/json, text/html", "application/json"),
        ("text/html;q=0.5, application/json;q=0.9", "application/json"),
        ("application/json;q=0.1, text/html", "text/html"),
        ("application/json;q=0, */*", "text/html"),
        ("text/html;level=1;q=0.3, application/json;q=0.2", "application/json"),
    ],
)
def test_the_client_s_preference_decides(accept, kind):
    assert ANYBODY.get(URL, Accept=accept)["Content-Type"].split(";")[0] == kind


@pytest.mark.usefixtures("no_database")
def test_json_can_be_asked_for_by_a_parameter():
    response = ANYBODY.get(f"{URL}?format=json", Accept="text/plain")
    assert response["Content-Type"] == "application/json"


@with_database
def test_methods_and_host():
    assert ANYBODY.send("HEAD", URL, headers=HOST).status_code == 200
    assert ANYBODY.post(URL).status_code == 405
    assert ANYBODY.get("/internal/healthz").status_code == 301


@with_database
def test_an_unreachable_database_is_told_in_the_same_form(monkeypatch):
    """The check connects anew, and nobody listens on the port."""
    with socket.socket() as reserved:
        reserved.bind(("127.0.0.1", 0))
        place = {"HOST": "127.0.0.1", "PORT": reserved.getsockname()[1]}
        elsewhere = connections.settings["default"] | place
        monkeypatch.setitem(connections.settings, "default", elsewhere)
        response = ANYBODY.get(URL, Accept="application/json")
    assert response.status_code == 500
    assert response.json() == {"DatabaseBackend": "unavailable: Database error"}


def test_a_hanging_database_is_given_up_in_time(monkeypatch):
    done = threading.Event()
    monkeypatch.setattr(dependencies, "check_database", lambda: done.wait(90))
    monkeypatch.setattr(dependencies, "TIMEOUT", 0.05)
    response = ANYBODY.get(URL, Accept="application/json")
    done.set()
    assert response.json() == {"DatabaseBackend": "unavailable: Database error"}


def test_names_by_which_sampling_rates_are_set():
    """02 §8."""
    assert reverse("health_check:health_check_home") == URL
    assert reverse("prometheus-django-metrics") == "/internal/metrics"
    assert reverse("internal-availability-status") == (
        "/internal/api/cloudigrade/v1/availability_status"
    )


@pytest.mark.usefixtures("no_database")
def test_liveness_asks_nobody():
    response = ANYBODY.get("/internal/livez/")
    assert (response.status_code, response.json()) == (200, {"status": "alive"})


@with_database
def test_readiness_tells_the_dependencies_apart(valkey, kafka, aws_server, monkeypatch):
    response = ANYBODY.get("/internal/readyz/")
    assert response.status_code == 200
    assert response.json()["status"] == "ready"
    statuses = {name: check["status"] for name, check in response.json()["checks"].items()}
    assert statuses == dict.fromkeys(("database", "redis", "kafka", "aws"), "working")
    with monkeypatch.context() as patch:
        patch.setitem(dependencies.DEPENDENCIES, "kafka", _refuse)
        partly = ANYBODY.get("/internal/readyz/")
    assert partly.status_code == 200
    assert partly.json()["checks"]["kafka"]["status"] == "failed: ConnectionRefusedError"
    assert partly.json()["checks"]["redis"]["status"] == "working"


def _refuse() -> None:
    raise ConnectionRefusedError("to db.example.com")


@pytest.mark.usefixtures("no_database")
def test_without_a_database_nothing_is_ready():
    response = ANYBODY.get("/internal/readyz/")
    assert response.status_code == 503
    assert response.json()["checks"]["database"]["status"] == "failed: OperationalError"
    assert "example.com" not in response.content.decode()


def test_checks_run_side_by_side_and_end_in_time(monkeypatch):
    """The slow one holds up none of the others, whose threads may be given a processor late."""
    monkeypatch.setattr(dependencies, "TIMEOUT", 2)
    done = threading.Event()
    outcomes = run_checks({"slow": lambda: done.wait(90), "quick": lambda: None, "bad": _refuse})
    done.set()
    assert {name: outcome.status for name, outcome in outcomes.items()} == {
        "quick": "working",
        "slow": "no answer in time",
        "bad": "failed: ConnectionRefusedError",
    }


@with_database
def test_the_check_itself_reads_the_database():
    check_database()


@pytest.fixture
def kept(monkeypatch):
    """The connections of checks as a worker of gunicorn has them; closed at the end."""
    connections_of_checks = dependencies._KeptConnections()
    connections_of_checks.keep()
    monkeypatch.setattr(dependencies, "_connections", connections_of_checks)
    yield connections_of_checks
    for one in connections_of_checks._idle:
        one.close()


def number_of(kept) -> int:
    """Return which process of PostgreSQL the kept connection leads to."""
    (one,) = kept._idle
    return one.connection.info.backend_pid


@with_database
def test_checks_use_one_connection_until_it_ends(kept):
    """A connection that ended says nothing of the database: the check takes another one."""
    ANYBODY.get(URL)
    first = number_of(kept)
    assert ANYBODY.get(URL).status_code == 200
    assert number_of(kept) == first
    with connections["default"].cursor() as cursor:
        cursor.execute("SELECT pg_terminate_backend(%s, 30000)", [first])
    assert ANYBODY.get(URL).status_code == 200
    assert number_of(kept) != first


@with_database
def test_a_check_that_hangs_delays_no_other(kept):
    """Its connection is not given back, so the next check makes its own."""
    ANYBODY.get(URL)
    (hanging,) = kept._idle
    kept._idle.clear()
    assert ANYBODY.get(URL).status_code == 200
    assert list(kept._idle) != [hanging]
    hanging.close()


@with_database
def test_other_processes_keep_none():
    made = dependencies._KeptConnections()
    made.ask()
    assert not made._idle
