"""Bracket parameters: ``filter[region]=a,b``, ``order_by[region]=desc`` and the like (spec 11 §3).

A route says in ``BracketParameters`` what it takes; ``read`` returns what a request asks for, or
raises the one form of a 400 that all routes share: ``{"filter[foo]": ["Unknown filter."]}``.

========================== =========================================================================
``filter[f]=a,b``          rows with one of these values; several parameters must all hold
``filter[contains:f]=a,b`` rows whose value contains one of these texts, in any case
``exclude[f]=a,b``         all other rows, those without a value too
``order_by[f]=asc|desc``   one at most
``group_by[f]=*``          two at most
``filter[search]=text``    rows in which the text, of three characters or more, is found
========================== =========================================================================

A comma inside a value is written ``%2C`` in the decoded text, so ``%252C`` in the URL (spec 11 §5).
Of a repeated parameter the last value counts. An empty value is none, except of fields that take
it: there it stands for an unknown value. Names that do not begin like these are ignored.
"""

import datetime
import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

from rest_framework.exceptions import ValidationError

from api.public.filters import (
    LARGEST_ID,
    NO_CHOICE,
    NO_ID,
    NO_INSTANT,
    NO_NUMBER,
    NUL,
    WHOLE_NUMBER,
    Filter,
)
from api.public.timestamps import parse_instant

UNKNOWN_FILTER = "Unknown filter."
UNKNOWN_FIELD = "Unknown field."
ONE_ORDER = "Only one order_by is allowed."
TOO_MANY_GROUPS = "At most {} group_by are allowed."
SHORT_SEARCH = "Enter at least 3 characters."

SHORTEST_SEARCH = 3
ALL_VALUES = "*"
"""What ``group_by[f]`` must be."""

_SEARCH = "search"
_CONTAINS = "contains:"
_NAME = re.compile(r"(?P<verb>filter|exclude|order_by|group_by)\[(?P<rest>.*)", re.DOTALL)
_COMMA = re.compile("%2C", re.IGNORECASE)
_LIKE_SPECIAL = re.compile(r"([\\%_])")

Errors = dict[str, list[str]]
Reader = Callable[[str], Any]
"""Returns the value that a text means. Raises ValueError with the client's message."""


def text(value: str) -> str:
    """Return the text as it is."""
    if "\0" in value:
        raise ValueError(NUL)
    return value


def lower_text(value: str) -> str:
    """Return the text in lower case: for ids that compare so (spec 06 §5.2)."""
    return text(value).lower()


def whole_number(value: str) -> int:
    """Return an id; for a number that no row can have, that of no row (decision 50)."""
    if not value.strip() or not WHOLE_NUMBER.fullmatch(value):
        raise ValueError(NO_NUMBER)
    number = int(value)
    return number if 0 < number <= LARGEST_ID else NO_ID


def boolean(value: str) -> bool:
    """Return what ``true`` or ``false`` means, in any case; ``1`` and ``0`` do as well."""
    lower = value.lower()
    if lower not in ("true", "false", "1", "0"):
        raise ValueError(NO_CHOICE.format(value))
    return lower in ("true", "1")


def instant(value: str) -> datetime.datetime:
    """Return an ISO 8601 date-time in UTC."""
    try:
        return parse_instant(value)
    except ValueError as error:
        raise ValueError(NO_INSTANT) from error


@dataclass(frozen=True)
class OneOf:
    """A reader of one of a few words."""

    words: Collection[str]

    def __call__(self, value: str) -> str:
        """Return the word."""
        if value not in self.words:
            raise ValueError(NO_CHOICE.format(value))
        return value


@dataclass(frozen=True)
class Field:
    """What may stand in brackets: a name, how its values are read, and what it is, in words."""

    name: str
    description: str
    example: str
    read: Reader = text
    takes_empty: bool = False
    """Whether an empty value stands for rows whose value is unknown."""

    @property
    def has_text(self) -> bool:
        """Return whether ``contains:`` makes sense."""
        return self.read not in (boolean, instant)


