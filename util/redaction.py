"""Keeping secrets out of logs and error reports (spec 08 §8, §9; fault 13 of docs/faults.md).

Two things are masked in every text that leaves a process for people: the values of the secrets
that this process was configured with, wherever they turn up, and whatever looks like an identity
header or a bearer token.
"""

import re
from collections.abc import Iterable
from typing import Any

MASK = "*" * 18

SHORTEST = 8
"""Shorter values are not masked: they would be found in innocent words."""

# Base64 of a JSON object: identity headers, and the tokens of OAuth.
_BASE64_JSON = r"\beyJ[A-Za-z0-9+/_=-]{16,}(?:\.[A-Za-z0-9_=-]+)*"

_known: set[str] = set()
_pattern = re.compile(_BASE64_JSON)


def remember(values: Iterable[str | None]) -> None:
    """Mask these values from now on, beside those that were given before."""
    global _pattern
    _known.update(value for value in values if value and len(value) >= SHORTEST)
    # Longer ones first, so that a value that holds another one is masked as a whole.
    texts = sorted(_known, key=len, reverse=True)
    _pattern = re.compile("|".join([*map(re.escape, texts), _BASE64_JSON]))


def redact(text: str) -> str:
    """Return a text without secrets."""
    return _pattern.sub(MASK, text)


def redact_all(value: Any) -> Any:
    """Return a structure of lists and dictionaries with all its texts, keys too, redacted."""
    if isinstance(value, str):
        return redact(value)
    if isinstance(value, dict):
        return {redact_all(key): redact_all(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [redact_all(item) for item in value]
    return value
