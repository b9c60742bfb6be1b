"""Whoever sends requests to the public API."""

import base64
import json
from dataclasses import dataclass, field
from typing import Any

from django.test import Client

from api.models import User

BASE = "/api/cloudigrade/v2"


def encode(document: Any) -> str:
    """Encode anything the way an identity header is encoded."""
    return base64.b64encode(json.dumps(document).encode()).decode()


def identity(*, account_number: Any = None, org_id: Any = None, **members: Any) -> str:
    """Encode an identity; ids that are None are left out."""
    ids = {"account_number": account_number, "org_id": org_id}
    given = {name: value for name, value in ids.items() if value is not None}
    return encode({"identity": given | members})


@dataclass
class Caller:
    """Somebody with headers, who names paths below the base path."""

    headers: dict[str, str] = field(default_factory=dict)

    def get(self, path: str, *, method: str = "GET", **headers: str) -> Any:
        """Send a request; keywords are further headers, with underscores for hyphens."""
        more = {name.replace("_", "-"): value for name, value in headers.items()}
        return Client(raise_request_exception=False).generic(
            method, f"{BASE}{path}", headers=self.headers | more
        )


ANYBODY = Caller()


def caller(**identity_members: Any) -> Caller:
    """Make a caller with an identity header."""
    return Caller({"X-RH-IDENTITY": identity(**identity_members)})


def caller_for(user: User) -> Caller:
    """Make a caller with the identity of a user."""
    return caller(account_number=user.account_number, org_id=user.org_id)


def service(psk: str, **companions: str) -> Caller:
    """Make a service that calls with a pre-shared key."""
    names = {"account_number": "ACCOUNT-NUMBER", "org_id": "ORG-ID"}
    headers = {f"X-RH-CLOUDIGRADE-{names[name]}": value for name, value in companions.items()}
    return Caller({"X-RH-CLOUDIGRADE-PSK": psk, **headers})
