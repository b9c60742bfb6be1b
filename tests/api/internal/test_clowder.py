"""Clowder's file without its secrets: scenario 27 (spec 02 §7, §14)."""

import json

import pytest

from tests.api.internal.callers import ANYBODY

pytestmark = pytest.mark.django_db

SECRETS = {"hello": "environment", "secret": "precious", "key": "abc"}


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
        "hello": "environment",
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
    clowder_file.write_text("hello environment")
    broken = ANYBODY.get("/internal/cdappconfig.json")
    assert (broken.status_code, broken.json()) == (500, {"detail": "A server error occurred."})
    settings.ACG_CONFIG = None
    assert ANYBODY.get("/internal/cdappconfig.json").status_code == 404
    assert ANYBODY.get("/internal/cdappconfig.json/").status_code == 404
