"""Acceptance scenarios 23-30 and 35 (spec 02 §14): routes that do something."""

import base64
import json
import logging

import pytest
from celery import current_app, states

from api.accounts import events
from api.accounts.states import OPERATOR
from api.models import InstanceEvent
from api.sources.work import FollowUp, Outcome
from tests.api.internal.callers import ANYBODY, B, identity
from tests.factories import make_event, make_instance, make_run, make_user, utc

pytestmark = pytest.mark.django_db

RUNS_TASK = "api.tasks.recalculate_runs_for_"
USAGE_TASK = "api.tasks.recalculate_concurrent_usage_for_"
FAILED = "Failed to parse given input."


def _asked(queued, path: str, body: dict) -> list[tuple]:
    queued.clear()
    response = ANYBODY.post(f"/internal/{path}/", body)
    assert (response.status_code, response.content) == (202, b"")
    return [task[:2] for task in queued]


def test_scenario_23_runs_of_one_account_or_all(db, queued):
    one = _asked(queued, "recalculate_runs", {"cloud_account_id": "420", "since": "2021-06-09"})
    assert one == [(f"{RUNS_TASK}cloud_account_id", (420, "2021-06-09T00:00:00+00:00"))]
    assert _asked(queued, "recalculate_runs", {}) == [(f"{RUNS_TASK}all_cloud_accounts", (None,))]
    response = ANYBODY.post("/internal/recalculate_runs/", {"cloud_account_id": "potato"})
    assert (response.status_code, response.json()) == (400, {"cloud_account_id": FAILED})


@pytest.mark.parametrize("nothing", [None, "", 0, "0"])
def test_what_is_false_counts_as_not_given(db, queued, nothing):
    """02 §7."""
    body = {"cloud_account_id": nothing, "since": None if nothing == "0" else nothing}
    assert _asked(queued, "recalculate_runs", body) == [(f"{RUNS_TASK}all_cloud_accounts", (None,))]


def test_given_offsets_are_honoured(db, queued):
    [(_, args)] = _asked(queued, "recalculate_runs", {"since": "2021-06-09 04:02:00+04"})
    assert args == ("2021-06-09T00:02:00+00:00",)


def test_scenario_24_usage_of_one_user_or_all(db, queued):
    one = _asked(queued, "recalculate_concurrent_usage", {"user_id": "420"})
    assert one == [(f"{USAGE_TASK}user_id", (420, None))]
    late = {"since": "2021-06-09T23:00:00-05:00"}
    assert _asked(queued, "recalculate_concurrent_usage", late) == [
        (f"{USAGE_TASK}all_users", ("2021-06-09",))
    ]


@pytest.mark.parametrize(
    "since",
    [
        "potato",
        "yesterday",
        -1,
        1,
        0.5,
        True,
        {"a": 1},
        ["2021-06-09"],
        "20-20-20",
        "2022-69-420",
        "2022-10-28 12:34:56 +69420",
        "2022-10-28 12:34:56 BRST",
        "0001-01-01T00:00:00+14:00",
        "1" * 400,
    ],
)
def test_times_that_are_none(db, queued, since):
    """02 §7, 07 §4.4."""
    response = ANYBODY.post("/internal/recalculate_runs/", {"since": since})
    assert (response.status_code, response.json()) == (400, {"since": FAILED})
    assert queued == []


@pytest.mark.parametrize("number", ["potato", 1.5, [1], {"a": 1}, True, 10**30, "1" * 5000])
def test_ids_that_are_none(db, queued, number):
    for path, name in (
        ("recalculate_runs", "cloud_account_id"),
        ("recalculate_concurrent_usage", "user_id"),
    ):
        response = ANYBODY.post(f"/internal/{path}/", {name: number, "since": "potato"})
        assert (response.status_code, response.json()) == (400, {name: FAILED})


@pytest.mark.parametrize(
    "path", ["delete_cloud_accounts_not_in_sources", "migrate_account_numbers_to_org_ids"]
)
def test_tasks_without_arguments(db, queued, path):
    assert _asked(queued, path, {}) == [(f"api.tasks.{path}", ())]
    assert ANYBODY.get(f"/internal/{path}/").status_code == 405


# sources_kafka


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
    follow_up = FollowUp(name="x", task="api.tasks.enable_account", args=(7,))

    def handle(**arguments):
        handled.append(arguments)
        return Outcome("done", [follow_up])

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


