"""Things in batches of a bounded size."""

from hypothesis import given, settings
from hypothesis import strategies as st

from util.batches import batched_by_size


def batches(items, limit=10, most=3):
    return list(batched_by_size(items, size_of=len, limit=limit, most=most))


def test_batches_are_as_large_as_they_may_be():
    assert batches(["aaaa", "bbbb", "cc", "dddddd", "e"]) == [
        ["aaaa", "bbbb", "cc"],
        ["dddddd", "e"],
    ]
    assert batches([]) == []


def test_what_is_too_large_comes_alone():
    assert batches(["a", "b" * 11, "c"]) == [["a"], ["b" * 11], ["c"]]


def test_sizes_of_rows():
    rows = [(1, 600), (2, 600), (3, 0), (4, 5000), (5, 10), (6, 0)]
    found = batched_by_size(rows, size_of=lambda row: row[1], limit=1000, most=len(rows))
    assert [[id for id, _ in batch] for batch in found] == [[1], [2, 3], [4], [5, 6]]


@settings(deadline=None)
@given(st.lists(st.text(max_size=12)), st.integers(1, 20), st.integers(1, 5))
def test_nothing_is_lost_and_no_batch_is_too_large(items, limit, most):
    found = batches(items, limit, most)
    assert [item for batch in found for item in batch] == items
    assert all(1 <= len(batch) <= most for batch in found)
    assert all(len(batch) == 1 or sum(map(len, batch)) <= limit for batch in found)
