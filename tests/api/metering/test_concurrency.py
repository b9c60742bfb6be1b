"""Runs to daily peaks (spec 07 §5), with the worked examples of §13."""

import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.metering.concurrency import daily_peaks, day_of, start_of
from api.metering.facets import ANY, TOTAL, Facets
from tests.api.metering import reference
from tests.api.metering.notation import RHEL, SERVER, at, day, key, micros, moment, peaks

BLANK = Facets("x86_64", "", "", "", "")


def totals(found):
    return {number: counts.get(TOTAL) for number, counts in found.items()}


def test_w01_simple():
    found = peaks([("on 10T01, off 10T02", RHEL)], 9, 11)
    assert totals(found) == {9: None, 10: 1, 11: None}
    assert len(found[10]) == 24
    assert set(found[10].values()) == {1}
    assert next(iter(found[10])) == TOTAL


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("on 10T22, off 11T03", {9: None, 10: 1, 11: 1, 12: None}),
        ("on 10T20, off 11T00", {9: None, 10: 1, 11: 1, 12: None}),
        ("on 11T00, off 11T01", {9: None, 10: None, 11: 1, 12: None}),
        ("on 10T10, off 10T23:59:59.999999", {9: None, 10: 1, 11: None, 12: None}),
        ("on 10T23:59:59.999999, off 11T00", {9: None, 10: 1, 11: 1, 12: None}),
        ("on 10T05, off 10T05", {9: None, 10: 1, 11: None, 12: None}),
        ("on 11T00, off 11T00", {9: None, 10: None, 11: 1, 12: None}),
        ("on 10T05", {9: None, 10: 1, 11: 1, 12: 1}),
    ],
)
def test_w02_to_w04_and_the_edge_of_the_day(text, expected):
    assert totals(peaks([(text, RHEL)], 9, 12)) == expected


def test_w05_end_at_midnight_counts_on_the_new_day_but_not_with_a_start_there():
    found = peaks(
        [
            ("on 09T22, off 10T00", RHEL),
            ("on 09T23, off 10T05", RHEL),
            ("on 10T00, off 10T06", RHEL),
        ],
        8,
        11,
    )
    assert totals(found) == {8: None, 9: 2, 10: 2, 11: None}


def test_w06_two_runs_of_one_instance():
    assert totals(peaks([("on 10T01, off 10T02, on 10T03, off 10T04", RHEL)], 10)) == {10: 1}


def test_w07_touching_runs_in_either_order():
    first, second = ("on 10T01, off 10T02", RHEL), ("on 10T02, off 10T03", RHEL)
    assert totals(peaks([first, second], 10)) == {10: 1}
    assert totals(peaks([second, first], 10)) == {10: 1}


def test_w08_spurious():
    text = "off 10T00, on 10T01, on 10T02, off 10T03, off 10T04, on 10T05"
    assert totals(peaks([(text, RHEL)], 10, 12)) == {10: 1, 11: 1, 12: 1}


def test_w11_zero_length_comes_after_ends_and_before_starts():
    zero = ("on 10T05, off 10T05", RHEL)
    assert totals(peaks([zero], 10)) == {10: 1}
    assert totals(peaks([zero, zero], 10)) == {10: 1}
    assert totals(peaks([zero, ("on 10T04, off 10T05", RHEL)], 10)) == {10: 1}
    assert totals(peaks([("on 10T05, off 10T06", RHEL), zero], 10)) == {10: 1}
    assert totals(peaks([zero, ("on 10T04, off 10T06", RHEL)], 10)) == {10: 2}


def test_w12_several_arches_roles_and_slas():
    found = peaks(
        [
            ("on 10T01, off 10T05", RHEL),
            ("on 10T03, off 10T07", RHEL._replace(arch="arm64", sla="Standard")),
            ("on 10T06, off 10T08", BLANK),
        ],
        10,
    )[10]
    assert len(found) == 62
    assert found[TOTAL] == 2
    assert found[key(arch="x86_64")] == 1
    assert found[key(arch="arm64")] == 1
    assert found[key(role=SERVER)] == 2
    assert found[key(role="")] == 1
    assert found[key(sla="Premium")] == 1
    assert found[key(sla="Standard")] == 1
    assert found[key(sla="")] == 1
    assert found[key(usage="Production")] == 1 + 1
    assert found[key(arch="x86_64", sla="Premium")] == 1
    assert found[key(arch="x86_64", sla="")] == 1
    assert found[key(usage="Production", service_type="L3")] == 2
    assert key(arch="arm64", sla="Premium") not in found
    assert all(ANY in (one.arch, one.role) for one in found)
    pairs = [(one.arch, one.role) for one in found]
    assert pairs.count((ANY, ANY)) == 19
    assert pairs.count(("x86_64", ANY)) == 15
    assert pairs.count(("arm64", ANY)) == 8
    assert pairs.count((ANY, SERVER)) == 12
    assert pairs.count((ANY, "")) == 8


def test_w13_staircase():
    def facets(arch, sla):
        return Facets(arch, "R", sla, "", "")

    found = peaks(
        [
            ("on 10T01, off 10T09", facets("x86_64", "S0")),
            ("on 10T02, off 10T08", facets("x86_64", "S1")),
            ("on 10T03, off 10T07", facets("x86_64", "S0")),
            ("on 10T04, off 10T06", facets("arm64", "S1")),
            ("on 10T08, off 10T10", facets("arm64", "S0")),
        ],
        10,
    )[10]
    assert len(found) == 48
    assert found[TOTAL] == 4
    assert found[key(arch="x86_64")] == 3
    assert found[key(arch="arm64")] == 1
    assert found[key(role="R")] == 4
    assert found[key(sla="S0")] == 2
    assert found[key(sla="S1")] == 2
    assert found[key(arch="x86_64", sla="S0")] == 2
    assert found[key(arch="arm64", sla="S0")] == 1
    assert found[key(arch="arm64", sla="S1")] == 1
    assert found[key(usage="")] == 4


