"""From the bytes of a CloudTrail log file to its records (spec 04 §8.4). Pure.

In a real log one record in some hundreds matters. So of each record only what tells whether it
matters is decoded at once; the rest stays as it was written until somebody asks for it. A file that
is not strictly JSON, or in which a record is no object, is read by the standard library, which is
ten times slower and gives the same records. What is nested more deeply than either reads is cut
off, so that it costs nothing else.
"""

import codecs
import gzip
import json
import re
from typing import Any

import msgspec
from isal import isal_zlib

MAX_TEXT = 256 * 1024 * 1024
"""Bytes of a file's text at most; CloudTrail's own files stay far below."""

DAMAGED_GZIP = (EOFError, gzip.BadGzipFile, isal_zlib.error)
"""What ``gunzip`` raises for damaged data."""

_CHUNK = 1024 * 1024
_LONGEST_INTEGER = 1000
"""Digits of an integer that the standard library is asked to read; it refuses some thousands."""

_DEEPEST = 100
"""Levels of nesting that are read where a text has too many; CloudTrail's own have about ten."""
_STRING_OR_BRACKET = re.compile(r'"(?:[^"\\]++|\\.)*+"|[][{}]', re.DOTALL)
_CLOSING = {"{": "}", "[": "]"}


class UnreadableTextError(ValueError):
    """No log file: not JSON, or JSON that holds no records. It never will be one."""


class TextTooLongError(ValueError):
    """The file's text is longer than any that CloudTrail writes."""


_NULL = msgspec.Raw(b"null")


class Record(msgspec.Struct, gc=False):
    """What ingest uses of a record; what is absent is null.

    The type of no member is certain. Those that are ``Raw`` are still text: ``decoded`` reads them.
    """

    source: Any = msgspec.field(default=None, name="eventSource")
    name: Any = msgspec.field(default=None, name="eventName")
    error_code: msgspec.Raw = msgspec.field(default=_NULL, name="errorCode")
    time: msgspec.Raw = msgspec.field(default=_NULL, name="eventTime")
    event_id: msgspec.Raw = msgspec.field(default=_NULL, name="eventID")
    region: msgspec.Raw = msgspec.field(default=_NULL, name="awsRegion")
    identity: msgspec.Raw = msgspec.field(default=_NULL, name="userIdentity")
    recipient: msgspec.Raw = msgspec.field(default=_NULL, name="recipientAccountId")
    request: msgspec.Raw = msgspec.field(default=_NULL, name="requestParameters")
    response: msgspec.Raw = msgspec.field(default=_NULL, name="responseElements")
    service_event: msgspec.Raw = msgspec.field(default=_NULL, name="serviceEventDetails")


class _LogText(msgspec.Struct, gc=False):
    records: list[Record] = msgspec.field(name="Records")


_file_decoder = msgspec.json.Decoder(_LogText)
_value_decoder = msgspec.json.Decoder()
_MEMBERS = tuple(field.encode_name for field in msgspec.structs.fields(Record))


def gunzip(data: bytes, limit: int = MAX_TEXT) -> bytearray:
    """Unpack a gzip file of one or more members.

    Raises ``TextTooLongError``, and one of ``DAMAGED_GZIP`` for damaged data.
    """
    # What ``isal.igzip`` itself reads with. Unlike the rest of isal it fills a buffer that has the
    # right size from the first: one that grows costs as much as unpacking does.
    reader = isal_zlib._GzipReader(data)  # type: ignore[arg-type]
    # A file ends with the size of its last member, which may be a lie.
    text = bytearray(min(int.from_bytes(data[-4:], "little"), limit) + 1)
    length = 0
    while count := reader.readinto(memoryview(text)[length:]):
        length += count
        if length > limit:
            raise TextTooLongError
        if length == len(text):
            text.extend(bytes(min(length, limit) + 1))
    del text[length:]
    return text


def read_records(text: bytes | bytearray) -> list[Record | None]:
    """Return the records of a log file in their order; None for what is no object.

    They are those that ``json.loads`` finds, whatever the file's form. Raises
    ``UnicodeDecodeError`` if the text is in none of the encodings of JSON, ``UnreadableTextError``
    if it is not the text of a log.
    """
    try:
        if _is_utf8(text):
            return list(_file_decoder.decode(text).records)
    except (msgspec.DecodeError, RecursionError):
        # Either no log, or one of a form that the standard library alone accepts.
        pass
    document = _load(text)
    records = document.get("Records") if isinstance(document, dict) else None
    if not isinstance(records, list):
        raise UnreadableTextError("no list of records")
    return [_record_of(one) for one in records]


def decoded(value: Any) -> Any:
    """Return the value of a record's member, as ``json.loads`` reads it.

    Raises ``UnreadableTextError`` for what cannot be read.
    """
    if not isinstance(value, msgspec.Raw):
        return value
    try:
        return _value_decoder.decode(value)
    except (msgspec.DecodeError, RecursionError):
        return _load(bytes(value))


def _is_utf8(text: bytes | bytearray) -> bool:
    """Check what msgspec does not check in members that it passes over."""
    if text.isascii():
        return True
    view, decoder = memoryview(text), codecs.getincrementaldecoder("utf-8")()
    try:
        for first in range(0, len(view), _CHUNK):
            decoder.decode(view[first : first + _CHUNK])
        decoder.decode(b"", final=True)
    except UnicodeDecodeError:
        return False
    return True


def _load(text: bytes | bytearray) -> Any:
    try:
        try:
            return json.loads(text, parse_int=_integer)
        except RecursionError:
            return json.loads(_without_depths(text), parse_int=_integer)
    except UnicodeDecodeError:
        raise
    except (ValueError, RecursionError) as error:
        raise UnreadableTextError("not JSON") from error


def _without_depths(text: bytes | bytearray) -> str:
    """Replace what is nested more than ``_DEEPEST`` levels deep by null.

    Raises ``ValueError`` if brackets do not match, which is no JSON.
    """
    found = text.decode(json.detect_encoding(text), "surrogatepass")
    kept: list[str] = []
    open_ones: list[str] = []
    kept_to = 0
    for match in _STRING_OR_BRACKET.finditer(found):
        bracket = match[0]
        if bracket in _CLOSING:
            open_ones.append(_CLOSING[bracket])
            if len(open_ones) == _DEEPEST + 1:
                kept += found[kept_to : match.start()], "null"
        elif bracket in _CLOSING.values():
            if not open_ones or open_ones.pop() != bracket:
                raise ValueError("brackets do not match")
            if len(open_ones) == _DEEPEST:
                kept_to = match.end()
    if open_ones:
        raise ValueError("brackets do not match")
    kept.append(found[kept_to:])
    return "".join(kept)


def _integer(digits: str) -> int | float:
    return int(digits) if len(digits) <= _LONGEST_INTEGER else float(digits)


def _record_of(value: Any) -> Record | None:
    if not isinstance(value, dict):
        return None
    members: list[Any] = [value.get(name) for name in _MEMBERS]
    return Record(*members)
