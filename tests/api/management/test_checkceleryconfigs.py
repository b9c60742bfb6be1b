"""Comparing tasks, routes, schedule and the manifest's queues (08 §11, §23)."""

from types import SimpleNamespace

import pytest
import yaml
from django.core.management import call_command

from api.management.commands import checkceleryconfigs
from cloudigrade import celery_app
from cloudigrade.task_names import QUEUE_NAMES, ROUTES, TASK_NAMES
from deployment.local.service import REPOSITORY


@pytest.fixture
def app(monkeypatch, settings, tmp_path):
    """A sound configuration of two tasks, for the test to spoil."""
    settings.BASE_DIR = tmp_path
    (tmp_path / "deployment").mkdir()
    routes = {"api.tasks.one": {"queue": "one"}, "api.tasks.two": {"queue": "two"}}
    schedule = {"every hour": {"task": "api.tasks.one", "schedule": 3600}}
    fake = SimpleNamespace(
        loader=SimpleNamespace(import_default_modules=lambda: None),
        tasks={"api.tasks.one": None, "api.tasks.two": None, "celery.backend_cleanup": None},
        conf=SimpleNamespace(task_routes=routes, beat_schedule=schedule),
    )
    monkeypatch.setattr(checkceleryconfigs, "celery_app", fake)
    write_manifest(tmp_path, "one, two, another")
    return fake


def write_manifest(folder, queues):
    parameters = [{"name": "IMAGE"}, {"name": "CELERY_QUEUE_NAMES", "value": queues}]
    (folder / "deployment" / "clowdapp.yaml").write_text(yaml.dump({"parameters": parameters}))


def complaints(capsys):
    """Run the command; returns what it says on stderr if it fails, None if it succeeds."""
    try:
        call_command("checkceleryconfigs")
        code = 0
    except SystemExit as end:
        code = end.code
    out, err = capsys.readouterr()
    assert out == ""
    assert code == (1 if err else 0)
    return err.splitlines()


def test_aligned_is_silent(app, capsys):
    assert complaints(capsys) == []


def test_a_route_without_queue(app, capsys):
    app.conf.task_routes["api.tasks.one"] = {}
    assert complaints(capsys) == ["The route of task api.tasks.one names no queue"]


def test_a_routed_task_that_does_not_exist(app, capsys):
    del app.tasks["api.tasks.two"]
    assert complaints(capsys) == ["Routed task api.tasks.two does not exist"]


def test_a_scheduled_task_that_does_not_exist(app, capsys):
    app.conf.task_routes["api.tasks.three"] = {"queue": "one"}
    app.conf.beat_schedule["every hour"]["task"] = "api.tasks.three"
    assert complaints(capsys) == [
        "Routed task api.tasks.three does not exist",
        "Task api.tasks.three of periodic task every hour does not exist",
    ]


def test_a_scheduled_task_without_route(app, capsys):
    app.conf.beat_schedule["every hour"]["task"] = "celery.backend_cleanup"
    assert complaints(capsys) == [
        "Task celery.backend_cleanup of periodic task every hour is not routed"
    ]


def test_a_disabled_periodic_task_is_left_alone(app, capsys):
    app.conf.beat_schedule["every hour"] |= {"task": "api.tasks.three", "enabled": False}
    assert complaints(capsys) == []


def test_a_task_without_route(app, capsys):
    app.tasks["api.tasks.three"] = None
    assert complaints(capsys) == ["Task api.tasks.three is not routed"]


def test_a_queue_that_the_manifest_lacks(app, capsys, settings):
    write_manifest(settings.BASE_DIR, "one")
    assert complaints(capsys) == ["Queue two is missing from CELERY_QUEUE_NAMES"]


@pytest.mark.parametrize("text", ["", "parameters: []", "parameters: 3", "{", "- a"])
def test_a_manifest_that_does_not_say(app, capsys, settings, text):
    (settings.BASE_DIR / "deployment" / "clowdapp.yaml").write_text(text)
    [line] = complaints(capsys)
    assert "clowdapp.yaml" in line


def test_all_problems_are_told_together(app, capsys, settings):
    write_manifest(settings.BASE_DIR, "one")
    app.tasks["api.tasks.three"] = None
    del app.tasks["api.tasks.one"]
    assert len(complaints(capsys)) == 4


@pytest.fixture
def manifest_copy(settings, tmp_path):
    """A copy of the shipped manifest that the command looks at."""
    (tmp_path / "deployment").mkdir()
    copy = tmp_path / "deployment" / "clowdapp.yaml"
    copy.write_text((REPOSITORY / "deployment" / "clowdapp.yaml").read_text())
    settings.BASE_DIR = tmp_path
    return copy


@pytest.fixture(autouse=True)
def no_tasks_of_tests(monkeypatch):
    """Other tests in this process may have made tasks of their own."""
    for name in [name for name in celery_app.tasks if name.startswith("tests.")]:
        monkeypatch.delitem(celery_app.tasks, name)


def test_scenario_18_the_shipped_manifest(capsys):
    assert complaints(capsys) == []


def test_scenario_18_a_manifest_that_lacks_a_queue(manifest_copy, capsys):
    text = manifest_copy.read_text()
    assert text.count("enable_account,") == 1
    manifest_copy.write_text(text.replace("enable_account,", ""))
    assert "Queue enable_account is missing from CELERY_QUEUE_NAMES" in complaints(capsys)


def test_every_task_is_registered():
    celery_app.loader.import_default_modules()
    ours = {name for name in celery_app.tasks if name.startswith("api.")}
    assert ours == set(TASK_NAMES) == set(ROUTES)
    assert len(QUEUE_NAMES) == len(TASK_NAMES)
