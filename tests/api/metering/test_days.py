"""Ranges of days and windows of them."""

import datetime
from itertools import chain, pairwise

from hypothesis import given
from hypothesis import strategies as st

from api.metering.days import Days, each_day, merge, portions, windows
from tests.api.metering.notation import day

NUMBERS = st.integers(1, 28)
RANGES = st.lists(
    st.tuples(NUMBERS, st.none() | st.integers(0, 5)).map(
        lambda drawn: Days(
            day(drawn[0]),
            None if drawn[1] is None else day(drawn[0]) + datetime.timedelta(days=drawn[1]),
        )
    ),
    max_size=8,
)


def test_holds():
    assert Days(day(2), day(3)).holds(day(3))
    assert not Days(day(2), day(3)).holds(day(4))
    assert not Days(day(2), None).holds(day(1))
    assert Days(day(2), None).holds(datetime.date(2999, 1, 1))


@given(RANGES)
def test_merge_keeps_the_days_and_leaves_gaps(ranges):
    merged = merge(ranges)
    for number in range(1, 31):
        found = any(days.holds(day(number)) for days in merged)
        assert found == any(days.holds(day(number)) for days in ranges)
    for before, after in pairwise(merged):
        assert before.last is not None
        assert after.first - before.last > datetime.timedelta(days=1)


def test_each_day():
    assert list(each_day(day(30), day(31))) == [day(30), day(31)]
    assert list(each_day(day(2), day(1))) == []


@given(st.sets(NUMBERS), st.integers(1, 5), st.integers(1, 9))
def test_windows_hold_each_day_once(numbers, gap, length):
    days = {day(number) for number in numbers}
    groups = windows(days, gap=gap, length=length)
    assert [one for group in groups for one in group] == sorted(days)
    for group in groups:
        assert (group[-1] - group[0]).days < length
        assert all((b - a).days <= gap for a, b in pairwise(group))


@given(st.sets(NUMBERS), st.integers(1, 9))
def test_portions_hold_each_day_once_the_newest_first(numbers, length):
    ranges = [
        (first, last)
        for first, last in reversed(merge(Days(day(number), day(number)) for number in numbers))
        if last
    ]
    shared = portions(ranges, length=length)
    days = [[one for range_ in portion for one in each_day(*range_)] for portion in shared]
    assert all(len(portion) == length for portion in days[:-1])
    assert all(0 < len(portion) <= length for portion in days)
    assert [max(portion) for portion in days] == sorted(map(max, days), reverse=True)
    assert sorted(chain.from_iterable(days)) == sorted(day(number) for number in numbers)
