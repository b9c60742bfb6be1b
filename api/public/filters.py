"""The query parameters by which lists, and single objects too, are filtered (spec 01 §7, §14.7).

A filter reads its parameters, and narrows rows down to what they ask for. Of a repeated parameter
the last value counts; an empty one is none.
"""

import datetime
from typing import Any, TypeVar

from django import forms
from django.db.models import Exists, Model, OuterRef, QuerySet
from rest_framework.exceptions import ValidationError
from rest_framework.request import Request

from api.models import CloudType, MachineImage, Run
from api.public.moments import parse_instant

Row = TypeVar("Row", bound=Model)

_BOOLEANS = {"true": True, "false": False, "1": True, "0": False}


class InstantField(forms.CharField):
    """An ISO 8601 date-time."""

    default_error_messages = {"invalid": "Enter a valid date/time."}

    def to_python(self, value: Any) -> datetime.datetime | None:
        """Read the instant, in UTC; None if there is nothing to read."""
        text = super().to_python(value)
        try:
            return parse_instant(text) if text else None
        except ValueError as error:
            raise forms.ValidationError(self.error_messages["invalid"], code="invalid") from error


class BooleanField(forms.TypedChoiceField):
    """True or false, in any case; ``1`` and ``0`` do as well."""

    def __init__(self) -> None:
        super().__init__(
            choices=[(word, word) for word in _BOOLEANS],
            coerce=_BOOLEANS.__getitem__,
            empty_value=None,
            required=False,
        )

    def to_python(self, value: Any) -> str:
        """Read the word; only those that mean nothing keep their case, for the error message."""
        text = super().to_python(value)
        return text.lower() if text.lower() in _BOOLEANS else text


class Filter(forms.Form):
    """What one resource can be filtered by; each field narrows the rows by the column it names."""

    columns: dict[str, str] = {}

    def narrow(self, rows: QuerySet[Row]) -> QuerySet[Row]:
        """Leave the rows that match all parameters that were given."""
        for name, value in self.cleaned_data.items():
            if value not in (None, ""):
                rows = self.apply(rows, name, value)
        return rows

    def apply(self, rows: QuerySet[Row], name: str, value: Any) -> QuerySet[Row]:
        """Leave the rows that match one parameter."""
        return rows.filter(**{self.columns.get(name, name): value})


class AccountFilter(Filter):
    """Filters accounts."""

    cloud_type = forms.ChoiceField(choices=CloudType.choices, required=False)
    is_enabled = BooleanField()


class InstanceFilter(Filter):
    """Filters instances."""

    running_since = InstantField(required=False)
    cloud_account_id = forms.IntegerField(required=False)
    machine_image_id = forms.IntegerField(required=False)

    def apply(self, rows: QuerySet[Row], name: str, value: Any) -> QuerySet[Row]:
        """Leave the instances that match one parameter."""
        if name != "running_since":
            return super().apply(rows, name, value)
        # An instance has one run without an end at most, so this is its latest.
        running = Run.objects.filter(
            instance_id=OuterRef("id"), end_time__isnull=True, start_time__lte=value
        )
        return rows.filter(Exists(running))


class ImageFilter(Filter):
    """Filters images."""

    columns = {"rhel_detected": "is_rhel"}

    architecture = forms.CharField(required=False)
    status = forms.ChoiceField(choices=MachineImage.Status.choices, required=False)
    rhel_detected = BooleanField()


def read_filter(kind: type[Filter], request: Request) -> Filter:
    """Read a request's parameters; raises ValidationError that names every one that is wrong."""
    query = kind(request.query_params)
    if not query.is_valid():
        raise ValidationError({name: list(errors) for name, errors in query.errors.items()})
    return query
