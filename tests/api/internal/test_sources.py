"""Messages played by hand, scenario 25, and checks of availability (spec 02 §7, §14)."""

import base64
import json

import pytest

from api.accounts import events
from api.accounts.checks import begin_check
from api.accounts.states import OPERATOR
from api.sources.client import SourcesUnavailableError
from api.sources.messages import TASKS
from api.sources.work import ChildTask, MessageOutcome
from tests.api.internal.callers import ANYBODY, B, identity

pytestmark = pytest.mark.django_db


def _kafka(event_type, value=None, headers=None):
    if headers is None:
        headers = [["x-rh-identity", identity(account_number="1")]]
    body = {"event_type": event_type, "value": value, "headers": headers}
    return ANYBODY.post("/internal/sources_kafka/", body)


@pytest.mark.parametrize(
    "headers",
    [
        "invalid",
        [],
        None,
        {"x-rh-identity": "e30="},
        [["x-rh-identity", base64.b64encode(b"{}").decode()]],
        [["x-rh-identity", "e30"]],
        [["X-RH-IDENTITY", identity(account_number="1")]],
        [["x-rh-identity", "ü"]],
        [["x-rh-identity"]],
        [["x-rh-identity", 5]],
        [[[], {}]],
        5,
    ],
)
def test_scenario_25_a_message_needs_an_identity(db, headers):
    body = {"event_type": "Authentication.update", "value": {"id": 1}, "headers": headers}
    response = ANYBODY.post("/internal/sources_kafka/", body)
    assert response.status_code == 400
    assert response.json() == {"headers": "headers is not valid base64 encoded json"}
    assert ANYBODY.post("/internal/sources_kafka/", {}).status_code == 400


@pytest.mark.parametrize(
    ("event_type", "function"),
    [
        ("ApplicationAuthentication.create", "create_from_sources_kafka_message"),
        ("ApplicationAuthentication.destroy", "delete_from_sources_kafka_message"),
        ("Authentication.update", "update_from_sources_kafka_message"),
        ("Application.pause", "pause_from_sources_kafka_message"),
        ("Application.unpause", "unpause_from_sources_kafka_message"),
    ],
)
def test_scenario_25_a_message_is_handled_at_once(db, queued, monkeypatch, event_type, function):
    handled = []
    child_task = ChildTask(name="x", task="api.tasks.enable_account", args=(7,))

    def handle(**arguments):
        handled.append(arguments)
        return MessageOutcome("done", [child_task])

    monkeypatch.setattr(events, "handle", handle)
    headers = [["x-rh-identity", identity(account_number="1")]]
    value = {"id": "5"}
    response = _kafka(event_type, value)
    assert response.status_code == 200
    assert response.json() == {
        "request": {"event_type": event_type, "value": value, "headers": headers},
        "function": function,
    }
    assert handled == [
        {"event_type": event_type, "value": value, "headers": headers, "trigger": OPERATOR}
    ]
    assert queued.names == ["api.tasks.enable_account"]


def test_sources_that_does_not_answer_is_a_503(db, monkeypatch):
    """An answer that says to try again, not an error of ours."""

    def handle(**arguments):
        raise SourcesUnavailableError("connection refused by 10.1.2.3")

    monkeypatch.setattr(events, "handle", handle)
    response = _kafka("ApplicationAuthentication.create", {"id": "5"})
    assert response.status_code == 503
    assert "try again later" in response.json()["detail"]
    assert "10.1.2.3" not in response.content.decode()


@pytest.mark.parametrize("event_type", ["Source.create", None, "", ["a"], {"a": 1}, 5])
def test_other_messages_do_nothing(db, event_type):
    response = _kafka(event_type)
    assert response.status_code == 200
    assert response.json()["function"] is None
    assert response.json()["request"]["value"] is None


@pytest.mark.parametrize("value", [None, "text", [], {}, {"id": "potato"}])
def test_messages_that_make_no_sense_have_no_effect(db, value):
    assert _kafka("Application.pause", value).status_code == 200


def test_pausing_by_hand(story, clouds, queued):
    """BETTER of 02 §7: the whole way down."""
    response = _kafka("Application.pause", {"id": "22"})
    assert response.json()["function"] == "pause_from_sources_kafka_message"
    story.aws.refresh_from_db()
    assert story.aws.platform_application_is_paused
    assert not story.aws.is_enabled


@pytest.mark.parametrize("source_id", [None, 0, "", [], {}])
def test_a_source_must_be_named(db, source_id):
    response = ANYBODY.post(f"{B}/availability_status", {"source_id": source_id})
    assert (response.status_code, response.json()) == (400, ["source_id field is required"])


@pytest.mark.parametrize("source_id", ["potato", 1.5, True, [1], {"a": 1}, 10**30, "1" * 5000])
def test_a_source_is_a_number(db, source_id):
    response = ANYBODY.post(f"{B}/availability_status", {"source_id": source_id})
    assert (response.status_code, list(response.json())) == (400, ["source_id"])


def test_all_accounts_of_a_source_are_checked_in_any_form(story, queued):
    """02 §11: two accounts with one source id, one of them disabled."""
    story.azure.platform_source_id = 11
    story.azure.is_enabled = False
    story.azure.save()
    response = ANYBODY.post(
        f"{B}/availability_status",
        "source_id=11",
        content_type="application/x-www-form-urlencoded",
    )
    assert response.status_code == 204
    assert [task.args for task in queued] == [(story.aws.id,), (story.azure.id,)]
    assert ANYBODY.get(f"{B}/availability_status").status_code == 405


def test_checks_are_one_until_it_begins(story, queued):
    """02 §12.17."""

    def ask():
        ANYBODY.post(f"{B}/availability_status", {"source_id": 11})

    for _ in range(3):
        ask()
    assert len(queued) == 1
    begin_check(queued[0].args[0])
    ask()
    assert len(queued) == 2


@pytest.mark.parametrize(
    "value",
    [
        f'{{"id": {"9" * 400}}}',
        '{"id": -1, "application_id": 1e300, "authentication_id": -1}',
        '{"id": {"id": [11]}}',
        '{"id": "\\u0000"}',
        '{"id": "\\ud800"}',
        "[]",
        "null",
    ],
)
@pytest.mark.parametrize("event_type", list(TASKS))
def test_values_that_no_column_holds_are_no_error_of_ours(db, queued, event_type, value):
    """Issue 14.26: a message that makes no sense has no effect, played by hand as well."""
    headers = json.dumps([["x-rh-identity", identity(org_id="1")]])
    body = f'{{"event_type": "{event_type}", "value": {value}, "headers": {headers}}}'
    response = ANYBODY.post("/internal/sources_kafka/", body)
    assert response.status_code in (200, 400), response.content
    assert queued == []
