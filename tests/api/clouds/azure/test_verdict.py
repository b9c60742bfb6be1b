"""What machines say of the images they have (spec 06 §4.3, §5.1; README decisions 10 and 25)."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.clouds.azure.transform import OPENSHIFT_TAG, RHEL_TAG
from api.clouds.azure.transform import machine as transformed
from api.clouds.azure.verdict import BYOS, ImageVerdict, judge, marks_of, see
from deployment.local.azure_resources import RHEL_IMAGE
from tests.api.clouds.azure.conftest import machine

UNKNOWN = ImageVerdict(False, False, False, None, {})
OWN, OTHER = 1, 2


def judged(before=UNKNOWN, marks=(), architecture=None, **more) -> ImageVerdict:
    options: dict[str, Any] = {
        "account_id": OWN,
        "all_account_ids": {OWN, OTHER},
        "is_complete": True,
        "by_license": False,
    }
    said = None if marks is None else set(marks)
    return judge(before, said, architecture, **options | more)


def test_marks_of_several_machines_add_up():
    machines = [
        machine("a", tags={RHEL_TAG: "false"}),
        machine("b", tags={OPENSHIFT_TAG: ""}, image=RHEL_IMAGE | {"offer": "rhel"}),
        machine("c", licenseType="RHEL_BYOS", image={"id": "/gold"}),
        machine("d", image=None, tags={RHEL_TAG: ""}),
    ]
    first, second = see(map(transformed, machines)).values()
    assert (first.machine.resource_id[-1], first.marks) == ("a", {RHEL_TAG, OPENSHIFT_TAG})
    assert (second.machine.resource_id[-1], second.marks) == ("c", {BYOS})
    assert marks_of(transformed(machine("e"))) == set()


def test_a_tag_makes_it_rhel_and_its_absence_undoes_that():
    tagged = judged(marks=[RHEL_TAG])
    assert tagged == ImageVerdict(True, False, False, None, {"1": [RHEL_TAG]})
    assert judged(tagged, []) == ImageVerdict(False, False, False, None, {"1": []})


def test_a_tag_in_another_subscription_of_the_customer_counts():
    before = judged(marks=[RHEL_TAG], account_id=OTHER)
    after = judged(before, [])
    assert after.rhel_detected_by_tag
    assert after.marks_by_account == {"1": [], "2": [RHEL_TAG]}
    assert not judged(after, [], account_id=OTHER).rhel_detected_by_tag


def test_an_account_that_is_gone_says_nothing():
    before = judged(marks=[RHEL_TAG], account_id=OTHER)
    assert not judged(before, [], all_account_ids={OWN}).rhel_detected_by_tag


def test_what_no_machine_has_any_more_keeps_its_flags():
    tagged = judged(marks=[RHEL_TAG, OPENSHIFT_TAG, BYOS], by_license=True)
    gone = judged(tagged, None, by_license=True)
    assert gone == replace(tagged, marks_by_account={})


def test_an_image_that_only_another_subscription_has_is_judged_by_that_one():
    before = judged(judged(marks=[RHEL_TAG]), [], account_id=OTHER)
    assert before.rhel_detected_by_tag
    assert not judged(before, None).rhel_detected_by_tag


def test_part_of_a_list_takes_nothing_away():
    tagged = judged(marks=[RHEL_TAG])
    assert judged(tagged, [], is_complete=False) == tagged
    assert judged(tagged, None, is_complete=False) == tagged
    assert judged(tagged, [OPENSHIFT_TAG], is_complete=False).openshift_detected


@pytest.mark.parametrize("by_license", [True, False])
def test_a_licence_counts_where_that_is_wanted(by_license):
    found = judged(marks=[BYOS], by_license=by_license)
    assert found.rhel_detected_by_license is by_license
    assert not found.rhel_detected_by_tag
    assert found.marks_by_account == {"1": [BYOS]}
    assert not judged(found, [BYOS], by_license=False).rhel_detected_by_license


def test_an_architecture_is_filled_in_and_stays():
    known = judged(architecture="x64")
    assert known.architecture == "x64"
    assert judged(known, [], architecture="Arm64").architecture == "x64"


_marks = st.sets(st.sampled_from([RHEL_TAG, OPENSHIFT_TAG, BYOS]))


@given(
    polls=st.lists(
        st.tuples(st.sampled_from([OWN, OTHER]), _marks | st.none(), st.booleans(), st.booleans())
    )
)
def test_polls_in_any_order(polls):
    verdict = UNKNOWN
    last_complete: dict[int, set | None] = {}
    for account_id, marks, is_complete, by_license in polls:
        options = {"account_id": account_id, "by_license": by_license, "is_complete": is_complete}
        verdict = judged(verdict, marks, **options)
        assert judged(verdict, marks, **options) == verdict, "a second time changes something"
        if is_complete:
            last_complete[account_id] = marks
        elif marks is not None:
            last_complete[account_id] = (last_complete.get(account_id) or set()) | marks
        said = [found for found in last_complete.values() if found is not None]
        if said:
            assert verdict.rhel_detected_by_tag == any(RHEL_TAG in found for found in said)
            assert verdict.openshift_detected == any(OPENSHIFT_TAG in found for found in said)
            assert verdict.rhel_detected_by_license == (
                by_license and any(BYOS in found for found in said)
            )
