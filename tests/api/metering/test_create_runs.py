"""The command create_runs (spec 07 §10)."""

import io
from contextlib import suppress

import pytest
import time_machine
from django.core.management import CommandError, call_command

from api.models import ConcurrentUsage, Run, StaleUsage, User
from tests import factories
from tests.api.metering.notation import at, day

QUESTION = (
    "This will destroy 1 Runs and 3 Concurrent Usage objects."
    " Are you SURE you want to proceed? [y/N] "
)


@pytest.fixture
def command(environment, monkeypatch):
    """Run the command on the 12th; ``answer`` is what the operator says."""

    def run(*arguments, answer=None):
        asked = []

        def reply():
            asked.append(True)
            if answer is None:
                raise EOFError
            return answer

        monkeypatch.setattr("builtins.input", reply)
        out = io.StringIO()
        with time_machine.travel(at("12T01"), tick=False), suppress(CommandError):
            call_command("create_runs", *arguments, stdout=out)
        return out.getvalue().replace(QUESTION, "").split("\n")[:-1], asked

    return run


@pytest.fixture
def built(environment):
    """A customer with a run and three rows, one for each day since joining."""
    User.objects.filter(id=environment.user.id).update(date_joined=at("10T00"))
    environment.instance("on 10T01, off 11T02")
    environment.recalculate("12T01")
    return environment


@pytest.mark.parametrize("answer", ["", "n", "N", "yes", "no", " y", None])
def test_scenario_30_any_other_answer_changes_nothing(command, built, answer):
    before = list(Run.objects.values()), list(ConcurrentUsage.objects.order_by("id").values())
    lines, asked = command(answer=answer)
    lines = [line for line in lines if line]
    assert lines == ["Found 1 existing Runs and 3 Concurrent Usage objects.", "Aborting."]
    assert len(asked) == 1
    after = list(Run.objects.values()), list(ConcurrentUsage.objects.order_by("id").values())
    assert after == before


@pytest.mark.parametrize(("arguments", "answer"), [(["--confirm"], None), ([], "y"), ([], "Y")])
def test_scenario_30_same_runs_with_new_ids(command, built, arguments, answer):
    run = Run.objects.get()
    lines, asked = command(*arguments, answer=answer)
    lines = [line for line in lines if line]
    assert lines == ["Found 1 existing Runs and 3 Concurrent Usage objects."]
    assert len(asked) == (0 if arguments else 1)
    new = Run.objects.get()
    assert new.id != run.id
    assert (new.start_time, new.end_time) == (run.start_time, run.end_time)
    assert built.totals(9, 12) == [None, 1, 1, 0], "days without runs get empty rows"
    assert not StaleUsage.objects.exists()


def test_an_abort_is_told_by_the_exit_code(built, monkeypatch):
    """Spec 12 §2: 0 only if what was asked for was done."""
    monkeypatch.setattr("builtins.input", lambda: "")
    with pytest.raises(CommandError, match="Nothing was changed") as aborted:
        call_command("create_runs", stdout=io.StringIO())
    assert aborted.value.returncode == 1


def test_nothing_to_lose_asks_nothing(command, environment):
    environment.instance("on 10T01")
    lines, asked = command()
    assert (lines, asked) == ([], [])
    assert environment.runs() == [(at("10T01"), None)]
    assert environment.totals(9, 13) == [None, 1, 1, 1, None]


def test_days_before_the_customer_joined(command, environment):
    User.objects.filter(id=environment.user.id).update(date_joined=at("12T00"))
    environment.instance("on 05T01, off 06T02, on 08T00", image=False)
    command()
    assert environment.row(4) is None
    assert all(environment.row(number) for number in range(5, 13)), "7 is a day without runs"


def test_days_without_runs_are_written_and_those_before_follow(command, environment):
    """Decision 39, item 8: nobody gets 425 for ever for a day on which nothing ran."""
    User.objects.filter(id=environment.user.id).update(date_joined=at("02T00"))
    environment.instance("on 04T01, off 04T02, on 08T01, off 08T02")
    command()
    assert environment.totals(2, 13) == [None, None, 1, 0, 0, 0, 1, 0, 0, 0, 0, None]
    environment.recalculate("12T02")
    assert environment.totals(1, 13) == [None, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 0, None]


def test_one_customer_only(command, built):
    other = factories.make_aws_account()
    built.instance("on 10T01", account=other)
    lines, _ = command("--confirm", "--user", str(other.user_id))
    assert lines == []
    assert Run.objects.filter(cloud_account=other).exists()
    assert built.total(9) is None
    assert built.row(12) is not None, "the other customer's empty row stays"
    lines, _ = command("--confirm", "--user", str(built.user.id))
    assert lines == ["Found 1 existing Runs and 3 Concurrent Usage objects."]


def test_runs_that_events_do_not_support_go(command, built):
    factories.make_run(instance=built.instance(), start=at("2023-01-05T01"))
    command("--confirm")
    assert built.runs() == [(at("10T01"), at("11T02"))]


def test_revisions_go_on_counting(command, built):
    built.instance("on 10T01, off 10T02")
    built.recalculate("12T02")
    assert built.row(10).revision == 2
    command("--confirm")
    assert built.row(10).revision == 2
    assert ConcurrentUsage.objects.get(date=day(11)).revision == 1
