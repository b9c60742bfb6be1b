"""Messages about new objects (spec 04 §8.2)."""

import json
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.clouds.aws.cloudtrail.s3_notifications import (
    VALIDATION,
    Form,
    NotifiedObject,
    UnknownFormError,
    UnreadableBodyError,
    parse_notification,
)
from tests.generators import cloudtrail as trail

WRAPS = pytest.mark.parametrize("wrap", [str, trail.sns_envelope], ids=["plain", "through SNS"])
KEY = "AWSLogs/1/a b+c%3D=é.gz"
MOMENT = datetime(2020, 1, 2, 12, 0, 1, tzinfo=UTC)


@WRAPS
def test_what_s3_announces(wrap):
    body = trail.notification("b", "AWSLogs/1/x.gz", "AWSLogs/2/y.gz", at=MOMENT, size=7)
    assert parse_notification(wrap(body)) == (
        Form.S3,
        [
            NotifiedObject("b", "AWSLogs/1/x.gz", "0" * 32, 7, MOMENT),
            NotifiedObject("b", "AWSLogs/2/y.gz", "0" * 32, 7, MOMENT),
        ],
    )


@WRAPS
def test_what_eventbridge_tells_of_s3(wrap):
    body = trail.eventbridge_event("b", KEY, at=MOMENT, size=7)
    assert parse_notification(wrap(body)) == (
        Form.EVENTBRIDGE,
        [NotifiedObject("b", KEY, "0" * 32, 7, MOMENT)],
    )


@WRAPS
def test_what_cloudtrail_itself_announces(wrap):
    body = trail.cloudtrail_notice("b", "AWSLogs/1/x.gz", KEY)
    assert parse_notification(wrap(body)) == (
        Form.CLOUDTRAIL,
        [NotifiedObject("b", "AWSLogs/1/x.gz"), NotifiedObject("b", KEY)],
    )


def test_keys_of_s3_are_decoded():
    body = trail.notification("b", KEY)
    assert "a+b%2Bc" in body
    assert parse_notification(body).objects[0].key == KEY


@WRAPS
@pytest.mark.parametrize("body", [trail.s3_test_event("b"), VALIDATION])
def test_test_messages_announce_nothing(wrap, body):
    assert parse_notification(wrap(body)) == (Form.TEST, [])


@pytest.mark.parametrize("body", [{"Records": []}, {"s3Bucket": "b", "s3ObjectKey": []}])
def test_messages_about_nothing(body):
    assert parse_notification(json.dumps(body)).objects == []


def test_what_is_left_out_is_unknown():
    body = json.dumps({"Records": [{"s3": {"bucket": {"name": "b"}, "object": {"key": "k"}}}]})
    assert parse_notification(body).objects == [NotifiedObject("b", "k", "", None, None)]
    event = {"source": "aws.s3", "detail-type": "Object Created"}
    event["detail"] = {"bucket": {"name": "b"}, "object": {"key": "k"}}
    assert parse_notification(json.dumps(event)).objects == [
        NotifiedObject("b", "k", "", None, None)
    ]


@WRAPS
@pytest.mark.parametrize(
    ("said", "found"),
    [
        ({"eTag": "a\0"}, ("", None)),
        ({"eTag": "\ud800"}, ("", None)),
        ({"eTag": "e" * 5000}, ("", None)),
        ({"eTag": 7, "size": "7"}, ("", None)),
        ({"eTag": "e", "size": 2**63}, ("e", None)),
        ({"eTag": "e", "size": -1}, ("e", None)),
        ({"eTag": "e", "size": True}, ("e", None)),
        ({"eTag": "e", "size": 2**63 - 1}, ("e", 2**63 - 1)),
    ],
)
def test_odd_values_beside_the_name_are_unknown(wrap, said, found):
    """Fault 28: nothing that a message says beside the name keeps a log from being read."""
    record = {"s3": {"bucket": {"name": "b"}, "object": {"key": "k", **said}}}
    (announced,) = parse_notification(wrap(json.dumps({"Records": [record]}))).objects
    assert announced == NotifiedObject("b", "k", *found)


@pytest.mark.parametrize(
    ("time", "found"),
    [
        ("2020-01-02T12:00:01Z", MOMENT),
        ("2020-01-03T11:59:01+23:59", MOMENT),
        ("0001-01-01T00:00:00+23:59", None),
        ("9999-12-31T23:59:59-23:59", None),
        ("2020-01-02T12:00:01", None),
        (7, None),
    ],
)
def test_times_of_notifications_are_in_utc(time, found):
    record = {"eventTime": time, "s3": {"bucket": {"name": "b"}, "object": {"key": "k"}}}
    (announced,) = parse_notification(json.dumps({"Records": [record]})).objects
    assert announced.announced_at == found
    assert found is None or announced.announced_at.tzinfo is UTC


@WRAPS
@pytest.mark.parametrize(
    "document",
    [
        {},
        {"a": 1},
        {"Type": "SubscriptionConfirmation", "Message": "You have chosen to subscribe"},
        {"s3Bucket": "b"},
        {"source": "aws.s3", "detail-type": "Object Deleted", "detail": {}},
        {"source": "aws.ec2", "detail-type": "Object Created", "detail": {}},
        {"source": ["aws.s3"], "detail-type": {}},
        {"Event": "s3:Other"},
    ],
)
def test_unknown_forms(wrap, document):
    """04 §8.2 BETTER: they end in the dead letter queue."""
    with pytest.raises(UnknownFormError):
        parse_notification(wrap(json.dumps(document)))


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
        '{"Records": [{"s3": {"bucket": {"name": "b\\u0000"}, "object": {"key": "k"}}}]}',
        '{"Records": [{"s3": {"bucket": {"name": "\\ud800"}, "object": {"key": "k"}}}]}',
        json.dumps({"s3Bucket": "b" * 256, "s3ObjectKey": ["k"]}),
        '{"s3Bucket": "b", "s3ObjectKey": "AWSLogs/x"}',
        '{"s3Bucket": "b", "s3ObjectKey": [1]}',
        '{"s3Bucket": "", "s3ObjectKey": ["k"]}',
        '{"source": "aws.s3", "detail-type": "Object Created"}',
        '{"source": "aws.s3", "detail-type": "Object Created", "detail": {"bucket": []}}',
        '{"Type": "Notification", "Message": "hello"}',
        '{"Type": "Notification", "Message": null}',
        '{"Type": "Notification"}',
        "[" * 100_000,
    ],
)
def test_bodies_that_nobody_should_write(body):
    with pytest.raises(UnreadableBodyError):
        parse_notification(body)


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                [
                    *("Records", "s3", "bucket", "name", "object", "key", "Type", "Message"),
                    *("s3Bucket", "s3ObjectKey", "source", "detail-type", "detail"),
                ]
            ),
            inner,
            max_size=4,
        )
    ),
)


@given(values | st.fixed_dictionaries({"Records": st.lists(values, max_size=3)}))
def test_any_body_is_read_or_refused(document):
    try:
        notified = parse_notification(json.dumps(document)).objects
    except UnreadableBodyError:
        return
    assert all(one.bucket and isinstance(one.key, str) for one in notified)
