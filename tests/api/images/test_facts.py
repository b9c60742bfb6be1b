"""Derived columns of images, whatever an inspection delivered (05 §1, §8)."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from api.images.facts import apply
from api.models import CloudType, MachineImage

ODD = [
    '{"syspurpose": {"role": NaN, "usage": Infinity}}',
    '{"syspurpose": {"role": "a\\u0000b", "usage": "\\ud800c"}}',
    '{"syspurpose": "\\ud83d", "rhel_version": "\\udc00 9"}',
    '{"syspurpose": [NaN], "rhel_version": 8.4}',
    '{"syspurpose": {"role": 1e999}}',
    "[1, 2]",
    "null",
    "no JSON",
    "[" * 100_000,
]


def image(inspection_json, **columns):
    return MachineImage(
        cloud_type=CloudType.AWS,
        cloud_image_id="ami-1",
        inspection_json=inspection_json,
        **columns,
    )


@pytest.mark.django_db
@pytest.mark.parametrize("text", ODD, ids=range(len(ODD)))
def test_what_an_odd_result_says_can_be_stored(text):
    row = apply(image(text))
    row.save()
    row.refresh_from_db()
    assert row.is_rhel is False


def test_odd_characters_are_dropped():
    facts = apply(image(ODD[1]))
    assert (facts.role, facts.usage) == ("ab", "c")


json_values = st.recursive(
    st.none() | st.booleans() | st.floats() | st.text() | st.integers(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=10,
)


@settings(deadline=None)
@given(st.dictionaries(st.sampled_from(["syspurpose", "rhel_version"]), json_values))
def test_any_result_yields_text_that_utf_8_and_json_can_hold(result):
    facts = apply(image(json.dumps(result)))
    json.dumps(facts.syspurpose, allow_nan=False, ensure_ascii=False).encode()
    for value in (facts.role, facts.sla, facts.usage, facts.service_type, facts.rhel_version or ""):
        assert len(value) <= 64 or value == facts.rhel_version
        value.encode()
