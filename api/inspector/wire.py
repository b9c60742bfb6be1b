"""What goes between ``isolation`` and ``child``: requests up, bytes down."""

import struct

ANSWER = struct.Struct(">cI")
"""What stands before each answer: its kind, and how many bytes follow."""

DATA, UNREADABLE, LIMIT = b"D", b"U", b"L"
"""Kinds of answers: bytes of the drive, or the text of an error."""

MAX_REQUEST = 8 * 2**20
"""Bytes that one request may ask for."""
