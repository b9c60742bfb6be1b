"""Reading log files into records (spec 04 §8.4; fault 2)."""

import codecs
import contextlib
import gzip
import json
import math
import random
import zlib

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from api.clouds.aws.cloudtrail import parse
from api.clouds.aws.cloudtrail.parse import (
    DAMAGED_GZIP,
    Record,
    TextTooLongError,
    UnreadableTextError,
    decoded,
    gunzip,
    read_records,
)
from tests.generators.json_forms import documents, forms

MEMBERS = {
    "source": "eventSource",
    "name": "eventName",
    "error_code": "errorCode",
    "time": "eventTime",
    "event_id": "eventID",
    "region": "awsRegion",
    "identity": "userIdentity",
    "recipient": "recipientAccountId",
    "request": "requestParameters",
    "response": "responseElements",
    "service_event": "serviceEventDetails",
}
"""What ingest uses of a record, by its name there."""

UNKNOWN = ("eventVersion", "userAgent", "tlsDetails")


def seen(record):
    """What ingest sees of a record of ``read_records``."""
    if record is None:
        return None
    return {spelled: decoded(getattr(record, name)) for name, spelled in MEMBERS.items()}


def expected(record):
    """The same of one that ``json.loads`` has read."""
    if not isinstance(record, dict):
        return None
    return {spelled: record.get(spelled) for spelled in MEMBERS.values()}


def read(text):
    return [seen(record) for record in read_records(text)]


def compact(document, **options):
    return json.dumps(document, separators=(",", ":"), **options).encode()


def same(left, right):
    """Whether two values are equal as JSON is: numbers of one type, and NaN equal to itself."""
    if type(left) is not type(right):
        return False
    if isinstance(left, dict):
        return left.keys() == right.keys() and all(same(left[key], right[key]) for key in left)
    if isinstance(left, list):
        return len(left) == len(right) and all(map(same, left, right))
    return left == right or (isinstance(left, float) and math.isnan(left) and math.isnan(right))


def test_each_member_that_ingest_uses_has_a_name():
    assert set(Record.__struct_fields__) == MEMBERS.keys()


@settings(max_examples=500)
@given(documents([*MEMBERS.values(), *UNKNOWN]).flatmap(forms))
@example(b'{"Records":[{"eventName":"a"},{"userAgent":"x","eventName":"b"}]}')
@example(b'{"Records":[{"eventName":"\\ud800"}]}')
@example(b'{"Records":[{"userAgent":NaN,"eventName":"b"}]}')
@example(b'{"Records":[{"requestParameters":{"a":-Infinity,"a":1e999}}]}')
@example(b'{"Records":[{"eventName":1,"eventName":"b"}],"Records":[{"eventName":"c"}]}')
@example(b'{"Records":[{"eventName":"a","userAgent":"\xed\xa0\x80"}]}')
def test_any_form_of_a_file_is_read_as_json_says(text):
    """Whatever the order of keys, blanks, escapes, repeated keys, nesting and types."""
    records = json.loads(text)["Records"]
    assert same(read(text), [expected(record) for record in records])


@given(documents([*MEMBERS.values(), *UNKNOWN]).flatmap(forms), st.data())
def test_any_damaged_file_is_read_as_json_says_or_refused(text, data):
    """Nothing else is ever raised, and what is read is no other than what is written."""
    place = data.draw(st.integers(0, len(text) - 1))
    damaged = text[:place] + data.draw(st.binary(max_size=3)) + text[place + 1 :]
    try:
        records = json.loads(damaged)["Records"]
    except (ValueError, LookupError, TypeError):
        records = None
    try:
        found = read_records(damaged)
    except (UnreadableTextError, UnicodeDecodeError):
        assert not isinstance(records, list)
        return
    assert same([seen(record) for record in found], [expected(record) for record in records])


def test_a_record_of_another_type_costs_only_itself():
    log = [{"eventName": "a"}, None, 1, "x", [], True, {"eventName": {"b": 1}}, {}]
    found = read(compact({"Records": log}))
    assert found == [expected(record) for record in log]
    assert found[1:6] == [None] * 5


def test_strict_json_is_not_left_to_the_standard_library(monkeypatch):
    """Real files are of a form that is read fast, and so is what another writer might do."""
    monkeypatch.setattr(parse.json, "loads", lambda *_, **__: pytest.fail("slow"))
    document = {
        "Records": [
            {"x": [{"eventName": 1}], "eventName": ["a"], "awsRegion": 7, "errorCode": {}},
            {"eventName": "caf\u00e9 \U0001f600", "requestParameters": {"n": 10**30, "f": 1.5}},
        ]
    }
    for ascii_only in (True, False):
        for indent in (None, 2):
            text = json.dumps(document, indent=indent, ensure_ascii=ascii_only).encode()
            assert read(text) == [expected(record) for record in document["Records"]]


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(codecs.BOM_UTF8 + b'{"Records":[{"eventName":"a"}]}', id="byte order mark"),
        pytest.param('{"Records":[{"eventName":"a"}]}'.encode("utf-16"), id="UTF-16"),
        pytest.param('{"Records":[{"eventName":"a"}]}'.encode("utf-16-be"), id="UTF-16 without"),
        pytest.param('{"Records":[{"eventName":"a"}]}'.encode("utf-32"), id="UTF-32"),
        pytest.param(b'{"Records":[{"eventName":"a","x":NaN}]}', id="NaN"),
        pytest.param(b'{"Records":[{"eventName":"a","x":"\\udc00"}]}', id="half a character"),
        pytest.param(b'{"x":Infinity,"Records":[{"eventName":"a"}]}', id="Infinity"),
    ],
)
def test_what_json_loads_accepts_is_accepted(text):
    assert [record["eventName"] for record in read(text)] == ["a"]


