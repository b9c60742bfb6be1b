"""Reading and writing dates and date-times (spec 01 §1.1, §7.1, §8.3)."""

import contextlib
from datetime import UTC, date, datetime, time, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.public.timestamps import parse_day, parse_instant, render_instant

offsets = st.integers(-14 * 60, 14 * 60).map(lambda minutes: timezone(timedelta(minutes=minutes)))
# Two days from the ends of time, so that every offset can be converted.
moments = st.datetimes(
    datetime(1, 1, 3), datetime(9999, 12, 29), timezones=st.one_of(st.just(UTC), offsets)
)


@given(moments, st.sampled_from("T "))
def test_instants_of_any_offset(moment, separator):
    assert parse_instant(moment.isoformat(separator)) == moment
    assert parse_instant(moment.isoformat(separator)).tzinfo is UTC


@given(st.datetimes())
def test_instants_without_offset_are_utc(moment):
    assert parse_instant(moment.isoformat()) == moment.replace(tzinfo=UTC)


@given(st.dates())
def test_bare_dates_are_midnight(day):
    assert parse_instant(f" {day} ") == datetime.combine(day, time(), UTC)


@given(st.datetimes(timezones=st.just(UTC)))
def test_what_is_written_can_be_read(moment):
    text = render_instant(moment)
    assert parse_instant(text) == moment
    assert text.endswith("Z")
    assert ("." in text) == (moment.microsecond != 0)


@given(moments, st.sampled_from(["%Y-%m-%d", "%Y%m%d"]))
def test_days_are_taken_as_written(moment, form):
    # strftime does not pad years.
    day = moment.date()
    text = day.isoformat() if form == "%Y-%m-%d" else day.isoformat().replace("-", "")
    assert parse_day(text) == day
    assert parse_day(moment.isoformat()) == day
    assert parse_day(moment.isoformat(" ")) == day


@pytest.mark.parametrize(
    "text",
    ["2019-01-02T12", "2019-01-02T1200", "2019-01-02T12:00:00,5+01", "2019-01-02 12:00-0130"],
)
def test_other_iso_times_of_a_day(text):
    assert parse_day(text) == date(2019, 1, 2)


@given(st.text())
def test_nothing_else_is_raised(text):
    for parse in (parse_day, parse_instant):
        with contextlib.suppress(ValueError):
            parse(text)
