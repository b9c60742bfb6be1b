"""Seconds of a day by what they count for (spec 11 §1)."""

import json

from hypothesis import given
from hypothesis import strategies as st

from api.metering.concurrency import start_of
from api.metering.sums import SECOND, Cells, daily_sums
from tests.api.metering.notation import RHEL, day

FIRST, LAST = day(10), day(12)
BEGIN = start_of(FIRST)
HOUR = 3600 * SECOND
ARM = RHEL._replace(arch="arm64")
FACETS = {1: RHEL, 2: ARM, 3: RHEL}

moments = st.one_of(
    st.integers(-30, 80).map(lambda hour: BEGIN + hour * HOUR),
    st.integers(BEGIN - 30 * HOUR, BEGIN + 80 * HOUR),
)


@st.composite
def runs(draw):
    """A run of an image, maybe with other types in its course; images 1 and 3 look the same."""
    start = draw(st.integers(BEGIN - 30 * HOUR, BEGIN + 72 * HOUR - 1))
    end = draw(st.none() | st.integers(max(start, BEGIN), BEGIN + 80 * HOUR))
    last = BEGIN + 80 * HOUR if end is None else end
    later = sorted(draw(st.sets(moments.filter(lambda at: start < at < last), max_size=2)))
    resizes = [[at, draw(st.sampled_from("ab")), draw(st.none() | st.just(1))] for at in later]
    image = draw(st.sampled_from([1, 2, 3, 4]))
    return start, end, (image, 7, "a", None, json.dumps(resizes) if resizes else None)


def counted(some, begin):
    """Return what the runs come to on a day, stretch by stretch as spec 11 §1 says."""
    expected = {}
    for start, end, (image, account, name, cpus, resizes) in some:
        if image not in FACETS:
            continue
        stretches = [(start, name, cpus), *map(tuple, json.loads(resizes or "[]"))]
        ends = [*(at for at, _, _ in stretches[1:]), end]
        for (at, kind, count), until in zip(stretches, ends, strict=True):
            first = max(at // SECOND, begin // SECOND)
            limit = begin // SECOND + 86_400
            last = limit if until is None else min(until // SECOND, limit)
            if last > first:
                key = (account, *FACETS[image], kind, count)
                expected[key] = expected.get(key, 0) + last - first
    return expected


@given(st.lists(runs(), max_size=8))
def test_sums_are_what_the_definition_says(some):
    cells = Cells()
    spans = [(start, end, cells.number(cell)) for start, end, cell in some]
    days = daily_sums(spans, cells, cells.counted(FACETS), FIRST, LAST)
    for number, text in enumerate(days):
        entries = json.loads(text)
        found = {tuple(entry[:-1]): entry[-1] for entry in entries}
        assert len(found) == len(entries)
        assert found == counted(some, BEGIN + number * 24 * HOUR)
    assert number == 2


def test_order_and_form_are_those_that_are_stored():
    cells = Cells()
    spans = [(BEGIN, BEGIN + HOUR, cells.number((1, 7, "m5.large", None, None)))]
    first, *others = daily_sums(spans, cells, cells.counted(FACETS), FIRST, LAST)
    assert json.loads(first) == [[7, *RHEL, "m5.large", None, 3600]]
    assert others == ["[]", "[]"]
