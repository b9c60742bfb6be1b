"""Events to runs (spec 07 §3)."""

import datetime
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from api.metering.timeline import PowerRun
from api.models.instance import event_rank
from tests.api.metering import reference
from tests.api.metering.notation import at, micros, moment, runs, runs_from_events

KINDS_OF = {
    "RunInstances": "power_on",
    "StartInstances": "power_on",
    "StopInstances": "power_off",
    "TerminateInstances": "power_off",
    "TerminateInstanceInAutoScalingGroup": "power_off",
    "ModifyInstanceAttribute": "attribute_change",
    "DescribeInstances": "power_on",
    "": "power_off",
}
NAMES = st.sampled_from(list(KINDS_OF))
TYPES = st.sampled_from([None, "t2.micro", "t2.large"])
EVENTS = st.lists(st.tuples(st.integers(0, 5), NAMES, TYPES), max_size=14)
"""Few instants, so that most of them have several events."""


def ranked(*events):
    """Make events of (instant, name, type) what the core takes."""
    return [(when, event_rank(name), KINDS_OF[name], size) for when, name, size in events]


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
    events = ranked(
        (1, "RunInstances", "t2.micro"),
        (2, "StopInstances", None),
        (3, "ModifyInstanceAttribute", "t2.large"),
        (4, "StartInstances", None),
        (5, "StopInstances", None),
    )
    assert runs_from_events(events) == [PowerRun(1, 2, "t2.micro"), PowerRun(4, 5, "t2.large")]


def test_type_change_while_running_does_not_split():
    events = ranked(
        (1, "RunInstances", "t2.micro"),
        (2, "ModifyInstanceAttribute", "t2.large"),
        (3, "StopInstances", None),
    )
    assert runs_from_events(events) == [PowerRun(1, 3, "t2.micro", ((2, "t2.large"),))]


def test_type_at_the_very_start_may_come_from_a_later_stored_event():
    events = ranked(
        (1, "RunInstances", "t2.micro"),
        (1, "StopInstances", None),
        (1, "ModifyInstanceAttribute", "t2.large"),
    )
    assert runs_from_events(events) == [PowerRun(1, 1, "t2.large")]


def test_of_two_type_changes_of_one_instant_the_later_record_wins():
    """Decision 49."""
    events = ranked(
        (1, "ModifyInstanceAttribute", "t2.micro"),
        (1, "ModifyInstanceAttribute", "t2.large"),
        (2, "StartInstances", None),
    )
    assert runs_from_events(events) == [PowerRun(2, None, "t2.large")]


def test_stop_start_stop_of_one_instant_leaves_nothing_open():
    """Issue 14, fault 11."""
    events = ranked(
        (1, "RunInstances", None),
        (5, "StopInstances", None),
        (5, "StartInstances", None),
        (5, "StopInstances", None),
    )
    assert runs_from_events(events) == [PowerRun(1, 5, None), PowerRun(5, 5, None)]


def test_runs_of_one_instant_are_one():
    """Each start is one run's (07 §4.3), and that the last one goes on counts."""
    events = ranked(
        (1, "StartInstances", None),
        (5, "StopInstances", None),
        (5, "StartInstances", None),
        (5, "StopInstances", None),
        (5, "StartInstances", None),
        (7, "StopInstances", None),
    )
    assert runs_from_events(events) == [PowerRun(1, 5, None), PowerRun(5, 7, None)]
    assert runs_from_events(events[1:4]) == [PowerRun(5, 5, None)]


@given(st.permutations(["RunInstances", "StartInstances", "TerminateInstances"]))
def test_launch_and_termination_of_one_instant_leave_a_run_without_length(names):
    """Decision 37, whatever was stored first (README decision 52)."""
    events = ranked(*((5, name, None) for name in names))
    assert runs_from_events(events) == [PowerRun(5, 5, None)]


@given(EVENTS)
def test_equals_the_reference(events):
    hour = datetime.timedelta(hours=1)
    base = at("10T00")
    literal = [(base + number * hour, KINDS_OF[name], name, size) for number, name, size in events]
    stored = [
        (micros(when), event_rank(name), kind, instance_type)
        for when, kind, name, instance_type in literal
    ]
    found = runs_from_events(stored)
    assert [(moment(run.start), moment(run.end)) for run in found] == reference.expected_runs(
        literal
    )
    assert [run.instance_type for run in found] == [
        reference.expected_type(literal, moment(run.start)) for run in found
    ]


@given(
    st.lists(st.tuples(st.integers(0, 99), NAMES, TYPES), unique_by=lambda event: event[0]),
    st.randoms(),
)
def test_order_of_arrival_and_repetition_make_no_difference(events, random):
    stored = ranked(*events)
    shuffled = stored + random.sample(stored, len(stored) // 2)
    random.shuffle(shuffled)
    assert runs_from_events(shuffled) == runs_from_events(stored)


@given(EVENTS)
def test_runs_are_ordered_and_never_overlap(events):
    found = runs_from_events(ranked(*events))
    for before, after in pairwise(found):
        assert before.end is not None
        assert before.start < after.start
        assert before.end <= after.start
    assert all(run.end is None or run.start <= run.end for run in found)


class CountedInstant(int):
    """An instant that counts how often instants are compared."""

    compared = 0

    def __lt__(self, other):
        CountedInstant.compared += 1
        return int(self) < int(other)

    def __gt__(self, other):
        CountedInstant.compared += 1
        return int(self) > int(other)


def test_runs_and_changes_of_type_are_not_all_compared_with_each_other(monkeypatch):
    """Decision 43: an instance with very many of both must not keep a worker busy."""
    cycles = 2000
    monkeypatch.setattr(CountedInstant, "compared", 0)
    events = [
        (CountedInstant(10 * number + second), 1, kind, f"t{number % 7}{size}" if size else None)
        for number in range(cycles)
        for second, kind, size in (
            (0, "power_on", "a"),
            (1, "attribute_change", "b"),
            (2, "power_off", None),
        )
    ]
    found = runs_from_events(events)
    assert len(found) == cycles
    assert found[8] == PowerRun(80, 82, "t1a", ((81, "t1b"),))
    # Ordering them takes a comparison for each, and looking one up as many as two has digits.
    assert CountedInstant.compared < 100 * cycles
