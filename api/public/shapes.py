"""One declaration for each resource: a ``msgspec.Struct`` (docs/decisions/0180).

It names the members in the order of the wire. From it follow the columns that a listing reads
(``Shape.columns``), the objects that are made of rows and written by msgspec (``Shape.read``), and
the component of the OpenAPI document (``serializer_of``), which drf-spectacular describes as it
describes any serializer.

A member is the column of its own name in the Struct's ``table``, unless a ``Member`` says
otherwise. Structs in it share the row: one alone is a part of it, several are the parts of
different clouds, of which each row has its own. A member that may be unset is left out unless it is
asked for.
"""

import types
from collections.abc import Callable, Mapping, Sequence
from datetime import date, datetime
from functools import cache
from operator import itemgetter
from typing import Any, ClassVar, Generic, NamedTuple, TypeVar, Union, get_args, get_origin
from typing import get_type_hints as hints_of
from uuid import UUID

from drf_spectacular.utils import PolymorphicProxySerializer, extend_schema_field
from msgspec import Meta, Raw, Struct, UnsetType
from rest_framework import serializers
from rest_framework.serializers import Serializer

Row = Sequence[Any]


class ShapePart(Struct):
    """A resource or a part of one, made of columns of ``table``.

    Where clouds have different parts, ``cloud`` says whose one is, and the whole has a member
    ``cloud_type``, which comes before them.
    """

    table: ClassVar[str]
    cloud: ClassVar[str]


class Member(NamedTuple):
    """How a member comes from the row; what else is known of it stands in its ``msgspec.Meta``.

    ``sql`` is an expression, by default the column of the member's name. ``convert`` makes of its
    value what is written; JSON that is stored may so be written as it is, whatever the type says
    that it holds. ``field`` describes what no type of ours does.
    """

    sql: str | None = None
    convert: Callable[[Any], Any] | None = None
    field: Callable[..., serializers.Field] | None = None


class _Hint(NamedTuple):
    """The type of a member, taken apart."""

    kinds: tuple[Any, ...]
    is_null_too: bool
    is_optional: bool
    member: Member
    meta: Meta


def _taken_apart(hint: Any) -> _Hint:
    member, meta, optional, null = Member(), Meta(), False, False
    kinds: list[Any] = []
    left = [hint]
    while left:
        one = left.pop(0)
        arguments = get_args(one)
        if get_origin(one) in (Union, types.UnionType):
            left += arguments
        elif hasattr(one, "__metadata__"):
            left.append(arguments[0])
            for more in one.__metadata__:
                member, meta = (more, meta) if isinstance(more, Member) else (member, more)
        elif one is UnsetType:
            optional = True
        elif one is types.NoneType:
            null = True
        elif one is not Raw:
            kinds.append(one)
    return _Hint(tuple(kinds), null, optional, member, meta)


@cache
def _hints(kind: type[Struct]) -> Mapping[str, _Hint]:
    hints = hints_of(kind, include_extras=True)
    return {name: _taken_apart(hints[name]) for name in kind.__struct_fields__}


def _is_struct(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, Struct)


def columns_of(kind: type[ShapePart]) -> dict[str, str]:
    """Return the SQL of each member that is a column."""
    return {
        name: _sql(kind, name, hint)
        for name, hint in _hints(kind).items()
        if not _is_struct(hint.kinds[0])
    }


def _sql(kind: type[ShapePart], name: str, hint: _Hint) -> str:
    return hint.member.sql or f"{kind.table}.{name}"


PartT = TypeVar("PartT", bound=ShapePart)


