"""Cutting log files into records (spec 04 §8.4)."""

import gzip
import json
import zlib

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from api.clouds.aws.logtext import (
    TextTooLongError,
    UnreadableTextError,
    cut,
    gunzip,
    iter_records,
)

awkward_texts = st.text(st.sampled_from('ab"\\{}[],:\0é\n')) | st.sampled_from(
    ['},{"eventVersion":', '"}]}', "\\", '\\"', "}}", '"eventVersion":"1.08"']
)
values = st.recursive(
    st.none() | st.booleans() | st.integers() | awkward_texts,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["eventVersion", "a", '"b\\']), inner, max_size=3)
    ),
    max_leaves=12,
)
records = st.builds(
    lambda version, others: {"eventVersion": version, **others},
    st.sampled_from(["1.08", "1.11"]),
    st.dictionaries(st.sampled_from(["eventName", "requestParameters", "x"]), values, max_size=3),
)


def compact(document, **options):
    return json.dumps(document, separators=(",", ":"), **options).encode()


def decoded(text, skip=lambda body: None):
    return [record for _, record, _ in iter_records(text, skip)]


@settings(max_examples=300)
@given(logs=st.lists(records, min_size=1, max_size=4), ascii_only=st.booleans())
@example(
    [{"eventVersion": "1", "x": [{"a": "}}"}, {"eventVersion": "2"}, {"eventVersion": "]}"}]}], True
)
def test_records_are_what_json_says(logs, ascii_only):
    text = compact({"Records": logs}, ensure_ascii=ascii_only)
    assert decoded(text) == logs


@given(st.lists(records, min_size=1, max_size=4))
def test_every_cut_lies_between_two_records(logs):
    bodies = cut(compact({"Records": logs}))
    if bodies is not None:
        assert [json.loads(b'{"eventVersion":' + body + b"}") for body in bodies] == logs


def test_plain_records_are_cut_without_decoding():
    logs = [{"eventVersion": "1", "n": {"a": [1, {}], "t": 'x"{'}} for _ in range(3)]
    assert len(cut(compact({"Records": logs}))) == 3


def test_a_nested_record_is_not_taken_for_one_of_the_file():
    forged = {"eventVersion": "1", "eventName": "RunInstances"}
    log = [{"eventVersion": "1", "x": [{"eventVersion": "1"}, forged, {"eventVersion": "1"}]}]
    text = compact({"Records": log})
    assert cut(text) is None
    assert decoded(text) == log


def test_a_forged_record_between_strings_full_of_brackets():
    forged = {"eventVersion": "1", "eventName": "RunInstances"}
    log = [{"eventVersion": "1", "x": [{"eventVersion": "]}}"}, forged, {"eventVersion": "{{["}]}]
    assert decoded(compact({"Records": log})) == log


def test_skipped_records_keep_their_place():
    logs = [{"eventVersion": "1", "eventName": name} for name in ("a", "b", "c")]
    skip = lambda body: None if b'"b"' in body else "dull"  # noqa: E731
    assert list(iter_records(compact({"Records": logs}), skip)) == [
        (0, None, "dull"),
        (1, logs[1], None),
        (2, None, "dull"),
    ]


@pytest.mark.parametrize(
    "document",
    [
        {"Records": []},
        {"Records": [None, 1, "x", {}]},
        {"Records": [{"eventVersion": "1"}, {"a": 1}]},
        {"More": 1, "Records": [{"eventVersion": "1"}]},
    ],
)
def test_files_of_another_form_are_decoded(document):
    assert decoded(compact(document)) == document["Records"]
    assert decoded(json.dumps(document, indent=1).encode()) == document["Records"]


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"hello world",
        b"{}",
        b"[]",
        b"null",
        b'{"Records":{}}',
        b'{"Records":null}',
        b'{"Records":[{"eventVersion":"1"',
        b'{"Records":[{"eventVersion":"1"}]}]}',
        b"[" * 100_000,
    ],
)
def test_what_is_no_log(text):
    with pytest.raises(UnreadableTextError):
        decoded(text)


def test_text_that_is_not_utf_8():
    with pytest.raises(UnicodeDecodeError):
        decoded(b'{"Records":[{"eventVersion":"\xff"}]}')


def test_a_record_that_is_not_json_is_none_and_its_neighbours_live():
    text = b'{"Records":[{"eventVersion":"1"},{"eventVersion":tru},{"eventVersion":"2"}]}'
    assert decoded(text) == [{"eventVersion": "1"}, None, {"eventVersion": "2"}]


@given(st.binary(max_size=200), st.binary(max_size=200))
def test_gunzip_undoes_gzip(first, second):
    assert gunzip(gzip.compress(first, mtime=0)) == first
    assert gunzip(gzip.compress(first, mtime=0) + gzip.compress(second, mtime=0)) == first + second


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"plain", id="not gzip"),
        pytest.param(gzip.compress(b"x" * 1000, mtime=0)[:-9], id="cut short"),
        pytest.param(gzip.compress(b"x", mtime=0) + b"more", id="followed by something else"),
    ],
)
def test_damaged_gzip(data):
    with pytest.raises((zlib.error, EOFError)):
        gunzip(data)


def test_a_bomb_is_not_unpacked():
    assert gunzip(gzip.compress(bytes(1000)), limit=1000) == bytes(1000)
    with pytest.raises(TextTooLongError):
        gunzip(gzip.compress(bytes(1001)), limit=1000)
