"""What is written for runs to become right, and which days that withdraws."""

import datetime

from hypothesis import given
from hypothesis import strategies as st

from api.metering.days import Days
from api.metering.difference import Difference, RunFacts, StoredRun, WantedRun, side_by_side
from api.models.instance import ORDINARY_RANK
from tests.api.metering import reference
from tests.api.metering.notation import RHEL, at, day, micros, moment, runs_from_events

IMAGE = 7
OTHER = 8


def facts(end, image=IMAGE, instance_type=None, vcpu=None):
    return RunFacts(micros(end and at(end)), image, instance_type, vcpu, None)


def stored(start, end, number=1, **more):
    return StoredRun(100, number, micros(at(start)), facts(end, **more))


def wanted(start, end, **more):
    return WantedRun(100, 200, micros(at(start)), facts(end, **more))


def compare(before, after):
    difference = Difference()
    for pair in side_by_side(before, after):
        difference.compare(*pair)
    return difference


def test_equal_runs_need_nothing():
    assert not compare([stored("10T01", "10T02")], [wanted("10T01", "10T02")])


def test_new_run():
    run = wanted("10T01", "12T00")
    difference = compare([], [run])
    assert difference.added == [run]
    assert difference.days_of_added == [Days(day(10), day(12))]


def test_open_run_that_ends_keeps_its_id_and_withdraws_from_its_last_day_on():
    difference = compare([stored("10T01", None, 5)], [wanted("10T01", "20T02")])
    assert [run_id for run_id, _ in difference.changed] == [5]
    assert difference.days_of_changed == [Days(day(20), None)]
    assert not difference.added
    assert not difference.removed


def test_moved_end_withdraws_what_lies_between():
    difference = compare([stored("10T01", "13T02")], [wanted("10T01", "11T02")])
    assert difference.days_of_changed == [Days(day(11), day(13))]


def test_run_that_goes():
    difference = compare([stored("10T01", "13T02", 5)], [])
    assert difference.removed == [5]
    assert difference.days_of_removed == [Days(day(10), day(13))]


def test_known_image_is_kept_while_start_and_end_are_the_same():
    assert not compare([stored("10T01", "10T02")], [wanted("10T01", "10T02", image=OTHER)])
    difference = compare([stored("10T01", None)], [wanted("10T01", "12T02", image=OTHER)])
    assert difference.changed == [(1, facts("12T02", image=OTHER))]
    assert difference.days_of_changed == [Days(day(10), None)]


def test_unknown_image_is_filled_in():
    difference = compare([stored("10T01", "11T02", image=None)], [wanted("10T01", "11T02")])
    assert difference.changed == [(1, facts("11T02"))]
    assert difference.days_of_changed == [Days(day(10), day(11))]


def test_type_and_size_withdraw_nothing():
    difference = compare(
        [stored("10T01", "10T02")], [wanted("10T01", "10T02", instance_type="t2", vcpu=2)]
    )
    assert len(difference.changed) == 1
    assert not difference.days_of_changed


def test_runs_without_image_withdraw_nothing():
    difference = compare(
        [stored("10T01", "10T02", image=None), stored("11T01", None, 2, image=None)],
        [wanted("11T01", "12T02", image=None), wanted("13T01", None, image=None)],
    )
    assert (len(difference.added), len(difference.changed), difference.removed) == (1, 1, [1])
    assert not difference.days_of_added
    assert not difference.days_of_changed
    assert not difference.days_of_removed


EVENTS = st.lists(
    st.tuples(st.integers(0, 24), st.sampled_from(["power_on", "power_off"])), max_size=8
)
IMAGES = st.sampled_from([None, IMAGE, OTHER])


def as_runs(events):
    """Events are a number of quarters of a day and a type; the database holds none twice."""
    base, quarter = at("08T00"), datetime.timedelta(hours=6)
    return runs_from_events(
        [
            (micros(base + number * quarter), ORDINARY_RANK, kind, None)
            for number, kind in dict.fromkeys(events)
        ]
    )


@given(EVENTS, EVENTS, IMAGES, IMAGES)
def test_result_is_right_and_untouched_days_keep_their_counts(old, new, old_image, new_image):
    before = [
        StoredRun(100, number, run.start, RunFacts(run.end, old_image, None, None, None))
        for number, run in enumerate(as_runs(old))
    ]
    runs = [
        WantedRun(100, 200, run.start, RunFacts(run.end, new_image, None, None, None))
        for run in as_runs(old + new)
    ]
    difference = compare(before, runs)
    assert bool(difference) == bool(difference.added or difference.changed or difference.removed)

    after = {run.id: run for run in before if run.id not in difference.removed}
    for run_id, changed in difference.changed:
        after[run_id] = after[run_id]._replace(facts=changed)
    added = [StoredRun(100, -1, run.start, run.facts) for run in difference.added]
    result = sorted([*after.values(), *added], key=lambda run: run.start)
    assert [(run.start, run.facts.end) for run in result] == [
        (run.start, run.facts.end) for run in runs
    ]

    touched = difference.days_of_added + difference.days_of_changed + difference.days_of_removed
    for number in range(7, 20):
        if not any(days.holds(day(number)) for days in touched):
            assert counted(before, number) == counted(result, number)


def counted(runs, number):
    facets = {None: None, IMAGE: RHEL, OTHER: RHEL._replace(arch="arm64")}
    return reference.expected_counts(
        [
            reference.ReferenceRun(
                moment(run.start), moment(run.facts.end), facets[run.facts.image_id]
            )
            for run in runs
        ],
        day(number),
    )
