"""Columns of the internal resources that need more than a plain serializer field."""

import datetime
import enum
from collections.abc import Callable, Mapping
from functools import cache
from operator import attrgetter
from typing import Any, NamedTuple

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from api.models import CloudType
from api.public.timestamps import render_instant


class RecordKind(enum.IntEnum):
    """Which sort of record an ``object_id`` names; the tens digit of its ``content_type``."""

    ACCOUNT = 1
    INSTANCE = 2
    IMAGE = 3
    EVENT = 4


_CLOUD_NUMBERS = {CloudType.AWS: 1, CloudType.AZURE: 2}


def content_type_number(kind: RecordKind, cloud_type: str) -> int:
    """Return the constant that stands for one kind of record of one cloud (spec 02 §5.2)."""
    return kind * 10 + _CLOUD_NUMBERS[CloudType(cloud_type)]


class ContentTypeField(serializers.IntegerField):
    """The constant for the row's kind and cloud."""

    def __init__(self, kind: RecordKind, source: str = "cloud_type") -> None:
        super().__init__(source=source, read_only=True)
        self.kind = kind

    def to_representation(self, value: Any) -> int:
        """Turn the cloud's name into the constant."""
        return content_type_number(self.kind, value)


def pointer(kind: RecordKind, *, cloud_type: str = "cloud_type") -> dict[str, serializers.Field]:
    """Make the members that lead to the cloud's own record, which shares the row's id.

    ``cloud_type`` is the attribute that names the row's cloud.
    """
    source: dict[str, Any] = {} if cloud_type == "cloud_type" else {"source": cloud_type}
    return {
        "content_type": ContentTypeField(kind, cloud_type),
        "object_id": serializers.IntegerField(source="id", read_only=True),
        "cloud_type": serializers.ChoiceField(
            choices=CloudType.choices,
            read_only=True,
            **source,
        ),
    }


def integer(**options: Any) -> serializers.IntegerField:
    """Make a read-only whole number."""
    return serializers.IntegerField(read_only=True, **options)


def number(**options: Any) -> serializers.FloatField:
    """Make a read-only number."""
    return serializers.FloatField(read_only=True, **options)


def text(**options: Any) -> serializers.CharField:
    """Make read-only text."""
    return serializers.CharField(read_only=True, **options)


def boolean(**options: Any) -> serializers.BooleanField:
    """Make a read-only truth value."""
    return serializers.BooleanField(read_only=True, **options)


def moment(**options: Any) -> serializers.DateTimeField:
    """Make a read-only date-time."""
    return serializers.DateTimeField(read_only=True, **options)


def choice(choices: list[tuple[str, str]], **options: Any) -> serializers.ChoiceField:
    """Make a read-only choice."""
    return serializers.ChoiceField(choices=choices, read_only=True, **options)


def reference(name: str, **options: Any) -> serializers.IntegerField:
    """Make the id of the row that the foreign key ``name`` points to."""
    return serializers.IntegerField(source=f"{name}_id", read_only=True, **options)


@extend_schema_field({"nullable": True, "description": "Any JSON value."})
class AnyJSONField(serializers.JSONField):
    """Whatever JSON the cloud gave."""


_UTC = "+00:00"


def _moment(value: datetime.datetime) -> str:
    text = value.isoformat()
    # Those of the database are in UTC.
    if text.endswith(_UTC):
        return text.removesuffix(_UTC) + "Z"
    return render_instant(value.astimezone(datetime.UTC))


_WRITERS: Mapping[type[serializers.Field], Callable[[Any], Any]] = {
    serializers.IntegerField: int,
    serializers.FloatField: float,
    serializers.CharField: str,
    serializers.DateTimeField: _moment,
}
"""What plain fields make of values of their columns: the same as the fields themselves do."""


class _Member(NamedTuple):
    """A member of a row's object: how it is read from the row, and how it is shown."""

    name: str
    read: Callable[[Any], Any]
    show: Callable[[Any], Any]


@cache
def _members(kind: type[serializers.Serializer]) -> tuple[_Member, ...]:
    """Return the members of a resource, found out once."""
    return tuple(
        _Member(
            name,
            attrgetter(str(field.source)) if len(field.source_attrs) == 1 else field.get_attribute,
            _WRITERS.get(type(field), field.to_representation),
        )
        for name, field in kind().fields.items()
    )


class QuickRows:
    """Shows rows as a serializer does, without going through its fields' own machinery.

    Lists of hundreds of rows pass through it, and each of their members is a column, an annotation,
    or a property, and is only shown.
    """

    def to_representation(self, instance: Any) -> dict[str, Any]:
        """Return a row as a JSON object."""
        return {
            name: None if (value := read(instance)) is None else show(value)
            for name, read, show in _members(type(self))  # type: ignore[arg-type]
        }


class RowSerializer(QuickRows, serializers.Serializer):
    """What all resources show first; the others' members come from their declarations."""

    id = integer()


class TimestampedRowSerializer(RowSerializer):
    """What resources show first whose rows know when they were made and changed."""

    created_at = moment()
    updated_at = moment()


def serializer_for(
    name: str, description: str, members: dict[str, serializers.Field], *, timestamped: bool
) -> type[serializers.Serializer]:
    """Make the serializer class of one resource, with name and description of its component."""
    base = TimestampedRowSerializer if timestamped else RowSerializer
    return type(f"{name}Serializer", (base,), {"__doc__": description, **members})
