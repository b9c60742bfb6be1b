"""What all commands share (spec 12 §2): ``--json``, refusals, questions, dry runs."""

import datetime
import io
import json
import sys
from argparse import ArgumentTypeError

import pytest
from django.core.management import CommandError, call_command
from django.db import OperationalError

from api.management import values
from api.management.base import OperatorCommand, add_dry_run, require_known
from api.management.tables import Column, head_line, row_line

COLUMNS = (Column("id", "id", 4), Column("since", "since", 20), Column("reason", "reason"))
ROWS = (
    {"id": 1, "since": datetime.datetime(2026, 11, 30, 1, tzinfo=datetime.UTC), "reason": "a\nb"},
    {"id": 22, "since": None, "reason": None},
)


class Probe(OperatorCommand):
    """Does what it is told."""

    def add_arguments(self, parser):
        parser.add_argument("ids", nargs="*", type=values.row_id)
        add_dry_run(parser)

    def handle(self, *args, ids, dry_run, **options):
        require_known(ids, [1, 2], "thing")
        if dry_run:
            self.tell_change("thing 1", "waiting", "working", id=1)
            return
        count = self.tell_rows(ROWS, COLUMNS)
        self.tell({"count": count}, f"{count} things.")


def run(*arguments, command=Probe):
    out = io.StringIO()
    call_command(command(), *arguments, stdout=out)
    return out.getvalue()


def test_people_read_a_table():
    assert run().splitlines() == [
        "id    since                 reason",
        "1     2026-11-30T01:00:00Z  a b",
        "22",
        "2 things.",
    ]


def test_programs_read_one_object_a_line():
    lines = [json.loads(line) for line in run("--json").splitlines()]
    assert lines == [
        {"id": 1, "since": "2026-11-30T01:00:00Z", "reason": "a\nb"},
        {"id": 22, "since": None, "reason": None},
        {"count": 2},
    ]


def test_a_dry_run_shows_before_and_after():
    assert run("--dry-run") == "thing 1: waiting -> working\n"
    assert json.loads(run("--dry-run", "--json")) == {
        "thing": "thing 1",
        "before": "waiting",
        "after": "working",
        "id": 1,
    }


@pytest.mark.parametrize("arguments", [["3"], ["0"], ["x"], [str(2**63)], ["--unheard-of"]])
def test_what_there_is_not_is_refused_in_one_line(arguments, capsys):
    with pytest.raises(CommandError) as refused:
        run(*arguments)
    assert refused.value.returncode == 2
    with pytest.raises(SystemExit) as ended:
        Probe().run_from_argv(["manage.py", "probe", *arguments])
    assert ended.value.code == 2
    shown = capsys.readouterr()
    assert (shown.out, shown.err.count("\n")) == ("", 1)


def test_a_database_that_is_away_is_told_in_one_line(capsys):
    class Broken(OperatorCommand):
        def handle(self, *args, **options):
            raise OperationalError("connection\n\trefused\n")

    with pytest.raises(SystemExit) as ended:
        Broken().run_from_argv(["manage.py", "broken"])
    assert ended.value.code == 1
    assert capsys.readouterr().err.endswith("database cannot be used: connection refused\n")


class Asking(OperatorCommand):
    def handle(self, *args, **options):
        self.tell({"agreed": self.agrees("Sure?")}, "")


@pytest.mark.parametrize(
    ("answer", "agreed"),
    [("y\n", True), ("Y\n", True), ("\n", False), ("n\n", False), ("yes\n", False), ("", False)],
)
def test_enter_does_what_the_question_shows(monkeypatch, capsys, answer, agreed):
    """Spec 12 §2: the default is what Enter does. Output for programs holds no question."""
    monkeypatch.setattr(sys, "stdin", io.StringIO(answer))
    call_command(Asking(), "--json")
    shown = capsys.readouterr()
    assert json.loads(shown.out) == {"agreed": agreed}
    assert "Sure? [y/N] " in shown.err


@pytest.mark.parametrize(
    ("read", "value", "result"),
    [
        (values.row_id, "7", 7),
        (values.row_id, str(2**63 - 1), 2**63 - 1),
        (values.row_id, str(2**63), None),
        (values.row_id, "9" * 5000, None),
        (values.row_id, "-1", None),
        (values.row_id, "٣", None),
        (values.positive, "1", 1),
        (values.positive, "0", None),
        (values.positive, str(2**31), None),
        (values.day, "2026-11-30", datetime.date(2026, 11, 30)),
        (values.day, "2026-11-31", None),
        (values.day, "yesterday", None),
        (values.text, "ü", "ü"),
        (values.text, "\udcff", None),
        (values.text, "\0", None),
    ],
)
def test_values(read, value, result):
    if result is None:
        with pytest.raises(ArgumentTypeError):
            read(value)
    else:
        assert read(value) == result


def test_cells():
    row = {"id": True, "reason": datetime.date(2026, 1, 2)}
    assert row_line(COLUMNS, row) == "yes" + " " * 25 + "2026-01-02"
    assert head_line(COLUMNS[:1]) == "id"
