"""Error bars of a day's maximum (spec 10 §2, §4)."""

import datetime

from hypothesis import given
from hypothesis import strategies as st

from api.coverage.error_bars import Bars, CountedRun, UnsureSpan, error_bars
from api.metering.concurrency import daily_peaks, start_of
from api.metering.facets import Facets

DAY = datetime.date(2023, 3, 10)
HOUR = 3_600_000_000
BEGIN = start_of(DAY)


def bars(runs, unsure, last=DAY):
    runs = [
        CountedRun(instance, BEGIN + start * HOUR, None if end is None else BEGIN + end * HOUR)
        for instance, start, end in runs
    ]
    spans = [
        UnsureSpan(one, BEGIN + since * HOUR, BEGIN + until * HOUR) for one, since, until in unsure
    ]
    return error_bars(runs, spans, DAY, last)


def test_a_missed_off_is_removed_from_the_run():
    """The second instance runs only while it is unsure whether the first one does."""
    assert bars([(1, 2, 12), (2, 8, 10)], [(1, 6, 12)])[DAY] == Bars(1, 2)


def test_a_missed_on_is_added_before_the_run():
    assert bars([(1, 12, None), (2, 8, 10)], [(1, 6, 12)])[DAY] == Bars(1, 2)


def test_a_missed_on_of_the_next_day_reaches_into_this_one():
    assert bars([(1, 30, None)], [(1, 20, 30)])[DAY] == Bars(0, 1)


def test_an_instance_that_does_not_count_adds_nothing():
    assert bars([(1, 2, 12)], [(7, 6, 12)])[DAY] == Bars(1, 1)


def test_a_span_without_length_changes_nothing():
    assert bars([(1, 2, 12)], [(1, 12, 12)])[DAY] == Bars(1, 1)


def test_touching_runs_of_one_instance_count_once():
    assert bars([(1, 2, 6), (1, 8, 12)], [(1, 6, 8)])[DAY] == Bars(1, 1)


moments = st.integers(min_value=-6, max_value=54)
instances = st.integers(min_value=1, max_value=4)


@st.composite
def runs_of_instances(draw):
    """Return runs of some instances that neither overlap nor touch."""
    runs = []
    for instance in range(1, 5):
        times = sorted(draw(st.sets(moments, max_size=8)))
        pairs = list(zip(times[::2], times[1::2], strict=False))
        runs += [(instance, start, end) for start, end in pairs]
    return runs


unsure_spans = st.lists(
    st.tuples(instances, moments, moments).map(lambda one: (one[0], *sorted(one[1:]))), max_size=5
)


@given(runs_of_instances(), unsure_spans)
def test_bars_are_what_counting_hour_by_hour_gives(runs, unsure):
    """All begins and ends a microsecond after a full hour, so that no state at midnight is tied."""
    last = DAY + datetime.timedelta(days=1)
    shown = {one for one, *_ in runs}

    def on(instance, hour):
        return any(one == instance and start <= hour < end for one, start, end in runs)

    def doubtful(instance, hour):
        return any(one == instance and since <= hour < until for one, since, until in unsure)

    found = error_bars(
        [CountedRun(one, BEGIN + s * HOUR + 1, BEGIN + e * HOUR + 1) for one, s, e in runs],
        [UnsureSpan(one, BEGIN + s * HOUR + 1, BEGIN + u * HOUR + 1) for one, s, u in unsure],
        DAY,
        last,
    )
    for day in (DAY, last):
        # What was on in the last hour of the day before is on for a microsecond more.
        hours = range((day - DAY).days * 24 - 1, (day - DAY).days * 24 + 24)
        least = max(sum(on(i, h) and not doubtful(i, h) for i in range(1, 5)) for h in hours)
        most = max(
            sum(on(i, h) or (doubtful(i, h) and i in shown) for i in range(1, 5)) for h in hours
        )
        assert found[day] == Bars(least, most)


@given(runs_of_instances(), unsure_spans)
def test_the_stored_number_lies_between_the_bars(runs, unsure):
    counted = [(BEGIN + start * HOUR, BEGIN + end * HOUR, 0) for _, start, end in runs]
    last = DAY + datetime.timedelta(days=1)
    found = bars(runs, unsure, last)
    for day, peaks in daily_peaks(counted, {0: Facets("", "", "", "", "")}, DAY, last):
        count = peaks[0][1] if peaks else 0
        assert found[day].least <= count <= found[day].most
