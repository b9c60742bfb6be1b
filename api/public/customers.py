"""Whose request it is."""

from rest_framework.request import Request

from api.models import User


def customer_of(request: Request) -> User:
    """Return the customer who is calling; the views' permissions have refused everybody else."""
    assert isinstance(request.user, User)
    return request.user
