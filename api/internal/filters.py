"""Query parameters of the internal lists, with the error texts of spec 02 §2.3."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from functools import lru_cache
from typing import Any

from django import forms
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db.models import Q, QuerySet, Value
from django.db.models.functions import Lower
from django_filters import rest_framework as filters

from api.models import User
from api.public.filters import NO_INSTANT
from api.public.timestamps import parse_instant

Filters = Mapping[str, filters.Filter]

BIGINT_END = 2**63
INTEGER_END = 2**31
AWS_ACCOUNT_ID_END = 10**12


class InstantField(forms.CharField):
    """An ISO 8601 date-time."""

    def to_python(self, value: Any) -> Any:
        """Read the instant, in UTC; None if there is nothing to read."""
        text = super().to_python(value)
        try:
            return parse_instant(text) if text else None
        except ValueError as error:
            raise forms.ValidationError(NO_INSTANT, code="invalid") from error


class NumberFilter(filters.NumberFilter):
    """Equality with a number; one that no row can have gives an empty list."""

    def __init__(
        self, *args: Any, convert: Callable[[Decimal], object], end: float, **options: Any
    ) -> None:
        super().__init__(*args, **options)
        self.convert = convert
        self.end = end

    def get_max_validator(self) -> None:
        """Refuse no number for its size."""

    def value_of(self, number: Decimal) -> object:
        """Return the number in the type that the column has; None if no row can have it."""
        # Magnitude first: turning 1e999999999 into a whole number would take all memory.
        return self.convert(number) if -self.end < number < self.end else None

    def filter(self, qs: QuerySet, value: Decimal | None) -> QuerySet:
        """Keep the rows with the number."""
        if value is None:
            return qs
        converted = self.value_of(value)
        return qs.none() if converted is None else self.matching(qs, converted)

    def matching(self, rows: QuerySet, value: object) -> QuerySet:
        """Keep the rows with a value that rows can have."""
        return super().filter(rows, value)


def _whole(value: Decimal) -> int | None:
    return int(value) if value == value.to_integral_value() else None


def _aws_account_id(value: Decimal) -> str | None:
    number = _whole(value)
    return None if number is None or number < 0 else f"{number:012d}"


class WholeNumberFilter(NumberFilter):
    """Equality with a whole number; one that the column cannot hold is an error (decision 50)."""

    def __init__(self, field_name: str, end: int = BIGINT_END, **options: Any) -> None:
        limits = [MinValueValidator(-end), MaxValueValidator(end - 1)]
        super().__init__(field_name, convert=_whole, end=end, validators=limits, **options)


def whole_number(field_name: str, end: int = BIGINT_END) -> WholeNumberFilter:
    """Filter a column of whole numbers that are smaller than ``end``."""
    return WholeNumberFilter(field_name, end)


def decimal_number(field_name: str) -> NumberFilter:
    """Filter a column of numbers that may have a fraction."""
    return NumberFilter(field_name, convert=float, end=1e15)


def aws_account_id(field_name: str) -> NumberFilter:
    """Filter a column of AWS account ids; leading zeros may be left out."""
    return NumberFilter(field_name, convert=_aws_account_id, end=AWS_ACCOUNT_ID_END)


def text(field_name: str) -> filters.CharFilter:
    """Filter a column of text, exactly."""
    return filters.CharFilter(field_name)


class CloudIdFilter(filters.CharFilter):
    """Equality with an id that the cloud gave, in any case, as it is indexed (spec 06 §5.2)."""

    def filter(self, qs: QuerySet, value: str | None) -> QuerySet:
        """Keep the rows with the id."""
        if not value:
            return qs
        return qs.alias(lower_id=Lower(self.field_name)).filter(lower_id=Lower(Value(value)))


def cloud_id(field_name: str) -> CloudIdFilter:
    """Filter a column of ids that the cloud gave to instances."""
    return CloudIdFilter(field_name)


def boolean(field_name: str) -> filters.BooleanFilter:
    """Filter a column by true, false, 1 or 0; anything else is ignored."""
    return filters.BooleanFilter(field_name)


def given(field_name: str) -> filters.BooleanFilter:
    """Filter by whether a column has a value, with true, false, 1 or 0."""
    return filters.BooleanFilter(field_name, lookup_expr="isnull", exclude=True)


def choice(field_name: str, choices: list[tuple[str, str]]) -> filters.ChoiceFilter:
    """Filter a column by one of its values."""
    return filters.ChoiceFilter(field_name, choices=choices)


def uuid(field_name: str) -> filters.UUIDFilter:
    """Filter a column of UUIDs."""
    return filters.UUIDFilter(field_name)


def reference(field_name: str, rows: Callable[[], QuerySet]) -> filters.ModelChoiceFilter:
    """Filter by the id of another row, which must exist."""
    return filters.ModelChoiceFilter(field_name, queryset=lambda request: rows())


class MomentFilter(filters.IsoDateTimeFilter):
    """Comparison with an instant, which is taken to UTC: PostgreSQL knows not every offset."""

    field_class = InstantField


def moments(*field_names: str, column: str | None = None) -> dict[str, filters.Filter]:
    """Filter columns of date-times: the moment itself, and strictly before and after.

    A ``column`` may have another name than the parameter has.
    """
    return {
        f"{name}{suffix}": MomentFilter(column or name, lookup)
        for name in field_names
        for suffix, lookup in (("", "exact"), ("__lt", "lt"), ("__gt", "gt"))
    }


def days(name: str) -> dict[str, filters.Filter]:
    """Filter a column of dates: the day itself, and strictly before and after."""
    return {
        f"{name}{suffix}": filters.DateFilter(name, lookup, input_formats=["%Y-%m-%d"])
        for suffix, lookup in (("", "exact"), ("__lt", "lt"), ("__gt", "gt"))
    }


def times() -> dict[str, filters.Filter]:
    """Filter by when the row was made and last changed."""
    return moments("created_at", "updated_at")


def identity(user: str) -> dict[str, filters.Filter]:
    """Filter by the customer that owns the row; ``user`` leads there."""
    return {
        "account_number": text(f"{user}__account_number"),
        "org_id": text(f"{user}__org_id"),
        "username": text(f"{user}__account_number"),
    }


@dataclass(frozen=True)
class Through:
    """A way from a column to rows of another table, where no foreign key leads."""

    column: str
    rows: QuerySet
    target: str

    def matching(self, rows: QuerySet, name: str, value: object) -> QuerySet:
        """Keep the rows that lead to others with a value, by one subquery."""
        found = self.rows.filter(**{name: value}).values(self.target)
        return rows.filter(**{f"{self.column}__in": found})


class WholeNumberThrough(WholeNumberFilter):
    """Filter by a whole number of the rows at the end of a way."""

    def __init__(self, through: Through, field_name: str) -> None:
        super().__init__(field_name)
        self.through = through

    def matching(self, rows: QuerySet, value: object) -> QuerySet:
        """Keep the rows that lead there."""
        return self.through.matching(rows, self.field_name, value)


class TextThrough(filters.CharFilter):
    """Filter by text of the rows at the end of a way."""

    def __init__(self, through: Through, field_name: str) -> None:
        super().__init__(field_name)
        self.through = through

    def filter(self, qs: QuerySet, value: str | None) -> QuerySet:
        """Keep the rows that lead there."""
        return self.through.matching(qs, self.field_name, value) if value else qs


class UserOfMessage(WholeNumberFilter):
    """Messages of the sources service that name a customer by one of their numbers."""

    def __init__(self) -> None:
        super().__init__("user_id")

    def matching(self, rows: QuerySet, value: Any) -> QuerySet:
        """Keep the rows of the customer with this id."""
        users = User.objects.filter(id=value)
        return rows.filter(
            Q(org_id__in=users.values("org_id"))
            | Q(account_number__in=users.values("account_number"))
        )


_COMPARISONS = {"lt": "before ", "gt": "after ", "exact": ""}

_OF_A_CUSTOMER = {
    "account_number": "account number",
    "org_id": "org id",
    "username": "account number",
    "user_id": "id",
}


def described(parameter: str, member: filters.Filter) -> str:
    """Return what a query parameter does, for the OpenAPI document."""
    if parameter in _OF_A_CUSTOMER:
        return f"Only rows of the customer with this {_OF_A_CUSTOMER[parameter]}."
    column = parameter.partition("__")[0]
    match member:
        case filters.IsoDateTimeFilter() | filters.DateFilter():
            kind = "day" if isinstance(member, filters.DateFilter) else "ISO 8601 date-time"
            return f"Only rows whose `{column}` is {_COMPARISONS[member.lookup_expr]}this {kind}."
        case filters.BooleanFilter() if member.exclude:
            return "Only rows for which this is so (`true`), or is not (`false`)."
        case filters.BooleanFilter():
            return f"Only rows whose `{column}` is this; what is no truth value is ignored."
        case filters.ModelChoiceFilter():
            return f"Only rows of the `{column}` with this id, which must exist."
        case CloudIdFilter():
            return f"Only rows whose `{column}` is this, in upper or lower case."
        case _:
            return f"Only rows whose `{column}` is exactly this."


def filter_set(name: str, members: Filters) -> type[filters.FilterSet]:
    """Make the class that reads all the query parameters of one resource, and describes them."""
    for parameter, member in members.items():
        member.extra.setdefault("help_text", described(parameter, member))
    return type(f"{name}Filters", (filters.FilterSet,), dict(members))


@lru_cache(256)
def only(whole: type[filters.FilterSet], names: frozenset[str]) -> type[filters.FilterSet]:
    """Return the class that reads some of the parameters: forms take long to make."""
    used = {name: one for name, one in whole.base_filters.items() if name in names}
    return type(whole.__name__, (filters.FilterSet,), used)
