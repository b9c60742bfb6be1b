"""``manage.py corrections`` (spec 10 §3.1, §4)."""

import io
import json

import pytest
import time_machine
from django.core.management import CommandError, call_command

from tests.api.metering.notation import at
from tests.api.trust.corrections import correct, late
from tests.api.trust.terminal import Terminal

pytestmark = pytest.mark.django_db


def corrections(*arguments, output=None):
    output = output or io.StringIO()
    with time_machine.travel(at("12T02"), tick=False):
        call_command("corrections", *arguments, stdout=output)
    return output.getvalue()


def test_json_lines(environment):
    """By default yesterday and today; without a terminal for programs."""
    instance = environment.instance("on 10T00")
    correct(instance)
    correct(instance, moment="09T12", since="09T06")
    event = late(instance, "11T09")
    [row] = map(json.loads, corrections("--user-id", str(environment.user.id)).splitlines())
    assert (row["kind"], row["believed"], row["seen"]) == ("missed_off", "on", "off")
    assert row["explained_by"]["event_id"] == event.id
    every = corrections(
        "--org-id", environment.user.org_id, "--since", "2023-03-01", "--until", "2023-03-12"
    )
    assert every.count("\n") == 2


def test_a_table_on_a_terminal(environment):
    instance = environment.instance("on 10T00")
    correct(instance)
    text = corrections("--user-id", str(environment.user.id), output=Terminal())
    assert text.splitlines()[0].startswith("at ")
    assert instance.cloud_instance_id in text
    assert "missed_off" in text


@pytest.mark.parametrize(
    "arguments",
    [
        ("--user-id", "999999"),
        ("--org-id", "nobody"),
        ("--since", "2023-03-10"),
    ],
)
def test_what_there_is_not_is_refused(environment, arguments):
    with pytest.raises(CommandError) as refusal:
        corrections(*arguments)
    assert refusal.value.returncode == 2


def test_days_in_the_wrong_order_are_refused(environment):
    with pytest.raises(CommandError, match="before the first") as refusal:
        corrections(
            "--user-id", str(environment.user.id), "--since", "2023-03-10", "--until", "2023-03-09"
        )
    assert refusal.value.returncode == 2
