"""Whoever sends requests to the internal API."""

import json
from dataclasses import dataclass, field
from typing import Any

from django.test import Client

from tests.api.public.callers import identity

B = "/internal/api/cloudigrade/v1"
PSK = "s3cret"
ASSOCIATE = identity(
    type="Associate", auth_type="saml-auth", associate={"givenName": "J", "surname": "D"}
)


@dataclass
class Caller:
    """Somebody with headers; bodies are sent as JSON unless a content type is named."""

    headers: dict[str, str] = field(default_factory=dict)

    def send(self, method: str, path: str, body: Any = None, **options: Any) -> Any:
        """Send a request; ``body`` may be text already. Other options are Django's."""
        options.setdefault("content_type", "application/json")
        if body is not None:
            options["data"] = body if isinstance(body, str | bytes) else json.dumps(body)
        headers = self.headers | options.pop("headers", {})
        return Client(raise_request_exception=False).generic(
            method, path, headers=headers, **options
        )

    def get(self, path: str, **headers: str) -> Any:
        """Read; keywords are headers, with underscores for hyphens."""
        more = {name.replace("_", "-"): value for name, value in headers.items()}
        return self.send("GET", path, headers=more)

    def post(self, path: str, body: Any = None, **options: Any) -> Any:
        """Make something."""
        return self.send("POST", path, body, **options)

    def put(self, path: str, body: Any) -> Any:
        """Change something as a whole."""
        return self.send("PUT", path, body)

    def patch(self, path: str, body: Any) -> Any:
        """Change some of something."""
        return self.send("PATCH", path, body)

    def delete(self, path: str) -> Any:
        """Delete something."""
        return self.send("DELETE", path)

    def rows(self, path: str) -> list[dict]:
        """Read a list's page below the base path."""
        response = self.get(f"{B}/{path}")
        assert response.status_code == 200, response.content
        return response.json()["data"]


ANYBODY = Caller()


def customer(**members: Any) -> Caller:
    """Somebody with a customer's identity."""
    return Caller({"X-RH-IDENTITY": identity(**members)})


def associate(**fake: Any) -> Caller:
    """A Red Hat associate, who may look through a customer's eyes."""
    headers = {"X-RH-IDENTITY": ASSOCIATE}
    if fake:
        headers["X-RH-INTERNAL-FAKE-IDENTITY"] = identity(**fake)
    return Caller(headers)


def service(psk: str = PSK, *, account_number: str = "", org_id: str = "") -> Caller:
    """A service with a pre-shared key, by default the right one."""
    headers = {"X-RH-CLOUDIGRADE-PSK": psk}
    if account_number:
        headers["X-RH-CLOUDIGRADE-ACCOUNT-NUMBER"] = account_number
    if org_id:
        headers["X-RH-CLOUDIGRADE-ORG-ID"] = org_id
    return Caller(headers)
