"""Customers and a client that speaks for them."""

import base64
import json
from dataclasses import dataclass
from typing import Any

import pytest
from django.test import Client

from api.models import User
from tests import factories

BASE = "/api/cloudigrade/v2"
NOW = factories.utc("2019-04-17T10:00:00")


def identity(*, account_number: Any = None, org_id: Any = None, **members: Any) -> str:
    """Encode an identity header; ids that are None are left out."""
    ids = {"account_number": account_number, "org_id": org_id}
    given = {name: value for name, value in ids.items() if value is not None}
    return encode({"identity": given | members})


def encode(document: Any) -> str:
    """Encode anything as the identity header is encoded."""
    return base64.b64encode(json.dumps(document).encode()).decode()


@dataclass
class Caller:
    """Somebody who sends requests to paths below the base path."""

    headers: dict[str, str]

    def get(self, path: str, *, method: str = "get", **headers: str):
        """Send a request; keywords are further headers, with underscores for hyphens."""
        more = {name.replace("_", "-"): value for name, value in headers.items()}
        send = getattr(Client(raise_request_exception=False), method.lower())
        return send(f"{BASE}{path}", headers=self.headers | more)


def caller(**identity_members: Any) -> Caller:
    """Make a caller with an identity header."""
    return Caller({"X-RH-IDENTITY": identity(**identity_members)})


def caller_for(user: User) -> Caller:
    """Make a caller with the identity of a user."""
    return caller(account_number=user.account_number, org_id=user.org_id)


ANYBODY = Caller({})


@pytest.fixture
def customer(db) -> User:
    """Customer A of the specification."""
    return factories.make_user(account_number="100001", org_id="200002")


@pytest.fixture
def account_only(db) -> User:
    """Customer B of the specification."""
    return factories.make_user(account_number="300003")


@pytest.fixture
def org_only(db) -> User:
    """Customer C of the specification."""
    return factories.make_user(org_id="400004")


@pytest.fixture
def as_customer(customer) -> Caller:
    """Whoever speaks for customer A, by account number."""
    return caller(account_number="100001")
