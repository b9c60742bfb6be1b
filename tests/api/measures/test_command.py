"""``manage.py usage`` (spec 11 §1, 12 §3)."""

import io
import json

import pytest
import time_machine
from django.core.management import CommandError, call_command

from tests.api.metering.notation import at

pytestmark = pytest.mark.django_db


class Terminal(io.StringIO):
    def isatty(self):
        return True


def usage(*arguments, output=None):
    output = output or io.StringIO()
    with time_machine.travel(at("12T02"), tick=False):
        call_command("usage", *arguments, stdout=output)
    return output.getvalue()


@pytest.fixture
def org_id(environment):
    environment.instance("on 10T01, off 11T05", instance_type="m5.large")
    environment.recalculate()
    return environment.user.org_id


def test_json_is_what_the_api_shows(org_id, ask):
    query = ("--start", "2023-03-10", "--end", "2023-03-12", "--group-by", "role,arch")
    rows = [json.loads(line) for line in usage("--org-id", org_id, "--json", *query).splitlines()]
    shown = ask.get("/usage/?start=2023-03-10&end=2023-03-12&group_by[arch]=*&group_by[role]=*")
    assert rows == shown["data"]
    assert [row["instance_seconds"] for row in rows] == [23 * 3600, 5 * 3600]


def test_a_table_on_a_terminal(org_id):
    query = ("--start", "2023-03-01", "--end", "2023-04-01", "--granularity", "month")
    head, row = usage(
        "--org-id", org_id, *query, "--group-by", "region", output=Terminal()
    ).splitlines()
    assert head.split()[0] == "from"
    assert row.split() == [
        "2023-03-01T00:00:00Z",
        "28.000000",
        "56.000000",
        "0",
        "1",
        "no",
        "us-east-1",
    ]


def test_pages_are_joined(org_id, monkeypatch):
    monkeypatch.setattr("api.management.commands.usage.ROWS_AT_ONCE", 7)
    query = ("--granularity", "hour", "--start", "2023-03-10T00", "--end", "2023-03-11T00")
    rows = [json.loads(line) for line in usage("--org-id", org_id, "--json", *query).splitlines()]
    assert [row["instance_seconds"] for row in rows] == [0] + [3600] * 23


@pytest.mark.parametrize(
    "arguments",
    [
        (),
        ("--org-id", "nobody"),
        ("--org-id", "ORG", "--start", "potato"),
        ("--org-id", "ORG", "--start", "2023-03-10T00:30"),
        ("--org-id", "ORG", "--end", "2024-01-01"),
        ("--org-id", "ORG", "--granularity", "week"),
        ("--org-id", "ORG", "--group-by", "foo"),
        ("--org-id", "ORG", "--group-by", "arch,role,sla"),
        ("--org-id", "ORG", "--start", "2022-06-01", "--group-by", "region"),
    ],
)
def test_what_there_is_not_is_refused(org_id, arguments):
    arguments = [org_id if argument == "ORG" else argument for argument in arguments]
    with pytest.raises(CommandError) as refused:
        usage(*arguments)
    assert refused.value.returncode == 2
    assert "\n" not in str(refused.value)