def test_w17_long_run_over_a_leap_day():
    spans = [(micros(at("2024-02-28T12")), micros(at("2024-03-01T00")), 0)]
    window = daily_peaks(spans, {0: RHEL}, datetime.date(2024, 2, 27), datetime.date(2024, 3, 2))
    assert [dict(counts).get(TOTAL) for _, counts in window] == [None, 1, 1, 1, None]


def test_w20_sharing_a_prefix_is_one_role_after_the_cut():
    role = ("R" * 64 + "aaa")[:64]
    found = peaks([("on 10T01, off 10T02", BLANK._replace(role=role))] * 2, 10)[10]
    assert len(found) == 24
    assert found[key(role=role)] == 2


def test_w21_partly_missing_syspurpose():
    found = peaks(
        [("on 10T01, off 10T02", BLANK._replace(role="R")), ("on 10T01:30, off 10T02:30", BLANK)],
        10,
    )[10]
    assert len(found) == 32
    assert sorted(found.values()) == [1] * 16 + [2] * 16
    assert {one.role for one, count in found.items() if count == 2} == {ANY}


def test_w23_case_and_blanks_make_different_roles():
    roles = ["Server", "server", " Server"]
    found = peaks([("on 10T01, off 10T02", BLANK._replace(role=role)) for role in roles], 10)[10]
    assert len(found) == 40
    assert found[TOTAL] == 3
    assert all(found[key(role=role)] == 1 for role in roles)


def test_disjoint_facets_have_47_entries_and_two_empty_ones_36():
    other = Facets("arm64", "Other", "Standard", "Development/Test", "L1-L3")
    assert len(peaks([("on 10T01", RHEL), ("on 10T01", other)], 10)[10]) == 47
    blank_sla = BLANK._replace(sla="Premium")
    assert len(peaks([("on 10T01", BLANK), ("on 10T01", blank_sla)], 10)[10]) == 36


def test_scenario_19_value_any():
    found = peaks([("on 10T01", RHEL._replace(sla=ANY))], 10)[10]
    assert len(found) == 12
    assert found[TOTAL] == 1


def test_order_is_that_of_first_appearance_also_on_later_days():
    early, late = RHEL._replace(arch="arm64"), RHEL
    instances = [("on 10T05", late), ("on 09T05, off 12T00", early), ("on 13T01", early)]
    found = peaks(instances, 10, 13)

    def arches(number):
        return [one.arch for one in found[number] if one.arch != ANY and one.sla == ANY][::4]

    assert [arches(number) for number in (10, 11, 12, 13)] == [
        ["arm64", "x86_64"],
        ["arm64", "x86_64"],
        ["arm64", "x86_64"],
        ["x86_64", "arm64"],
    ]


def test_days_without_change_repeat_the_day_before():
    found = list(daily_peaks([(0, None, 0)], {0: RHEL}, day(1), day(31)))
    assert len(found) == 31
    assert found[1][1] is found[30][1]


def test_start_of_and_day_of_are_inverse():
    assert moment(start_of(day(10))) == at("10T00")
    assert day_of(start_of(day(10))) == day(10)
    assert day_of(start_of(day(10)) - 1) == day(9)


FACETS = st.sampled_from(
    [
        RHEL,
        RHEL._replace(arch="arm64"),
        RHEL._replace(sla=ANY),
        BLANK,
        Facets("arm64", SERVER, "", "Production", ANY),
    ]
)
QUARTERS = st.integers(0, 5 * 4)
RUNS = st.lists(st.tuples(QUARTERS, st.none() | st.integers(0, 6), FACETS | st.none()), max_size=12)


@given(RUNS)
def test_equals_the_reference(drawn):
    """Instants are six hours apart, so that ties, also at midnight, are the rule."""
    base, quarter = at("08T00"), datetime.timedelta(hours=6)
    runs = [
        reference.ReferenceRun(
            base + start * quarter,
            None if length is None else base + (start + length) * quarter,
            facets,
        )
        for start, length, facets in drawn
    ]
    combinations = list(dict.fromkeys(run.facets for run in runs if run.facets))
    spans = [
        (micros(run.start), micros(run.end), combinations.index(run.facets))
        for run in runs
        if run.facets
    ]
    for date, found in daily_peaks(spans, dict(enumerate(combinations)), day(7), day(14)):
        assert dict(found) == reference.expected_counts(runs, date)
        assert not found or found[0][0] == TOTAL


@given(RUNS, st.integers(7, 14))
def test_a_window_gives_what_its_days_give_alone(drawn, number):
    begin, quarter = start_of(day(8)), 6 * 3_600_000_000
    spans = [
        (
            begin + start * quarter,
            None if length is None else begin + (start + length) * quarter,
            0,
        )
        for start, length, _ in drawn
    ]
    window = dict(daily_peaks(spans, {0: RHEL}, day(7), day(14)))
    assert dict(daily_peaks(spans, {0: RHEL}, day(number), day(number))) == {
        day(number): window[day(number)]
    }
