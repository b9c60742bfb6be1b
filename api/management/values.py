"""Types of commands' arguments: what does not fit is refused with a clear line (spec 12 §2)."""

import datetime
from argparse import ArgumentTypeError

BIGINT_END = 2**63
INTEGER_END = 2**31


def row_id(value: str) -> int:
    """Read the id of a row. Raises ArgumentTypeError for what no row can have."""
    return _whole(value, BIGINT_END, "an id")


def positive(value: str) -> int:
    """Read a number above 0. Raises ArgumentTypeError."""
    return _whole(value, INTEGER_END, "a number above 0")


def day(value: str) -> datetime.date:
    """Read a day as in 2026-11-30. Raises ArgumentTypeError."""
    try:
        return datetime.date.fromisoformat(value)
    except ValueError as error:
        raise ArgumentTypeError(f"{value!r} is not a day such as 2026-11-30") from error


def text(value: str) -> str:
    """Read text that the database can hold. Raises ArgumentTypeError."""
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise ArgumentTypeError(f"{value!r} is not UTF-8") from error
    if "\0" in value:
        raise ArgumentTypeError(f"{value!r} has a NUL character")
    return value


def _whole(value: str, end: int, what: str) -> int:
    number = int(value) if value.isascii() and value.isdigit() and len(value) < 20 else 0
    if not 0 < number < end:
        raise ArgumentTypeError(f"{value!r} is not {what}")
    return number
