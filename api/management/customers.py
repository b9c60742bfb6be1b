"""How operators name a customer to a command (spec 10 §4)."""

from argparse import ArgumentParser
from collections.abc import Mapping
from typing import Any

from django.core.management.base import CommandError

from api.models import User


def add_customer(parser: ArgumentParser) -> None:
    """Demand one of ``--org-id`` and ``--user-id``."""
    group = parser.add_mutually_exclusive_group(required=True)
    group.add_argument("--org-id", help="the customer's org id")
    group.add_argument("--user-id", type=int, help="the id of the customer's row")


def find_customer(options: Mapping[str, Any]) -> User:
    """Return the customer that options name. Raises CommandError, exit code 2, without one."""
    named = {"org_id": options["org_id"]} if options["org_id"] else {"id": options["user_id"]}
    user = User.objects.filter(**named).first()
    if user is None:
        [(name, value)] = named.items()
        raise CommandError(f"There is no customer with {name} {value}", returncode=2)
    return user
