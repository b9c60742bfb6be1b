"""How long Azure asks us to wait (fault 5; decision 51)."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.clouds.azure.retry_after import is_long, seconds_to_wait

ANSWERED = "Wed, 21 Oct 2026 07:28:00 GMT"


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"Retry-After": "17"}, 17),
        ({"retry-after": " 1.5 "}, 1.5),
        ({"Retry-After": "0"}, 0),
        ({"Retry-After": "-3"}, 0),
        ({"x-ms-retry-after-ms": "1500"}, 1.5),
        ({"Retry-After-Ms": "250"}, 0.25),
        ({"Retry-After": "3600", "x-ms-retry-after-ms": "1"}, 3600),
        ({"Retry-After": "Wed, 21 Oct 2026 07:38:00 GMT", "Date": ANSWERED}, 600),
        ({"Retry-After": "Wed, 21 Oct 2026 07:18:00 GMT", "Date": ANSWERED}, 0),
        ({"Retry-After": "Wed, 21 Oct 2026 07:38:00 GMT"}, None),
        ({"Retry-After": "Wed, 21 Oct 2026 07:38:00 GMT", "Date": "today"}, None),
        ({"Retry-After": "soon", "Date": ANSWERED}, None),
        ({"Retry-After": "9" * 400}, 1e15),
        ({"Retry-After": "nan"}, None),
        ({"Retry-After": "inf", "Date": ANSWERED}, None),
        ({"x-ms-retry-after-ms": "soon"}, None),
        ({"Retry-After": ""}, None),
    ],
)
def test_seconds(headers, seconds):
    assert seconds_to_wait(headers) == seconds


@pytest.mark.parametrize(("seconds", "expected"), [(None, False), (20, False), (21, True)])
def test_what_is_left_to_the_task(seconds, expected):
    assert is_long(seconds) is expected


@given(st.dictionaries(st.sampled_from(["Retry-After", "Date", "retry-after-ms"]), st.text()))
def test_no_header_breaks_anything(headers):
    wait = seconds_to_wait(headers)
    assert wait is None or wait >= 0