@dataclass(frozen=True)
class FieldSql:
    """The SQL of a field: what rows are sorted by, and how its values are compared.

    ``equals`` and ``contains`` hold one placeholder, for an array of values or of patterns. Without
    them the sorted value is what is compared.
    """

    sql: str
    equals: str | None = None
    contains: str | None = None
    is_text: bool = True

    @property
    def sort_key(self) -> str:
        """Return what to sort by; text by its code points, whatever the database's language."""
        return f'({self.sql}) COLLATE "C"' if self.is_text else f"({self.sql})"

    def equal_to(self, values: Collection[Any]) -> str:
        """Return the condition of rows with one of these values."""
        if self.equals:
            return self.equals
        # The empty text stands for rows without a value.
        known = f"coalesce({self.sql}, '')" if "" in values else f"({self.sql})"
        return f"{known} = ANY(%s)"

    def containing(self, patterns: Collection[str]) -> str:
        """Return the condition of rows that match one of some patterns."""
        return self.contains or f"{_ilike(f'({self.sql})::text', patterns)} ANY(%s)"


class Order(NamedTuple):
    """By which field rows are to be sorted."""

    field: str
    is_descending: bool


class Sorting(NamedTuple):
    """SQL of what rows are sorted by, and in which direction; by default all are alike."""

    sort_key: str = "NULL::integer"
    direction: str = "ASC"


UNSORTED: Final = Sorting()


@dataclass
class Brackets:
    """What the bracket parameters of a request ask for."""

    filters: dict[str, tuple[Any, ...]] = field(default_factory=dict)
    contains: dict[str, tuple[str, ...]] = field(default_factory=dict)
    excludes: dict[str, tuple[Any, ...]] = field(default_factory=dict)
    search: str | None = None
    order: Order | None = None
    groups: tuple[str, ...] = ()
    """Fields to group by, in the order of their names (spec 11 §5)."""

    def __bool__(self) -> bool:
        """Return whether there is any."""
        return self != Brackets()

    def fields(self) -> set[str]:
        """Return the fields that must be known of a row to filter it."""
        return {*self.filters, *self.contains, *self.excludes}

    def sorting(self, columns: Mapping[str, FieldSql]) -> Sorting:
        """Return what rows are sorted by before the route's own order decides.

        Rows without a value come last, or first if the order is descending.
        """
        if self.order is None:
            return UNSORTED
        direction = "DESC" if self.order.is_descending else "ASC"
        return Sorting(columns[self.order.field].sort_key, direction)

    def condition(self, columns: Mapping[str, FieldSql], search: Collection[str] = ()) -> Filter:
        """Return SQL to append to a WHERE clause, and the values in it.

        ``columns`` has the SQL of each field; ``search`` is that of the texts to search in.
        """
        condition = sum(self.parts(columns), Filter())
        if self.search is not None:
            condition += searched(search, like_pattern(self.search))
        return condition

    def parts(self, columns: Mapping[str, FieldSql]) -> Iterator[Filter]:
        """Return the condition of each field, all of which must hold beside the search."""
        for name, values in self.filters.items():
            yield Filter(f" AND {columns[name].equal_to(values)}", (list(values),))
        for name, texts in self.contains.items():
            patterns = [like_pattern(one) for one in texts]
            yield Filter(f" AND {columns[name].containing(patterns)}", (patterns,))
        for name, values in self.excludes.items():
            yield Filter(f" AND ({columns[name].equal_to(values)}) IS NOT TRUE", (list(values),))


def searched(texts: Collection[str], pattern: str) -> Filter:
    """Return the condition that one of some texts, given by their SQL, matches a pattern."""
    found = " OR ".join(matching(one, pattern) for one in texts)
    return Filter(f" AND ({found})", (pattern,) * len(texts))


def matching(sql: str, pattern: str) -> str:
    """Return the condition that a text matches a pattern, in any case."""
    return f"{_ilike(sql, [pattern])} %s"


def _ilike(sql: str, patterns: Collection[str]) -> str:
    """Return a comparison with patterns; those of ASCII need no language, which is much slower."""
    return f'{sql} COLLATE "C" ILIKE' if "".join(patterns).isascii() else f"{sql} ILIKE"


def like_pattern(part: str) -> str:
    """Return the pattern of LIKE for texts that contain a part, in which nothing is special."""
    escaped = _LIKE_SPECIAL.sub(r"\\\1", part)
    return f"%{escaped}%"


