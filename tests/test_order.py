"""Two processes share the tests such that both are busy until the end."""

from types import SimpleNamespace

from hypothesis import given
from hypothesis import strategies as st

from tests.order import by_kind_and_weight, mixed


def item(nodeid, *markers):
    return SimpleNamespace(
        nodeid=nodeid, get_closest_marker=lambda name: name if name in markers else None
    )


def test_a_file_that_waits_runs_beside_one_that_computes():
    weights = {"e2e/long": 60.0, "e2e/short": 20.0, "a": 50.0, "b": 20.0, "c": 10.0}
    assert list(mixed(weights, {"e2e/long", "e2e/short"})) == [
        *("e2e/long", "a", "b", "e2e/short", "c"),
    ]


def test_one_kind_alone_is_ordered_by_weight():
    assert list(mixed({"a": 1.0, "b": 3.0, "c": 2.0}, set())) == ["b", "c", "a"]
    assert list(mixed({}, set())) == []


def test_tests_of_a_file_stay_together_and_in_order():
    few, many, slow = "tests/few.py", "tests/many.py", "tests/slow.py"
    items = [
        item(f"{few}::test_1", "services"),
        *(item(f"{many}::test_{number}", "services") for number in range(3)),
        item(f"{slow}::test_1", "slow", "services"),
        item(f"{few}::test_2"),
    ]
    assert [one.nodeid for one in by_kind_and_weight(items)] == [
        f"{slow}::test_1",
        *(f"{many}::test_{number}" for number in range(3)),
        *(f"{few}::test_1", f"{few}::test_2"),
    ]


@given(
    st.dictionaries(st.text(min_size=1, max_size=3), st.floats(min_value=0.02, max_value=500)),
    st.data(),
)
def test_every_file_comes_once(weights, data):
    waiting = data.draw(st.sets(st.sampled_from(sorted(weights)))) if weights else set()
    order = list(mixed(weights, waiting))
    assert sorted(order) == sorted(weights)
    for kind in (waiting, weights.keys() - waiting):
        found = [weights[name] for name in order if name in kind]
        assert found == sorted(found, reverse=True)
