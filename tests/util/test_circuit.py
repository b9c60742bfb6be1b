"""Leaving a silent service alone."""

import pytest

from util import circuit
from util.circuit import Circuit


@pytest.fixture
def clock(monkeypatch):
    """A clock that the test sets."""

    class Clock:
        now = 1000.0

        def monotonic(self):
            return self.now

    found = Clock()
    monkeypatch.setattr(circuit, "time", found)
    return found


def test_silences_in_a_row_open_it_for_a_while(clock):
    found = Circuit(silences=3, seconds=10)
    for _ in range(2):
        found.record_failure()
        assert not found.is_open()
    found.record_failure()
    assert found.is_open()
    clock.now += 10
    assert not found.is_open()


def test_first_silence_afterwards_opens_it_again(clock):
    found = Circuit(silences=3, seconds=10)
    for _ in range(3):
        found.record_failure()
    clock.now += 11
    found.record_failure()
    assert found.is_open()


def test_answer_in_between_counts(clock):
    found = Circuit(silences=2, seconds=10)
    found.record_failure()
    found.count_answer()
    found.record_failure()
    assert not found.is_open()
    found.record_failure()
    assert found.is_open()
    found.reset()
    assert not found.is_open()