@dataclass(frozen=True)
class BracketParameters:
    """The bracket parameters that a route takes.

    Names that begin with ``group_by[`` concern only routes that group: others ignore them.
    """

    fields: Sequence[Field]
    contains: bool = False
    excludes: bool = False
    orders: bool = False
    searches: bool = False
    groups: Sequence[str] = ()
    most_groups: int = 2

    def read(self, query: Mapping[str, str]) -> Brackets:
        """Return what a request asks for. Raises ValidationError that names all that is wrong."""
        brackets, errors = self.collect(query)
        if errors:
            raise ValidationError(errors)
        return brackets

    def collect(self, query: Mapping[str, str]) -> tuple[Brackets, Errors]:
        """Return what a request asks for, and what is wrong by parameter.

        For routes that report errors of other parameters in the same answer.
        """
        reading = _Reading(self)
        for name in query:
            if match := _NAME.fullmatch(name):
                reading.take(name, match["verb"], match["rest"], query[name])
        return reading.result, reading.errors


class _Reading:
    """The parameters of a request, one after the other."""

    def __init__(self, parameters: BracketParameters) -> None:
        self.parameters = parameters
        self.fields = {field.name: field for field in parameters.fields}
        self.result = Brackets()
        self.errors: Errors = {}

    def take(self, name: str, verb: str, rest: str, value: str) -> None:
        """Add a parameter to what is asked for, or to what is wrong."""
        if verb == "group_by" and not self.parameters.groups:
            return
        field_name = rest[:-1] if rest.endswith("]") else ""
        try:
            getattr(self, f"_{verb}")(field_name, value)
        except ValueError as error:
            self.errors[name] = [str(error)]

    def _filter(self, name: str, value: str) -> None:
        if name == _SEARCH and self.parameters.searches:
            self._search(value)
        elif name.startswith(_CONTAINS):
            self._contains(name.removeprefix(_CONTAINS), value)
        else:
            self._values(self.result.filters, self._field(name, True), value)

    def _exclude(self, name: str, value: str) -> None:
        self._values(self.result.excludes, self._field(name, self.parameters.excludes), value)

    def _order_by(self, name: str, value: str) -> None:
        if not self.parameters.orders or name not in self.fields:
            raise ValueError(UNKNOWN_FIELD)
        if not value:
            return
        if value not in ("asc", "desc"):
            raise ValueError(NO_CHOICE.format(value))
        if self.result.order:
            raise ValueError(ONE_ORDER)
        self.result.order = Order(name, value == "desc")

    def _group_by(self, name: str, value: str) -> None:
        if name not in self.parameters.groups:
            raise ValueError(UNKNOWN_FIELD)
        if value != ALL_VALUES:
            raise ValueError(NO_CHOICE.format(value))
        if len(self.result.groups) == self.parameters.most_groups:
            raise ValueError(TOO_MANY_GROUPS.format(self.parameters.most_groups))
        self.result.groups = tuple(sorted((*self.result.groups, name)))

    def _contains(self, name: str, value: str) -> None:
        found = self._field(name, self.parameters.contains)
        if not found.has_text:
            raise ValueError(UNKNOWN_FILTER)
        if texts := tuple(text(one) for one in _split(value) if one):
            self.result.contains[name] = texts

    def _search(self, value: str) -> None:
        wanted = text(_COMMA.sub(",", value))
        if not wanted:
            return
        if len(wanted) < SHORTEST_SEARCH:
            raise ValueError(SHORT_SEARCH)
        self.result.search = wanted

    def _field(self, name: str, is_allowed: bool) -> Field:
        if not is_allowed or name not in self.fields:
            raise ValueError(UNKNOWN_FILTER)
        return self.fields[name]

    def _values(self, found: dict[str, tuple[Any, ...]], field: Field, value: str) -> None:
        texts = [one for one in _split(value) if one or field.takes_empty]
        if values := tuple(field.read(one) for one in texts):
            found[field.name] = values


def _split(value: str) -> list[str]:
    """Return the values of a list; a comma inside one is written ``%2C``."""
    return [_COMMA.sub(",", one) for one in value.split(",")]
