"""Views of the public API that the internal one has for any customer (spec 10 §1, 11 §1, 11 §2)."""

from typing import Any

from django.db.models import QuerySet
from drf_spectacular.utils import OpenApiParameter
from rest_framework.exceptions import ValidationError
from rest_framework.request import Request

from api.internal.views import InternalView
from api.models import User

LONGEST_ID = 18
"""Digits of an id that every column of ids can hold."""

UNKNOWN_USER = "There is no such user."
REQUIRED = "This parameter is required."

USER_ID = OpenApiParameter("user_id", int, description="The customer.", required=True)


class InternalCustomerView(InternalView):
    """A view of a customer's own data, for the customer whom the caller names."""

    def customer(self, request: Request) -> User:
        """Return the customer named by ``user_id``. Raises ValidationError."""
        text = request.query_params.get("user_id", "")
        if not text:
            raise ValidationError({"user_id": [REQUIRED]})
        user = row_with_id(User.objects.all(), text)
        if user is None:
            raise ValidationError({"user_id": [UNKNOWN_USER]})
        return user


def row_with_id(rows: QuerySet, text: str) -> Any:
    """Return the row with an id; None if there is none, or the text is no id."""
    is_id = text.isascii() and text.isdigit() and len(text) <= LONGEST_ID
    return rows.filter(id=int(text)).first() if is_id else None
