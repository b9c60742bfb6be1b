"""Messages about new objects (spec 04 §8.2)."""

import json
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.clouds.aws.announcements import (
    Announced,
    UnreadableBodyError,
    is_test_message,
    parse_announcements,
)
from tests.generators import cloudtrail as trail


def test_what_s3_announces():
    moment = datetime(2020, 1, 2, 12, 0, 1, tzinfo=UTC)
    body = trail.notification("b", "AWSLogs/1/x.gz", "AWSLogs/2/y.gz", at=moment, size=7)
    assert parse_announcements(body) == [
        Announced("b", "AWSLogs/1/x.gz", "0" * 32, 7, moment),
        Announced("b", "AWSLogs/2/y.gz", "0" * 32, 7, moment),
    ]


def test_keys_are_decoded():
    body = trail.notification("b", "AWSLogs/1/a b+c=é.gz")
    assert "a+b%2Bc" in body
    assert parse_announcements(body)[0].key == "AWSLogs/1/a b+c=é.gz"


def test_an_envelope_of_sns():
    body = trail.sns_envelope(trail.notification("b", "AWSLogs/1/x.gz"))
    assert [one.key for one in parse_announcements(body)] == ["AWSLogs/1/x.gz"]


@pytest.mark.parametrize("wrap", [str, trail.sns_envelope])
def test_test_messages_announce_nothing(wrap):
    body = wrap(trail.s3_test_event("b"))
    assert parse_announcements(body) == []


def test_what_is_a_test_message():
    assert is_test_message(trail.s3_test_event("b"))
    assert not is_test_message("{}")
    assert not is_test_message("hello")


def test_what_s3_leaves_out_is_unknown():
    body = json.dumps({"Records": [{"s3": {"bucket": {"name": "b"}, "object": {"key": "k"}}}]})
    assert parse_announcements(body) == [Announced("b", "k", "", None, None)]


@pytest.mark.parametrize(
    "body",
    [
        "",
        "hello world",
        "[]",
        "null",
        "7",
        '{"Records": null}',
        '{"Records": {}}',
        '{"Records": [{}]}',
        '{"Records": [null]}',
        '{"Records": [{"s3": null}]}',
        '{"Records": [{"s3": {"bucket": {"name": 1}, "object": {"key": "k"}}}]}',
        '{"Records": [{"s3": {"bucket": {"name": "b"}, "object": {"key": ""}}}]}',
        '{"Type": "Notification", "Message": "hello"}',
        '{"Type": "Notification", "Message": null}',
        '{"Type": "Notification"}',
        "[" * 100_000,
    ],
)
def test_bodies_that_nobody_should_write(body):
    with pytest.raises(UnreadableBodyError):
        parse_announcements(body)


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["Records", "s3", "bucket", "name", "object", "key", "Type", "Message"]
            ),
            inner,
            max_size=4,
        )
    ),
)


@given(values | st.fixed_dictionaries({"Records": st.lists(values, max_size=3)}))
def test_any_body_is_read_or_refused(document):
    try:
        announced = parse_announcements(json.dumps(document))
    except UnreadableBodyError:
        return
    assert all(one.bucket and isinstance(one.key, str) for one in announced)
