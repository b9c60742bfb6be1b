"""How operators name a customer to a command (spec 10 §4)."""

from argparse import ArgumentParser
from collections.abc import Mapping
from typing import Any

from api.management.base import refusal
from api.management.values import row_id, text
from api.models import User


def add_customer(parser: ArgumentParser, *, required: bool = True) -> None:
    """Demand one of ``--org-id`` and ``--user-id``, or take one at most."""
    group = parser.add_mutually_exclusive_group(required=required)
    group.add_argument("--org-id", type=text, help="the customer's org id")
    group.add_argument("--user-id", type=row_id, help="the id of the customer's row")


def find_customer(options: Mapping[str, Any]) -> User:
    """Return the customer that options name. Raises CommandError, exit code 2, without one."""
    org_id, user_id = options["org_id"], options.get("user_id")
    named = {"org_id": org_id} if org_id is not None else {"id": user_id}
    user = User.objects.filter(**named).first()
    if user is None:
        [(name, value)] = named.items()
        raise refusal(f"There is no customer with {name} {value}.")
    return user
