"""Events to runs (spec 07 §3)."""

import datetime
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from api.metering.timeline import PowerRun, runs_from_events
from tests.api.metering import oracle
from tests.api.metering.notation import at, micros, moment, runs

KINDS = st.sampled_from(["power_on", "power_off", "attribute_change"])
TYPES = st.sampled_from([None, "t2.micro", "t2.large"])
EVENTS = st.lists(st.tuples(st.integers(0, 12), KINDS, TYPES), max_size=14)


def test_w01_on_and_off():
    assert runs("on 10T01, off 10T02") == [(at("10T01"), at("10T02"))]


def test_on_only_stays_open():
    assert runs("on 10T01") == [(at("10T01"), None)]


def test_off_only_is_ignored():
    assert runs("off 10T01") == []


def test_no_events_no_runs():
    assert runs_from_events([]) == []


def test_w06_two_runs_in_a_day():
    assert runs("on 10T01, off 10T02, on 10T03, off 10T04") == [
        (at("10T01"), at("10T02")),
        (at("10T03"), at("10T04")),
    ]


def test_first_of_repeated_starts_counts():
    assert runs("on 10T01, on 10T02, on 10T03, off 10T04") == [(at("10T01"), at("10T04"))]


def test_first_of_repeated_ends_counts():
    assert runs("on 10T01, off 10T02, off 10T03, off 10T04") == [(at("10T01"), at("10T02"))]


def test_w08_spurious_events():
    assert runs("off 10T00, on 10T01, on 10T02, off 10T03, off 10T04, on 10T05") == [
        (at("10T01"), at("10T03")),
        (at("10T05"), None),
    ]


def test_w09_late_off_splits():
    assert runs("on 10T01, on 10T03, off 10T04") == [(at("10T01"), at("10T04"))]
    assert runs("on 10T01, on 10T03, off 10T04, off 10T02") == [
        (at("10T01"), at("10T02")),
        (at("10T03"), at("10T04")),
    ]


def test_w10_late_first_start():
    assert runs("on 10T10, off 10T12, on 10T09") == [(at("10T09"), at("10T12"))]


def test_scenario_08_stored_off_before_on():
    assert runs("off 10T05, on 10T03") == [(at("10T03"), at("10T05"))]


def test_w11_same_instant_goes_by_order_of_insertion():
    assert runs("on 10T05, off 10T05") == [(at("10T05"), at("10T05"))]
    assert runs("off 10T05, on 10T05") == [(at("10T05"), None)]


def test_w16_type_is_the_newest_known_at_the_start():
    events = [
        (1, "power_on", "t2.micro"),
        (2, "power_off", None),
        (3, "attribute_change", "t2.large"),
        (4, "power_on", None),
        (5, "power_off", None),
    ]
    assert runs_from_events(events) == [PowerRun(1, 2, "t2.micro"), PowerRun(4, 5, "t2.large")]


def test_type_change_while_running_does_not_split():
    events = [
        (1, "power_on", "t2.micro"),
        (2, "attribute_change", "t2.large"),
        (3, "power_off", None),
    ]
    assert runs_from_events(events) == [PowerRun(1, 3, "t2.micro")]


def test_type_at_the_very_start_may_come_from_a_later_stored_event():
    events = [
        (1, "power_on", "t2.micro"),
        (1, "power_off", None),
        (1, "attribute_change", "t2.large"),
    ]
    assert runs_from_events(events) == [PowerRun(1, 1, "t2.large")]


@given(EVENTS)
def test_equals_the_oracle(events):
    hour = datetime.timedelta(hours=1)
    base = at("10T00")
    literal = [(base + number * hour, kind) for number, kind, _ in events]
    stored = [
        (micros(when), kind, instance_type)
        for (when, kind), (_, _, instance_type) in zip(literal, events, strict=True)
    ]
    found = runs_from_events(stored)
    assert [(moment(run.start), moment(run.end)) for run in found] == oracle.expected_runs(literal)
    assert [run.instance_type for run in found] == [
        oracle.expected_type(stored, run.start) for run in found
    ]


@given(
    st.lists(st.tuples(st.integers(0, 99), KINDS), unique_by=lambda event: event[0]), st.randoms()
)
def test_order_of_arrival_and_repetition_make_no_difference(events, random):
    stored = [(when, kind, None) for when, kind in events]
    shuffled = stored + random.sample(stored, len(stored) // 2)
    random.shuffle(shuffled)
    assert runs_from_events(shuffled) == runs_from_events(stored)


@given(EVENTS)
def test_runs_are_ordered_and_never_overlap(events):
    found = runs_from_events(events)
    for before, after in pairwise(found):
        assert before.end is not None
        assert before.end <= after.start
    assert all(run.end is None or run.start <= run.end for run in found)
