"""``manage.py explain`` (spec 10, spec 12 §2)."""

import io
import json

import pytest
import time_machine
from django.core.management import CommandError, call_command

from tests.api.metering.notation import at
from tests.api.trust.terminal import Terminal

pytestmark = pytest.mark.django_db


def explain(*arguments, output=None):
    output = output or io.StringIO()
    with time_machine.travel(at("11T02"), tick=False):
        call_command("explain", *arguments, stdout=output)
    return output.getvalue()


@pytest.fixture
def instance(environment):
    instance = environment.instance("on 10T01, off 10T05", instance_type="m5.large")
    environment.recalculate(since="08T00")
    return instance


@pytest.mark.parametrize("by", ["org", "user"])
def test_json_lines(environment, instance, by):
    name = (
        ["--org-id", environment.user.org_id]
        if by == "org"
        else ["--user-id", str(environment.user.id)]
    )
    head, *runs = map(json.loads, explain(*name, "--json").splitlines())
    assert (head["date"], head["instances_count"], head["carried_over"]) == ("2023-03-10", 1, 0)
    assert [run["instance"]["instance_id"] for run in runs] == [instance.id]
    assert explain(*name, "--sla", "nobody").count("\n") == 1


def test_a_table_on_a_terminal(environment, instance):
    text = explain("--user-id", str(environment.user.id), "--date", "2023-03-10", output=Terminal())
    assert "1 at once on 2023-03-10, from 2023-03-10 01:00:00+00:00" in text
    assert instance.cloud_instance_id in text
    assert "rhel_release_files_found" in text


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (("--org-id", "nobody"), 2),
        (("--user-id", "99999999"), 2),
        (("--user-id", "USER", "--arch", "a", "--role", "b"), 2),
        (("--user-id", "USER", "--date", "2023-01-01"), 1),
    ],
)
def test_what_there_is_not(environment, instance, arguments, code):
    arguments = [str(environment.user.id) if one == "USER" else one for one in arguments]
    with pytest.raises(CommandError) as caught:
        explain(*arguments)
    assert caught.value.returncode == code
