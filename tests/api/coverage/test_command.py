"""``manage.py coverage`` (spec 10 §2, spec 12 §2)."""

import io
import json

import pytest
import time_machine
from django.core.management import CommandError, call_command

from tests import factories
from tests.api.coverage.conftest import store_day
from tests.api.metering.notation import at

pytestmark = pytest.mark.django_db


class Terminal(io.StringIO):
    def isatty(self):
        return True


def coverage(*arguments, output=None):
    output = output or io.StringIO()
    with time_machine.travel(at("12T02"), tick=False):
        call_command("coverage", *arguments, stdout=output)
    return output.getvalue()


def rows(*arguments):
    return [json.loads(line) for line in coverage(*arguments).splitlines()]


@pytest.fixture
def other(environment):
    """The account of another customer, whose tenth and eleventh of March are partial."""
    gaps = ["10T00 10T06 not_metered", "10T12 11T00 describe_gap"]
    store_day(environment.account, 10, describes_ok=4, log_files=3)
    store_day(environment.account, 11, "corrected")
    account = factories.make_azure_account()
    store_day(account, 10, "partial", gaps, describes_failed=2)
    store_day(account, 11, "partial")
    return account


def test_lines_of_a_customer(environment, other):
    for name in (["--org-id", environment.user.org_id], ["--user-id", str(environment.user.id)]):
        found = rows(*name, "--json")
        assert [(row["date"], row["state"]) for row in found] == [
            ("2023-03-10", "complete"),
            ("2023-03-11", "corrected"),
        ]
        assert {row["cloud_account_id"] for row in found} == {environment.account.id}
    assert len(rows("--user-id", str(environment.user.id), "--until", "2023-03-10")) == 1
    assert len(rows("--user-id", str(environment.user.id), "--from", "2023-03-11")) == 1


def test_yesterday_of_everybody(environment, other):
    assert {row["date"] for row in rows()} == {"2023-03-11"}
    [row] = rows("--state", "partial")
    assert row["cloud_account_id"] == other.id
    assert len(rows("--account", str(other.id))) == 2


def test_a_table_on_a_terminal(other):
    text = coverage("--account", str(other.id), output=Terminal())
    head, first, second = text.splitlines()
    assert head.split() == ["day", "account", "cloud", "state", "metered", "logs", "describes",
                            "ok/failed", "gaps"]  # fmt: skip
    assert first.endswith("0/2                  not_metered 00:00:00-06:00:00,"
                          " describe_gap 12:00:00-24:00:00")  # fmt: skip
    assert second.startswith("2023-03-11")


@pytest.mark.parametrize(
    "arguments",
    [
        ("--org-id", "nobody"),
        ("--user-id", "99999999"),
        ("--account", "99999999"),
        ("--account", "x"),
        ("--state", "fine"),
        ("--since", "yesterday"),
        ("--since", "2023-03-12", "--until", "2023-03-11"),
        ("--user-id", "USER", "--account", "OTHER"),
    ],
)
def test_what_there_is_not(environment, other, arguments):
    known = {"USER": str(environment.user.id), "OTHER": str(other.id)}
    with pytest.raises(CommandError) as caught:
        coverage(*(known.get(one, one) for one in arguments))
    assert caught.value.returncode == 2
