"""What is proved of a day (spec 10 §2, §4; the acceptance cases are numbered as there)."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.coverage.proofs import (
    HOUR,
    SECOND,
    Audit,
    CoverageRules,
    DayEvidence,
    GapSpan,
    Span,
    Switch,
    judge,
    metered_parts,
)
from api.metering.concurrency import DAY, start_of
from tests.api.metering.notation import at, day, micros

BEGIN = start_of(day(10))
AWS = CoverageRules(limit=12 * HOUR, reason="describe_gap", needs_audit=True)
AZURE = CoverageRules(limit=2 * HOUR + HOUR // 2, reason="poll_missed", needs_audit=False)
AUDITED = Audit(is_done=True, is_due=False)
ON = "on 01T00"


def instant(text):
    return micros(at(text))


def switches(text):
    pairs = (word.split() for word in text.split(","))
    return [Switch(instant(when), kind == "on") for kind, when in pairs]


def scans(text):
    """Read when describes began; each takes a minute."""
    return [Span(instant(one), instant(one) + 60 * SECOND) for one in text.split()]


def gap(text):
    since, until, reason = text.split()
    return GapSpan(instant(since), instant(until), reason)


def verdict(
    regions=("09T18 10T00 10T06 10T12 10T18 11T00",),
    metered=ON,
    found=(),
    unsure=(),
    rules=AWS,
    audit=AUDITED,
    now="11T03",
):
    evidence = DayEvidence(
        switches=switches(metered) if metered else [],
        scans=[scans(one) for one in regions],
        found=[gap(one) for one in found],
        unsure=[Span(instant(since), instant(until)) for since, until in unsure],
    )
    return judge(day(10), evidence, rules, audit, instant(now))


def shown(result):
    """Write the gaps as ``10T06 10T12 reason``, to the minute."""

    def moment(value):
        minutes = (value - BEGIN) // (60 * SECOND)
        hours, minutes = divmod(minutes, 60)
        days, hours = divmod(hours, 24)
        return f"{10 + days}T{hours:02}" + (f":{minutes:02}" if minutes else "")

    return [f"{moment(one.start)} {moment(one.end)} {one.reason}" for one in result.gaps]


def test_acceptance_1_all_proofs_hold():
    assert verdict() == ("complete", 86400, [])


def test_acceptance_2_an_unprocessed_log_is_a_gap():
    result = verdict(found=["10T11:45 10T12 log_unprocessed"])
    assert (result.state, shown(result)) == ("partial", ["10T11:45 10T12 log_unprocessed"])


def test_acceptance_3_an_idle_account_is_complete_while_describes_succeed():
    assert verdict(regions=["09T23 10T05 10T11 10T17 10T23 11T05"]).state == "complete"


def test_acceptance_3_describes_that_fail_for_13_hours():
    result = verdict(regions=["09T23 10T05 10T18:02 11T00"])
    assert (result.state, shown(result)) == ("partial", ["10T05:01 10T18:02 describe_gap"])


def test_acceptance_4_a_paused_account_is_complete():
    result = verdict(
        regions=["09T18 10T06 10T12:01 10T18 11T00"], metered="on 01T00, off 10T10, on 10T12"
    )
    assert (result.state, result.metered_seconds) == ("complete", 22 * 3600)
    assert shown(result) == ["10T10 10T12 not_metered"]


def test_acceptance_5_a_correction_bounds_the_error():
    result = verdict(unsure=[("10T06", "10T12")])
    assert (result.state, shown(result)) == ("corrected", ["10T06 10T12 correction"])


def test_acceptance_6_a_log_that_was_never_delivered():
    result = verdict(found=["10T03 10T03:15 log_missing"], unsure=[("10T06", "10T12")])
    assert result.state == "partial"
    assert shown(result) == ["10T03 10T03:15 log_missing", "10T06 10T12 correction"]


@pytest.mark.parametrize(("missed", "state"), [([5], "complete"), ([5, 6, 7], "partial")])
def test_acceptance_7_polls(missed, state):
    polls = [f"10T{hour:02}:10" for hour in range(24) if hour not in missed]
    result = verdict(regions=[" ".join(["09T23:10", *polls, "11T00:10"])], rules=AZURE)
    assert result.state == state
    assert shown(result) == (["10T04:11 10T08:10 poll_missed"] if state == "partial" else [])


def test_acceptance_10_an_outage_is_a_gap_while_it_lasts():
    result = verdict(found=["10T23 11T02 ingest_outage"])
    assert (result.state, shown(result)) == ("partial", ["10T23 11T00 ingest_outage"])


def test_nothing_metered_is_off():
    assert verdict(metered="", regions=()).state == "off"
    result = verdict(metered="on 01T00, off 09T12", regions=())
    assert (result.state, result.metered_seconds) == ("off", 0)
    assert shown(result) == ["10T00 11T00 not_metered"]


def test_today_is_open_and_shows_its_gaps_so_far():
    result = verdict(regions=["09T18 10T00"], now="10T15")
    assert (result.state, result.metered_seconds) == ("open", 15 * 3600)
    assert shown(result) == ["10T00:01 10T15 describe_gap"]
    assert verdict(metered="on 01T00, off 09T00", regions=(), now="10T15").state == "off"
    assert shown(verdict(regions=["09T18 10T10"], now="10T15")) == ["10T00 10T10 describe_gap"]


def test_a_day_waits_for_the_describe_after_it():
    assert verdict(regions=["09T18 10T06 10T18"], now="11T03").state == "open"
    result = verdict(regions=["09T18 10T06 10T18"], now="11T07")
    assert (result.state, shown(result)) == ("partial", ["10T18:01 11T00 describe_gap"])


def test_a_day_waits_for_the_audit_while_it_may_come():
    assert verdict(audit=Audit(is_done=False, is_due=True)).state == "open"
    assert verdict(audit=Audit(is_done=False, is_due=False)) == ("partial", 86400, [])
    assert (
        verdict(audit=Audit(False, False), rules=AZURE, regions=[every_hour()]).state == "complete"
    )


def every_hour():
    return " ".join(["09T23", *(f"10T{hour:02}" for hour in range(24)), "11T00"])


def test_a_pause_proves_the_end_and_needs_no_describe_after_it():
    result = verdict(regions=["09T18 10T06"], metered="on 01T00, off 10T15")
    assert (result.state, result.metered_seconds) == ("complete", 15 * 3600)
    result = verdict(regions=["09T18 10T02"], metered="on 01T00, off 10T15")
    assert shown(result) == ["10T02:01 10T15 describe_gap", "10T15 11T00 not_metered"]


def test_a_describe_within_an_hour_of_enabling_proves_the_beginning():
    result = verdict(regions=["10T10:59 10T17 10T23 11T05"], metered="on 10T10")
    assert (result.state, shown(result)) == ("complete", ["10T00 10T10 not_metered"])
    result = verdict(regions=["10T11:01 10T17 10T23 11T05"], metered="on 10T10")
    assert "10T10 10T11:01 describe_gap" in shown(result)


def test_a_describe_before_the_beginning_proves_it_as_well():
    result = verdict(regions=["10T09 10T17 10T23 11T05"], metered="on 10T10")
    assert result.state == "complete"


def test_an_account_enabled_shortly_before_midnight():
    assert (
        verdict(regions=["10T00:20 10T06 10T18 11T00"], metered="on 09T23:40").state == "complete"
    )
    result = verdict(regions=["10T01:20 10T06 10T18 11T00"], metered="on 09T23:40")
    assert shown(result) == ["10T00 10T01:20 describe_gap"]


def test_enabled_and_disabled_without_any_describe():
    result = verdict(regions=(), metered="on 10T10, off 10T11")
    assert (result.state, result.metered_seconds) == ("partial", 3600)


def test_every_region_in_use_must_be_proved():
    whole = "09T18 10T00 10T06 10T12 10T18 11T00"
    result = verdict(regions=[whole, "09T18 10T00 10T18 11T00"])
    assert shown(result) == ["10T00:01 10T18 describe_gap"]
    assert verdict(regions=[whole, ""]).gaps == [gap("10T00 11T00 describe_gap")]


def test_gaps_that_overlap_are_one():
    result = verdict(
        found=["10T11:45 10T12 log_unprocessed", "10T11:50 10T12:05 log_unprocessed"],
        unsure=[("10T06", "10T12"), ("10T08", "10T13"), ("09T08", "09T13")],
    )
    assert shown(result) == ["10T06 10T13 correction", "10T11:45 10T12:05 log_unprocessed"]


def test_a_correction_without_length_bounds_nothing():
    assert verdict(unsure=[("10T06", "10T06")]).state == "complete"


moments = st.integers(min_value=-12, max_value=40).map(lambda hour: BEGIN + hour * HOUR)


@given(
    st.lists(st.tuples(moments, st.booleans()), max_size=6),
    st.lists(st.lists(moments, max_size=8), max_size=2),
    st.lists(st.tuples(moments, moments), max_size=3),
    moments,
)
def test_gaps_lie_within_the_day_and_are_ordered(changes, regions, unsure, now):
    evidence = DayEvidence(
        switches=[Switch(*one) for one in sorted(changes)],
        scans=[[Span(one, one + SECOND) for one in sorted(times)] for times in regions],
        unsure=[Span(*sorted(one)) for one in unsure],
    )
    state, seconds, gaps = judge(day(10), evidence, AWS, AUDITED, now)
    limit = min(BEGIN + DAY, max(now, BEGIN))
    assert all(BEGIN <= one.start < one.end <= limit for one in gaps)
    assert gaps == sorted(gaps)
    for reason in {one.reason for one in gaps}:
        spans = [(one.start, one.end) for one in gaps if one.reason == reason]
        assert all(before[1] < after[0] for before, after in itertools.pairwise(spans))
    not_metered = sum(one.end - one.start for one in gaps if one.reason == "not_metered")
    assert seconds * SECOND + not_metered == limit - BEGIN
    assert (state == "off") == (seconds == 0)
    if state == "complete":
        assert {one.reason for one in gaps} <= {"not_metered"}


@given(st.lists(st.tuples(moments, st.booleans()), max_size=6))
def test_metered_parts_are_where_the_last_switch_is_on(changes):
    ordered = [Switch(*one) for one in sorted(changes)]
    parts = metered_parts(ordered, BEGIN, BEGIN + DAY)
    for hour in range(24):
        moment = BEGIN + hour * HOUR + 1
        before = [is_on for when, is_on in ordered if when <= moment]
        assert any(one.start <= moment < one.end for one in parts) == bool(before and before[-1])


@given(
    st.lists(moments, min_size=1, max_size=12, unique=True),
    st.integers(min_value=0, max_value=11),
)
def test_one_more_describe_never_makes_a_day_worse(times, place):
    """More evidence leaves no more seconds unproved."""
    fewer = sorted(times)
    extra = fewer.pop(place % len(fewer))

    def unproved(moments):
        found = judge(
            day(10),
            DayEvidence(switches=switches(ON), scans=[[Span(one, one) for one in moments]]),
            AWS,
            AUDITED,
            BEGIN + 3 * DAY,
        )
        return sum(one.end - one.start for one in found.gaps)

    assert unproved(sorted([*fewer, extra])) <= unproved(fewer)