class Shape(Generic[PartT]):
    """How objects of a resource are made of rows with ``columns``, with the named unset members."""

    def __init__(self, kind: type[PartT], *, including: Sequence[str] = ()) -> None:
        self._places: dict[str, int] = {}
        self._conversions: dict[int, Callable[[Any], Any]] = {}
        hints = {
            name: hint
            for name, hint in _hints(kind).items()
            if name in including or not hint.is_optional
        }
        parts = [name for name, hint in hints.items() if _is_struct(hint.kinds[0])]
        places = [
            # Parts come behind the row, where they are counted from the end.
            parts.index(name) - len(parts) if name in parts else self._place(kind, name, hint)
            for name, hint in hints.items()
        ]
        self._parts = [self._part(hints[name].kinds, kind) for name in parts]
        self._make = _maker(kind, places)
        self.columns = tuple(self._places)

    def _place(self, kind: type[ShapePart], name: str, hint: _Hint) -> int:
        place = self._places.setdefault(_sql(kind, name, hint), len(self._places))
        if hint.member.convert:
            self._conversions[place] = hint.member.convert
        return place

    def _part(
        self, kinds: Sequence[type[ShapePart]], whole: type[ShapePart]
    ) -> Callable[[Row], ShapePart]:
        makers = [
            _maker(kind, [self._place(kind, *member) for member in _hints(kind).items()])
            for kind in kinds
        ]
        if len(kinds) == 1:
            return makers[0]
        by_cloud = {kind.cloud: maker for kind, maker in zip(kinds, makers, strict=True)}
        cloud = self._places[f"{whole.table}.cloud_type"]
        return lambda row: by_cloud[row[cloud]](row)

    def read(self, row: Row) -> PartT:
        """Return the object of a row."""
        if self._conversions:
            converted = list(row)
            for place, convert in self._conversions.items():
                converted[place] = convert(converted[place])
            row = converted
        made: PartT = self._make((*row, *[part(row) for part in self._parts]))
        return made

    def of_model(self, model: Any) -> PartT:
        """Return the object of a Django model, all of whose columns are its table's own."""
        return self.read([getattr(model, column.rpartition(".")[2]) for column in self.columns])


def _maker(kind: type[ShapePart], places: Sequence[int]) -> Callable[[Row], Any]:
    """Return what makes a part of the values at several places of a row."""
    pick = itemgetter(*places)
    return lambda row: kind(*pick(row))


_FIELDS: Mapping[Any, type[serializers.Field]] = {
    int: serializers.IntegerField,
    bool: serializers.BooleanField,
    str: serializers.CharField,
    datetime: serializers.DateTimeField,
    date: serializers.DateField,
    UUID: serializers.UUIDField,
    dict: serializers.DictField,
}


@cache
def serializer_of(kind: type[Struct]) -> type[Serializer]:
    """Return the serializer by which drf-spectacular describes a resource; it does nothing else."""
    fields = {name: _field(kind, hint) for name, hint in _hints(kind).items()}
    return type(kind.__name__, (Serializer,), {"__doc__": kind.__doc__, **fields})


def _field(kind: type[Struct], hint: _Hint) -> serializers.Field:
    """Describe a member."""
    options = _options(hint)
    if hint.member.field:
        return hint.member.field(**options)
    if len(hint.kinds) > 1:
        return _one_of(f"{kind.__name__}Content", hint.kinds)
    (shown,) = hint.kinds
    if _is_struct(shown):
        return serializer_of(shown)(**options)
    if get_origin(shown) is list:
        return serializer_of(*get_args(shown))(many=True, **options)
    choices = getattr(shown, "choices", (hint.meta.extra or {}).get("choices"))
    if choices:
        return serializers.ChoiceField(choices, **options)
    if hint.meta.pattern:
        return serializers.RegexField(hint.meta.pattern, **options)
    return _FIELDS[get_origin(shown) or shown](**options)


def _options(hint: _Hint) -> dict[str, Any]:
    """Return what a member's field is told, of whatever class it is."""
    options: dict[str, Any] = {}
    if hint.is_null_too:
        options["allow_null"] = True
    if hint.is_optional:
        options["required"] = False
    if hint.meta.description:
        options["help_text"] = hint.meta.description
    if hint.meta.ge is not None:
        options["min_value"] = hint.meta.ge
    return options


def _one_of(name: str, kinds: Sequence[type[Struct]]) -> serializers.Field:
    """Describe a member that differs by cloud."""
    parts = [serializer_of(kind) for kind in kinds]
    union = PolymorphicProxySerializer(name, parts, resource_type_field_name=None)
    field = type(f"{name}Field", (serializers.Field,), {})
    return extend_schema_field(union)(field)()
