"""Cut the text of a CloudTrail log file into its records without decoding them all. Pure.

In a real log one record in some hundreds matters, and decoding JSON costs far more than all else
that ingest does with the others. CloudTrail writes its files in one known compact form, so records
can be cut apart by searching; the brackets are then counted to prove that every cut lies between
two records. A file of any other form is simply decoded (spec 04 §8.4).
"""

import json
import re
import zlib
from collections.abc import Callable, Iterator
from typing import Any

GZIP = 31
"""``wbits`` of zlib for data with a gzip header."""

MAX_TEXT = 512 * 1024 * 1024
"""Bytes of a file's text at most; CloudTrail's own files stay far below."""

_RECORD = b'{"eventVersion":'
_START = b'{"Records":[' + _RECORD
_BETWEEN = b"}," + _RECORD
_END = b"}]}"
_CUT = b"\0"
_NOT_OUTLINE = bytes(byte for byte in range(256) if byte not in b'{}[]"\0')
_ESCAPED = re.compile(rb"\\.", re.DOTALL)
_STRING = re.compile(rb'"[^"]*"')


class UnreadableTextError(ValueError):
    """No log file: not JSON, or JSON that holds no records. It never will be one."""


class TextTooLongError(ValueError):
    """The file's text is longer than any that CloudTrail writes."""


def gunzip(data: bytes, limit: int = MAX_TEXT) -> bytes:
    """Unpack a gzip file of one or more members.

    Raises ``TextTooLongError``, and ``zlib.error`` or ``EOFError`` for damaged data.
    """
    texts = []
    while data:
        unpacker = zlib.decompressobj(GZIP)
        text = unpacker.decompress(data, limit + 1)
        limit -= len(text)
        if limit < 0:
            raise TextTooLongError
        if not unpacker.eof:
            raise EOFError("the compressed data ends too early")
        texts.append(text)
        data = unpacker.unused_data.lstrip(_CUT)
    return texts[0] if len(texts) == 1 else b"".join(texts)


def iter_records(
    text: bytes, skip: Callable[[bytes], str | None]
) -> Iterator[tuple[int, Any, str | None]]:
    """Give each record's place in the file, and the decoded record or the reason to skip it.

    ``skip`` is shown a record's bytes without its first key; it may skip only what is certain not
    to matter. In a file of a form that is not CloudTrail's own nothing is skipped. Raises
    ``UnicodeDecodeError`` if the text is not UTF-8, ``UnreadableTextError`` if it is no log.
    """
    if not text.isascii():
        text.decode()
    bodies = cut(text)
    if bodies is None:
        for index, record in enumerate(_decode_all(text)):
            yield index, record, None
        return
    for index, body in enumerate(bodies):
        reason = skip(body)
        yield index, None if reason else _decode(body), reason


def cut(text: bytes) -> list[bytes] | None:
    """Cut a log of CloudTrail's own form into the bodies of its records, or give None.

    A body is a record without its first key and its closing brace.
    """
    if not (text.startswith(_START) and text.endswith(_END)) or _CUT in text:
        return None
    bodies = text[len(_START) : -len(_END)].split(_BETWEEN)
    cuts = len(bodies) - 1
    return bodies if _outline(bodies) == (b"}" + _CUT * cuts + b"{" if cuts else b"") else None


def _outline(bodies: list[bytes]) -> bytes:
    """Give the brackets that stay open when all that is complete is taken away, and the cuts.

    Those of well cut records cancel each other out, but for the first and the last.
    """
    outline = _ESCAPED.sub(b"", _CUT.join(bodies)).translate(None, _NOT_OUTLINE)
    # Taking away two neighbouring quotes leaves all others opening or closing as they were.
    outline = _STRING.sub(b"", outline.replace(b'""', b""))
    outline = outline.replace(_CUT, b"}" + _CUT + b"{")
    while True:
        folded = outline.replace(b"{}", b"").replace(b"[]", b"")
        if folded == outline:
            return outline
        outline = folded


def _decode(body: bytes) -> Any:
    try:
        return json.loads(_RECORD + body + b"}")
    except (ValueError, RecursionError):
        return None


def _decode_all(text: bytes) -> list[Any]:
    try:
        document = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise UnreadableTextError("not JSON") from error
    records = document.get("Records") if isinstance(document, dict) else None
    if not isinstance(records, list):
        raise UnreadableTextError("no list of records")
    return records