# cache


@pytest.fixture(params=["local", "redis"])
def either_cache(request):
    """Tests of the cache hold for Redis and for its stand-in."""
    if request.param == "redis":
        request.getfixturevalue("real_cache")


def test_scenario_26_the_cache_is_read_written_and_cleared(either_cache):
    stored = ANYBODY.post("/internal/cache/a/", {"value": 0, "timeout": 100})
    assert (stored.status_code, stored.content) == (200, b"")
    found = ANYBODY.get("/internal/cache/a/").json()
    assert (found["key"], found["value"]) == ("a", 0)
    assert 98 <= found["timeout"] <= 100
    nothing = ANYBODY.post("/internal/cache/a/", {})
    assert (nothing.status_code, nothing.json()) == (400, ["value field is required"])
    cleared = ANYBODY.post("/internal/clear_cache/")
    assert (cleared.status_code, cleared.content) == (200, b"")
    gone = ANYBODY.get("/internal/cache/a/")
    assert (gone.status_code, gone.json()) == (404, {"detail": "Not found."})


def test_clearing_the_cache_keeps_queues_and_results(real_cache):
    """02 §12.2, README decision 12."""
    real_cache.rpush("test-analyze_log", "task")
    real_cache.set("test-celery-task-meta-1", "result")
    ANYBODY.post("/internal/cache/a/", {"value": 1})
    ANYBODY.post("/internal/clear_cache/")
    assert sorted(real_cache.keys()) == [b"test-analyze_log", b"test-celery-task-meta-1"]


@pytest.mark.parametrize("value", [0, False, "", "text", 1.5, [1, {"a": None}], {"a": []}])
def test_any_value_but_null_can_be_kept(either_cache, value):
    ANYBODY.post("/internal/cache/a/", {"value": value})
    found = ANYBODY.get("/internal/cache/a/").json()
    assert found["value"] == value
    assert found["timeout"] in (59, 60)


@pytest.mark.parametrize(("timeout", "left"), [("100", 100), (99.9, 99), (0, 60), ("", 60)])
def test_timeouts_are_whole_seconds(either_cache, timeout, left):
    ANYBODY.post("/internal/cache/a/", {"value": 1, "timeout": timeout})
    assert left - 1 <= ANYBODY.get("/internal/cache/a/").json()["timeout"] <= left


@pytest.mark.parametrize("timeout", [0.5, -1, "-5", -0.1])
def test_a_timeout_in_the_past_forgets_the_key(either_cache, timeout):
    ANYBODY.post("/internal/cache/a/", {"value": 1})
    assert ANYBODY.post("/internal/cache/a/", {"value": 2, "timeout": timeout}).status_code == 200
    assert ANYBODY.get("/internal/cache/a/").status_code == 404


@pytest.mark.parametrize("timeout", ["potato", [1], {"a": 1}, 10**30, "1" * 5000, 1e300])
def test_timeouts_that_are_none(either_cache, timeout):
    response = ANYBODY.post("/internal/cache/a/", {"value": 1, "timeout": timeout})
    assert (response.status_code, list(response.json())) == (400, ["timeout"])


def test_a_key_can_be_kept_for_ever(real_cache):
    real_cache.set("test-cloudigrade:1:a", "7")
    found = ANYBODY.get("/internal/cache/a/").json()
    assert found == {"key": "a", "value": 7, "timeout": None}
    assert ANYBODY.delete("/internal/cache/a/").status_code == 405


# cdappconfig.json

SECRETS = {"hello": "world", "secret": "precious", "key": "abc"}


@pytest.fixture
def clowder_file(settings, tmp_path):
    """Clowder is on; gives its file."""
    file = tmp_path / "cdappconfig.json"
    settings.ACG_CONFIG = str(file)
    settings.CLOUDIGRADE_ENVIRONMENT = "stage"
    return file


@pytest.mark.parametrize("environment", ["prod", "stage", "Local", ""])
def test_scenario_27_secrets_are_masked(clowder_file, settings, environment):
    settings.CLOUDIGRADE_ENVIRONMENT = environment
    clowder_file.write_text(json.dumps(SECRETS))
    response = ANYBODY.get("/internal/cdappconfig.json")
    assert response.status_code == 200
    assert response.json() == {
        "hello": "world",
        "secret": "******************us",
        "key": "******************",
    }


