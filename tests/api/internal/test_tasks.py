"""Tasks by name, and their results: scenario 29 (spec 02 §7, §14)."""

import pytest
from celery import current_app, states

from tests.api.internal.callers import ANYBODY

pytestmark = pytest.mark.django_db


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


FORM = "application/x-www-form-urlencoded"


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        (FORM, '{"task_name": "api.tasks.enable_account"}'),
        (FORM, 'task_name=api.tasks.enable_account&kwargs={"cloud_account_id": 1}'),
    ],
)
def test_a_body_that_is_not_said_to_be_json(db, queued, content_type, body):
    """Operations issue, item 7: curl without a header says what to do."""
    response = ANYBODY.post("/internal/tasks/", body, content_type=content_type)
    assert response.status_code == 400
    assert response.json()["error"] == (
        f"The body was read as {FORM}; send JSON with the header Content-Type: application/json."
    )
    assert queued == []


def test_a_form_may_name_a_task_without_arguments(db, queued):
    body = "task_name=api.tasks.recalculate_stale_usage"
    assert ANYBODY.post("/internal/tasks/", body, content_type=FORM).status_code == 201
    assert queued.names == ["api.tasks.recalculate_stale_usage"]


def test_arguments_may_be_named_like_options_of_ours(db, queued):
    body = {
        "task_name": "api.tasks.create_from_sources_kafka_message",
        "kwargs": {"message": {}, "headers": [["x", "y"]]},
    }
    assert ANYBODY.post("/internal/tasks/", body).status_code == 201
    assert queued[0].kwargs == body["kwargs"]


@pytest.mark.parametrize(
    "path", ["delete_cloud_accounts_not_in_sources", "migrate_account_numbers_to_org_ids"]
)
def test_tasks_without_arguments(db, queued, path):
    response = ANYBODY.post(f"/internal/{path}/", {})
    assert (response.status_code, response.content) == (202, b"")
    assert [task[:2] for task in queued] == [(f"api.tasks.{path}", ())]
    assert ANYBODY.get(f"/internal/{path}/").status_code == 405


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