def test_a_number_too_long_for_python_costs_nothing_else():
    """``json.loads`` alone would refuse the whole file."""
    number = b"9" * 5000
    for member in (b"x", b"awsRegion"):
        text = b'{"Records":[{"eventName":"a","%s":%s},{"x":NaN}]}' % (member, number)
        found = read(text)
        assert found[0]["eventName"] == "a"
        assert found[0]["awsRegion"] in (None, math.inf)
        assert len(found) == 2
    assert read(b'{"Records":[{"eventName":"a","awsRegion":%s}]}' % number)[0]["awsRegion"] == (
        math.inf
    )


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"hello world",
        b"{}",
        b"[]",
        b"null",
        b"7",
        b'"Records"',
        b'{"records":[]}',
        b'{"Records":{}}',
        b'{"Records":null}',
        b'{"Records":[{"eventVersion":"1"',
        b'{"Records":[{"eventVersion":"1"}]}]}',
        b'{"Records":[{"eventVersion":tru}]}',
        b'{"Records":[{"eventVersion":"1"}]}\0',
        b'{"Records":[{"eventVersion":"a\nb"}]}',
        b'{"Records":[{"x":01}]}',
        b'{"Records":[{}]}{"Records":[{}]}',
        b"[" * 100_000,
        b'{"Records":[{"x":' + b"[" * 100_000 + b"]" * 99_999 + b"}]}",
        b'{"Records":[{"x":' + b"[" * 100_000 + b"]" * 99_999 + b"}}]}",
        b'{"Records":[{"x":' + b"[" * 100_000 + b"]" * 100_000 + b"}]}]",
        b'{"x":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    ],
)
def test_what_is_no_log(text):
    with pytest.raises(UnreadableTextError):
        read_records(text)


@pytest.mark.parametrize("depth", [500, 1_000, 20_000])
@pytest.mark.parametrize(("first", "last"), ["[]", ('{"a":', "}"), ('[{"[{":', "}]")])
@pytest.mark.parametrize("member", ["eventName", "requestParameters", "userAgent"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
def test_what_is_nested_without_end_costs_only_itself(depth, first, last, member, encoding):
    """Fault 2: neither msgspec nor the standard library reads more than some hundred levels."""
    inner = first * depth + ("1" if last == "}" else "{}") + last * depth
    text = (
        '{"Records":[{"eventName":"a [\\"{"},'
        f'{{"eventName":"x","{member}":{inner},"awsRegion":"r"}},'
        f'{{"eventName":"b","x":[{inner},{inner}]}}]}}'
    )
    found = read(text.encode(encoding))
    assert [one["eventName"] for one in (found[0], found[2])] == ['a ["{', "b"]
    assert found[1]["awsRegion"] == "r"


@pytest.mark.parametrize("member", ["eventName", "requestParameters", "userAgent"])
def test_text_that_is_not_utf_8(member):
    """Also where it is in a member that nobody reads."""
    text = b'{"Records":[{"eventName":"a","%s":"\xff"}]}' % member.encode()
    with pytest.raises(UnicodeDecodeError):
        read_records(text)


def test_characters_at_the_borders_of_what_is_checked_at_once(monkeypatch):
    monkeypatch.setattr(parse, "_CHUNK", 3)
    text = compact({"Records": [{"eventName": "\U0001f600\u00e9" * 50}]}, ensure_ascii=False)
    assert read(text)[0]["eventName"] == "\U0001f600\u00e9" * 50
    with pytest.raises(UnicodeDecodeError):
        read_records(text.replace(b"\x98\x80", b"\x98"))


def test_a_member_that_cannot_be_read_says_so():
    text = b'{"Records":[{"eventName":"a","requestParameters":{"a":1}}]}'
    (record,) = read_records(text)
    record.request = parse.msgspec.Raw(b'{"a":')
    with pytest.raises(UnreadableTextError):
        decoded(record.request)


@given(st.binary(max_size=200), st.binary(max_size=200))
def test_gunzip_undoes_gzip(first, second):
    assert gunzip(gzip.compress(first, mtime=0)) == first
    assert gunzip(gzip.compress(first, mtime=0) + gzip.compress(second, mtime=0)) == first + second
    assert gunzip(gzip.compress(first, mtime=0) + b"\0\0\0") == first


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"plain", id="not gzip"),
        pytest.param(gzip.compress(b"x" * 1000, mtime=0)[:-9], id="cut short"),
        pytest.param(gzip.compress(b"x" * 1000, mtime=0)[:5], id="cut short in its head"),
        pytest.param(gzip.compress(b"x", mtime=0) + b"more", id="followed by something else"),
        pytest.param(zlib.compress(b"x"), id="compressed without a head"),
    ],
)
def test_damaged_gzip(data):
    with pytest.raises(DAMAGED_GZIP):
        gunzip(data)


def test_a_damaged_bit_never_changes_the_text():
    """Each is noticed, but for those that nobody reads, such as the time of packing."""
    text = bytes(random.Random(1).choices(b"abcdefgh", k=3000))
    data = gzip.compress(text, mtime=0)
    for place in range(8 * len(data)):
        damaged = bytearray(data)
        damaged[place // 8] ^= 1 << place % 8
        with contextlib.suppress(DAMAGED_GZIP):
            assert gunzip(bytes(damaged)) == text


def test_a_bomb_is_not_unpacked():
    assert gunzip(gzip.compress(bytes(1000)), limit=1000) == bytes(1000)
    with pytest.raises(TextTooLongError):
        gunzip(gzip.compress(bytes(1001)), limit=1000)
    twice = gzip.compress(bytes(600)) * 2
    with pytest.raises(TextTooLongError):
        gunzip(twice, limit=1000)
