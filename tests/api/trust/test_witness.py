"""Which runs make a day's maximum (spec 10 §1)."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from api.metering.concurrency import DAY, daily_peaks, start_of
from api.metering.facets import TOTAL, Facets
from api.trust.witness import Candidate, Peak, peak_of_day
from tests.api.metering.notation import at, day, micros

FACETS = {1: Facets("x86_64", "", "", "", "")}
BEGIN = start_of(day(10))


def candidates(*pairs):
    return [
        Candidate(number, micros(at(start)), micros(at(end)) if end else None)
        for number, (start, end) in enumerate(pairs, 1)
    ]


def ids(peak):
    return [run.run_id for run in peak.members]


def test_acceptance_1_w5():
    """Runs that end at midnight are on in the day's first moment."""
    peak = peak_of_day(
        candidates(("09T22", "10T00"), ("09T23", "10T05"), ("10T00", "10T06")), day(10)
    )
    assert ids(peak) == [1, 2]
    assert (peak.since, peak.until) == (BEGIN, BEGIN)
    assert peak.carried_over == 2


def test_acceptance_2_w7():
    """Where one run begins as another ends there is one; the first to be reached is shown."""
    peak = peak_of_day(candidates(("10T01", "10T02"), ("10T02", "10T03")), day(10))
    assert ids(peak) == [1]
    assert (peak.since, peak.until) == (micros(at("10T01")), micros(at("10T02")))


def test_acceptance_4_three_runs_without_length_at_one_instant():
    runs = candidates(*[("10T05", "10T05")] * 3, ("10T01", None))
    peak = peak_of_day(list(reversed(runs)), day(10))
    assert ids(peak) == [4, 1]
    assert (peak.since, peak.until) == (micros(at("10T05")), micros(at("10T05")))


def test_a_peak_that_lasts_to_the_end_of_the_day():
    runs = candidates(("10T01", None), ("10T02", "11T00"), ("11T00", "11T05"))
    assert peak_of_day(runs, day(10)) == Peak(runs[:2], micros(at("10T02")), None, 0)


def test_a_day_without_runs():
    assert peak_of_day(candidates(("08T01", "09T23")), day(10)) == Peak([], None, None, 0)


MOMENTS = st.sampled_from(
    [BEGIN - DAY, BEGIN - 1, BEGIN, BEGIN + 1, BEGIN + DAY // 2]
) | st.integers(BEGIN - 3, BEGIN + 8)


@st.composite
def histories(draw):
    spans = draw(st.lists(st.tuples(MOMENTS, st.none() | st.integers(0, 6)), max_size=12))
    return [
        Candidate(number, start, None if length is None else start + length)
        for number, (start, length) in enumerate(draw(st.permutations(spans)), 1)
    ]


@pytest.mark.slow
@given(histories())
@settings(max_examples=2000, deadline=None)
def test_the_members_are_as_many_as_the_stored_number(runs):
    [(_, peaks)] = daily_peaks([(run.start, run.end, 1) for run in runs], FACETS, day(10), day(10))
    peak = peak_of_day(runs, day(10))
    assert len(peak.members) == dict(peaks).get(TOTAL, 0)
    assert len(set(ids(peak))) == len(peak.members)
    for run in peak.members:
        assert run.start <= peak.since
        assert run.end is None or run.end >= peak.since
    assert peak.until is None or peak.until >= peak.since
