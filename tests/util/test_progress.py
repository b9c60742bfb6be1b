"""Showing progress."""

import io
import logging

import time_machine

from util.progress import progress


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_a_bar_on_a_terminal(monkeypatch):
    terminal = Terminal()
    monkeypatch.setattr("sys.stderr", terminal)
    assert list(progress([1, 2, 3], "Counting")) == [1, 2, 3]
    assert "Counting" in terminal.getvalue()
    assert "3/3" in terminal.getvalue()


def test_log_lines_elsewhere(caplog):
    caplog.set_level(logging.INFO, "util.progress")
    with time_machine.travel(0, tick=False) as clock:
        for _ in progress((number for number in range(3)), "Counting", total=3):
            clock.shift(6)
    assert [record.getMessage() for record in caplog.records] == [
        "Counting: 2 of 3",
        "Counting: 3 done",
    ]


def test_an_unknown_number(caplog):
    caplog.set_level(logging.INFO, "util.progress")
    with time_machine.travel(0, tick=False) as clock:
        for _ in progress(iter("a"), "Counting"):
            clock.shift(11)
    assert caplog.records[0].getMessage() == "Counting: 1 of ?"