@pytest.mark.parametrize("environment", ["local", "test", "ephemeral"])
def test_scenario_27_where_there_are_no_secrets_nothing_is(clowder_file, settings, environment):
    settings.CLOUDIGRADE_ENVIRONMENT = environment
    clowder_file.write_text(json.dumps(SECRETS))
    assert ANYBODY.get("/internal/cdappconfig.json").json() == SECRETS


def test_scenario_27_without_a_file(clowder_file, settings):
    assert ANYBODY.get("/internal/cdappconfig.json").status_code == 404
    clowder_file.write_text("hello world")
    broken = ANYBODY.get("/internal/cdappconfig.json")
    assert (broken.status_code, broken.json()) == (500, {"detail": "A server error occurred."})
    settings.ACG_CONFIG = None
    assert ANYBODY.get("/internal/cdappconfig.json").status_code == 404
    assert ANYBODY.get("/internal/cdappconfig.json/").status_code == 404


# error


def _error(body):
    response = ANYBODY.post("/internal/error/", body)
    return response.status_code, response.json()


SERVER_ERROR = {"detail": "A server error occurred."}


@pytest.mark.parametrize(
    ("body", "status", "answer"),
    [
        (
            {"name": "ValidationError", "kwargs": {"detail": {"potato": "is precious"}}},
            400,
            {"potato": "is precious"},
        ),
        ({"name": "Nope"}, 400, ["Invalid input."]),
        ({}, 400, ["Invalid input."]),
        ({"name": ["ValidationError"]}, 400, ["Invalid input."]),
        ({"name": "ValidationError", "kwargs": {"potato": 1}}, 400, ["Invalid input."]),
        ({"name": "ValidationError", "kwargs": "detail"}, 400, ["Invalid input."]),
        ({"name": "APIException", "kwargs": {"detail": "oh"}}, 500, {"detail": "oh"}),
        ({"name": "APIException"}, 500, SERVER_ERROR),
        ({"name": "NotReadyException"}, 500, SERVER_ERROR),
        (
            {"name": "ResultsUnavailable"},
            425,
            {"detail": "Results are currently unavailable, try again later."},
        ),
        (
            {"name": "MaximumNumberOfTrailsExceededException"},
            409,
            ["Exceeded maximum number of cloud trails"],
        ),
        ({"name": "NotImplementedAPIException"}, 501, SERVER_ERROR),
        ({"name": "NotFound"}, 404, {"detail": "Not found."}),
        ({"name": "Http404"}, 404, {"detail": "Not found."}),
        ({"name": "ParseError"}, 400, {"detail": "Malformed request."}),
        (
            {"name": "PermissionDenied"},
            403,
            {"detail": "You do not have permission to perform this action."},
        ),
    ],
)
def test_scenario_30_errors_on_request(db, body, status, answer):
    assert _error(body) == (status, answer)


def test_an_error_on_request_is_announced(db, caplog):
    with caplog.at_level(logging.WARNING, "api.internal.failure"):
        _error({"name": "NotFound"})
    assert "NotFound" in caplog.text
    assert ANYBODY.get("/internal/error/").status_code == 405


# tasks


def test_scenario_29_a_task_is_queued_by_name(db, queued):
    misfit = ANYBODY.post(
        "/internal/tasks/",
        {"task_name": "api.tasks.enable_account", "kwargs": {"potato": 1}},
    )
    assert misfit.status_code == 400
    assert "potato" in misfit.json()["error"]
    fit = ANYBODY.post(
        "/internal/tasks/",
        {"task_name": "api.tasks.enable_account", "kwargs": {"cloud_account_id": 1}},
    )
    assert fit.status_code == 201
    assert list(fit.json()) == ["async_result_id"]
    assert queued == [("api.tasks.enable_account", (), {"cloud_account_id": 1}, None)]


@pytest.mark.parametrize(
    ("body", "errors"),
    [
        ({}, {"task_name": ["This field is required."]}),
        (
            {"task_name": "api.tasks.enable_account", "kwargs": None},
            {"kwargs": ["This field may not be null."]},
        ),
        (
            {"task_name": "api.tasks.enable_account", "kwargs": [1]},
            {"kwargs": ['Expected a dictionary of items but got type "list".']},
        ),
        (
            {"task_name": "api.tasks.potato"},
            {"error": "not a registered task name: api.tasks.potato"},
        ),
    ],
)
def test_tasks_that_cannot_be_queued(db, queued, body, errors):
    """02 §7, README decision 28."""
    response = ANYBODY.post("/internal/tasks/", body)
    assert (response.status_code, response.json()) == (400, errors)
    assert queued == []


