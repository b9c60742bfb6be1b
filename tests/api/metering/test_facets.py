"""Facets and the keys they count for (spec 07 §5.1)."""

from hypothesis import given
from hypothesis import strategies as st

from api.metering.facets import ANY, TOTAL, Facets, KeySpace, keys_of
from tests.api.metering import reference
from tests.api.metering.notation import FIRST_KEYS, RHEL, SERVER

VALUES = st.sampled_from([ANY, "", "a", "b"])
FACETS = st.builds(Facets, VALUES, VALUES, VALUES, VALUES, VALUES)


def test_w01_order_of_the_first_nine():
    assert keys_of(RHEL)[:9] == FIRST_KEYS


def test_architecture_and_role_are_never_both_concrete():
    keys = keys_of(RHEL)
    assert len(keys) == 24
    assert [found.role for found in keys[16:]] == [SERVER] * 8
    assert all(ANY in (found.arch, found.role) for found in keys)


def test_scenario_19_value_any_counts_once_per_key():
    assert len(keys_of(RHEL._replace(sla=ANY))) == 12


@given(FACETS)
def test_keys_equal_the_reference(facets):
    keys = keys_of(facets)
    assert keys[0] == TOTAL
    assert set(keys) == reference.keys(facets)
    assert len(keys) == len(set(keys))


@given(st.lists(FACETS, unique=True, max_size=8))
def test_keys_share_a_counter_only_if_the_same_facets_count_for_both(combinations):
    space = KeySpace(combinations)
    counted_by = {
        key: {place for place, keys in enumerate(space.keys_of) if number in keys}
        for number, key in enumerate(space.keys)
    }
    for number, found in enumerate(space.keys):
        counter = space.counter_of[number]
        counting = {
            place for place, counters in enumerate(space.counters_of) if counter in counters
        }
        assert counting == counted_by[found]
    assert all(len(counters) == len(set(counters)) for counters in space.counters_of)


def test_agreeing_images_need_few_counters():
    space = KeySpace([RHEL, RHEL._replace(sla="Standard")])
    assert len(space.keys) == 36
    assert space.number_of_counters == 3
