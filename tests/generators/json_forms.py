"""Documents of log files, and all the forms in which JSON may spell them."""

import json
import random
from collections.abc import Sequence
from typing import Any

from hypothesis import strategies as st

_TEXTS = st.text(st.sampled_from('ab"\\/{}[],:\0\n\x7f\u00e9\u2028\U0001f600 '), max_size=6)
_NUMBERS = (
    st.integers(-(10**25), 10**25)
    | st.floats()
    | st.sampled_from([-0.0, 1e308, 2**53 + 1, 2**63, 2**64])
)
_SCALARS = st.none() | st.booleans() | _NUMBERS | _TEXTS


def documents(names: Sequence[str]) -> st.SearchStrategy[Any]:
    """Log files whose records have members of some names, with values of any type."""
    keys = st.sampled_from([*names, "Records"]) | _TEXTS
    values = st.recursive(
        _SCALARS,
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=3),
        max_leaves=8,
    )
    records = st.dictionaries(keys, values, max_size=6) | st.dictionaries(
        st.sampled_from(names), _TEXTS, min_size=1
    )
    return st.tuples(
        st.lists(records | values, max_size=4),
        st.dictionaries(_TEXTS, values, max_size=2),
    ).map(lambda parts: parts[1] | {"Records": parts[0]})


@st.composite
def forms(draw: st.DrawFn, document: Any) -> bytes:
    """One of the many texts that stand for a document."""
    randomness = random.Random(draw(st.integers(0, 2**32)))
    return _Writer(randomness, ascii_only=draw(st.booleans())).write(document).encode()


class _Writer:
    """Writes JSON as nobody would: each choice that JSON leaves is made at random."""

    def __init__(self, randomness: random.Random, *, ascii_only: bool) -> None:
        self._random = randomness
        self._ascii_only = ascii_only
        self._strange = randomness.random() < 0.7

    def write(self, value: Any) -> str:
        if isinstance(value, dict):
            members = [f"{self._key(key)}:{self.write(one)}" for key, one in self._members(value)]
            return self._blank() + "{" + ",".join(members) + self._blank() + "}" + self._blank()
        if isinstance(value, list):
            return self._blank() + "[" + ",".join(map(self.write, value)) + "]" + self._blank()
        text = self._text(value) if isinstance(value, str) else json.dumps(value)
        return self._blank() + text + self._blank()

    def _members(self, value: dict[str, Any]) -> list[tuple[str, Any]]:
        members = list(value.items())
        if self._strange:
            self._random.shuffle(members)
            # Of a key that is there twice the last one counts.
            repeated = [(key, self._other()) for key in value if self._random.random() < 0.1]
            members = repeated + members
        return members

    def _other(self) -> Any:
        return self._random.choice([None, 1, "other", {"eventName": "other"}, [{}], True])

    def _key(self, key: str) -> str:
        return self._blank() + self._text(key) + self._blank()

    def _text(self, value: str) -> str:
        if not self._strange:
            return json.dumps(value, ensure_ascii=self._ascii_only)
        return '"' + "".join(map(self._character, value)) + '"'

    def _character(self, character: str) -> str:
        if self._random.random() < 0.2:
            pairs = character.encode("utf-16-be").hex()
            digits = [pairs[first : first + 4] for first in range(0, len(pairs), 4)]
            spell = self._random.choice([str.upper, str.lower])
            return "".join("\\u" + spell(some) for some in digits)
        if character == "/" and self._random.random() < 0.5:
            return "\\/"
        return json.dumps(character, ensure_ascii=self._ascii_only)[1:-1]

    def _blank(self) -> str:
        if not self._strange or self._random.random() < 0.7:
            return ""
        return self._random.choice([" ", "\n", "\t", "\r\n", "    "])