def test_arguments_may_be_named_like_options_of_ours(db, queued):
    body = {
        "task_name": "api.tasks.create_from_sources_kafka_message",
        "kwargs": {"message": {}, "headers": [["x", "y"]]},
    }
    assert ANYBODY.post("/internal/tasks/", body).status_code == 201
    assert queued[0].kwargs == body["kwargs"]


def _result(task_id: str) -> dict:
    response = ANYBODY.get(f"/internal/tasks/{task_id}/")
    assert response.status_code == 200
    return response.json()


def test_scenario_29_results_of_tasks(real_cache):
    backend = current_app.backend
    assert _result("unknown") == {
        "async_result_id": "unknown",
        "ready": False,
        "result": None,
    }
    backend.store_result("done", {"a": [1]}, states.SUCCESS)
    assert _result("done") == {"async_result_id": "done", "ready": True, "result": {"a": [1]}}
    backend.store_result("started", {"pid": 1}, states.STARTED)
    assert _result("started") == {"async_result_id": "started", "ready": False, "result": None}
    backend.mark_as_failure("raised", ValueError("no", 5))
    assert _result("raised") == {
        "async_result_id": "raised",
        "error_class": "builtins.ValueError",
        "error_args": ["no", "5"],
    }
    backend.mark_as_retry("again", ValueError("later"))
    assert _result("again") == {"async_result_id": "again", "ready": False, "result": None}
    backend.mark_as_failure("unheard", current_app.tasks.NotRegistered("api.tasks.nope"))
    assert _result("unheard") == {
        "async_result_id": "unheard",
        "error": "not a registered task name: api.tasks.nope",
    }


@pytest.mark.parametrize("junk", [b"junk", b"{}", b"[]", b"null", b"\x80\x04", b'{"status": 5}'])
def test_a_result_that_is_none(real_cache, junk):
    """Whoever can write to Redis can write anything."""
    real_cache.set(current_app.backend.get_key_for_task("odd"), junk)
    assert _result("odd") == {"async_result_id": "odd", "ready": False, "result": None}


# problematic runs


@pytest.fixture
def problem(story):
    """An open run whose instance was switched off later; gives the run."""
    instance = make_instance(account=story.aws)
    run = make_run(instance=instance, start=utc("2022-06-02"))
    make_event(
        instance=instance,
        event_type=InstanceEvent.Type.POWER_OFF,
        occurred_at=utc("2022-06-03"),
    )
    return run


def test_scenario_35_problematic_runs_are_listed_and_fixed(story, problem, queued):
    listed = ANYBODY.get(f"{B}/problematic_runs/").json()
    [run] = ANYBODY.rows("runs/")
    assert listed == [run]
    assert run["id"] == problem.id
    done = ANYBODY.post(f"{B}/problematic_runs/", {})
    assert (done.status_code, done.content) == (202, b"")
    assert queued == [("api.tasks.fix_problematic_runs", ([problem.id],), {}, None)]
    queued.clear()
    other = ANYBODY.post(f"{B}/problematic_runs/", {"user_id": story.user2.id})
    assert other.status_code == 202
    assert queued == []


def test_scenario_35_problematic_runs_of_one_user(story, problem):
    def listed(user_id) -> list:
        return ANYBODY.get(f"{B}/problematic_runs/?user_id={user_id}").json()

    assert [run["id"] for run in listed(story.user1.id)] == [problem.id]
    assert [run["id"] for run in listed("")] == [problem.id]
    assert listed(make_user().id) == []
    assert listed(987654321) == []
    assert listed(0) == []
    assert listed("potato") == {"user_id": ["A valid integer is required."]}
    potato = ANYBODY.post(f"{B}/problematic_runs/", {"user_id": "potato"})
    assert (potato.status_code, list(potato.json())) == (400, ["user_id"])


# availability status


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


def test_checks_that_follow_closely_are_one(story, queued):
    """02 §12.17."""
    for _ in range(3):
        ANYBODY.post(f"{B}/availability_status", {"source_id": 11})
    assert len(queued) == 1
