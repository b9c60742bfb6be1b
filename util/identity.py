"""Who is calling: identity headers and pre-shared keys (spec 01 §2, spec 02 §3, spec 03 §2).

Everything here is pure: headers in, a :class:`Caller` or an error out. Who that caller is among our
users is decided elsewhere.
"""

import base64
import binascii
import hmac
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

IDENTITY_HEADER = "X-RH-IDENTITY"
FAKE_IDENTITY_HEADER = "X-RH-INTERNAL-FAKE-IDENTITY"
PSK_HEADER = "X-RH-CLOUDIGRADE-PSK"
PSK_ACCOUNT_NUMBER_HEADER = "X-RH-CLOUDIGRADE-ACCOUNT-NUMBER"
PSK_ORG_ID_HEADER = "X-RH-CLOUDIGRADE-ORG-ID"

KAFKA_IDENTITY_HEADER = "x-rh-identity"
KAFKA_ACCOUNT_NUMBER_HEADER = "x-rh-sources-account-number"
KAFKA_ORG_ID_HEADER = "x-rh-sources-org-id"


class IdentityError(Exception):
    """The caller cannot be accepted. The message is what the caller may be told."""

    message = "Incorrect authentication credentials."

    def __init__(self) -> None:
        super().__init__(self.message)


class MalformedIdentity(IdentityError):
    """The identity header is not base64 of a JSON object with an identity."""

    message = "Authentication Failed: invalid identity header failed parsing."


class InvalidPsk(IdentityError):
    """The pre-shared key is nobody's."""

    message = "Authentication Failed: Invalid PSK specified in header"


class MissingTenant(IdentityError):
    """Neither an account number nor an org id was given."""

    message = (
        "Authentication Failed: identity account number or org id is required, "
        "but neither is present in request."
    )


class UnusableTenant(IdentityError):
    """An account number or org id holds characters that no database can hold."""


@dataclass(frozen=True)
class Caller:
    """What the headers say of who is calling, before anybody is looked up.

    ``service`` names the service whose pre-shared key was used; ``identity`` is the decoded
    identity where there was one.
    """

    account_number: str | None = None
    org_id: str | None = None
    service: str | None = None
    identity: Mapping[str, Any] | None = None

    @property
    def has_tenant(self) -> bool:
        """Whether an account number or an org id is known."""
        return bool(self.account_number or self.org_id)

    @property
    def is_associate(self) -> bool:
        """Whether a Red Hat employee is calling."""
        return (self.identity or {}).get("type") == "Associate"


def decode_identity(header: str) -> dict[str, Any]:
    """Return the identity of a base64 encoded identity header; raise MalformedIdentity.

    A header without ``identity`` has an empty one.
    """
    try:
        document = json.loads(base64.b64decode(header).decode())
    except (binascii.Error, ValueError, RecursionError) as error:
        raise MalformedIdentity from error
    if not isinstance(document, dict):
        raise MalformedIdentity
    identity = document.get("identity", {})
    if not isinstance(identity, dict):
        raise MalformedIdentity
    return identity


def read_caller(
    headers: Mapping[str, str], *, psks: Mapping[str, str], fake_identity_allowed: bool = False
) -> Caller | None:
    """Return who a request's headers say is calling, None if they say nothing.

    A pre-shared key header, even an empty one, is decisive: no identity is looked at then. With
    ``fake_identity_allowed`` a fake identity header, even an empty one, replaces the identity
    header. Raises InvalidPsk, MalformedIdentity or UnusableTenant.
    """
    psk = headers.get(PSK_HEADER)
    if psk is not None:
        return Caller(
            account_number=_tenant_id(headers.get(PSK_ACCOUNT_NUMBER_HEADER)),
            org_id=_tenant_id(headers.get(PSK_ORG_ID_HEADER)),
            service=_service_of(psk, psks),
        )
    encoded = headers.get(FAKE_IDENTITY_HEADER) if fake_identity_allowed else None
    if encoded is None:
        encoded = headers.get(IDENTITY_HEADER)
    if not encoded:
        return None
    identity = decode_identity(encoded)
    return Caller(
        account_number=_tenant_id(identity.get("account_number")),
        org_id=_tenant_id(identity.get("org_id")),
        identity=identity,
    )


def tenant_from_headers(
    headers: Iterable[Sequence[str | None]],
) -> tuple[str | None, str | None]:
    """Return account number and org id of a Kafka message's ``[name, value]`` pairs.

    The explicit headers decide, unless both are missing or empty; only then the identity is looked
    at. What cannot be decoded counts as absent (spec 03 §2).
    """
    pairs = [(pair[0], pair[1]) for pair in headers]
    account_number = _first(pairs, KAFKA_ACCOUNT_NUMBER_HEADER) or None
    org_id = _first(pairs, KAFKA_ORG_ID_HEADER) or None
    encoded = _first(pairs, KAFKA_IDENTITY_HEADER)
    try:
        if not account_number and not org_id and encoded:
            identity = decode_identity(encoded)
            account_number, org_id = identity.get("account_number"), identity.get("org_id")
        return _tenant_id(account_number), _tenant_id(org_id)
    except IdentityError:
        return None, None


def _first(pairs: Iterable[tuple[str | None, str | None]], name: str) -> str | None:
    return next((value for found, value in pairs if found == name), None)


def _service_of(psk: str, psks: Mapping[str, str]) -> str:
    """Return whose key this is. All keys are compared, each in constant time."""
    found = None
    for service, key in psks.items():
        if hmac.compare_digest(str(key).encode(), psk.encode(errors="replace")) and key:
            found = service
    if found is None:
        raise InvalidPsk
    return found


def _tenant_id(value: Any) -> str | None:
    """Return an account number or org id as text; empty, zero and false count as absent."""
    if isinstance(value, bool) or not isinstance(value, str | int | float) or not value:
        return None
    text = str(value)
    if "\0" in text or any("\ud800" <= char <= "\udfff" for char in text):
        raise UnusableTenant
    return text
