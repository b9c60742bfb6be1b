"""Who may see the console, and who may act (spec 12 §3)."""

from typing import Any

from django.conf import settings
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest

from util.identity import Caller, IdentityError, read_caller

ANONYMOUS = Caller()
LONGEST_NAME = 200

INCORRECT = "Incorrect authentication credentials."
ASSOCIATES_ONLY = "Only a Red Hat associate may do this."


def caller_of(request: HttpRequest) -> Caller:
    """Return who is calling. Raises PermissionDenied for headers that are wrong."""
    try:
        return read_caller(request.headers, psks=settings.CLOUDIGRADE_PSKS) or ANONYMOUS
    except IdentityError as error:
        raise PermissionDenied(error.message) from error


def require_reader(caller: Caller) -> None:
    """Raise PermissionDenied for a stranger, if ``INTERNAL_API_REQUIRE_AUTH`` is set."""
    if settings.INTERNAL_API_REQUIRE_AUTH and not (caller.service or caller.is_associate):
        raise PermissionDenied(INCORRECT)


def require_associate(caller: Caller) -> None:
    """Raise PermissionDenied unless a Red Hat associate is calling, whatever the settings."""
    if not caller.is_associate:
        raise PermissionDenied(ASSOCIATES_ONLY)


def name_of(caller: Caller) -> str:
    """Return what the audit log calls the caller, without keys and headers."""
    if caller.service:
        return f"service {caller.service}"[:LONGEST_NAME]
    if not caller.is_associate:
        return "customer" if caller.has_tenant else "anonymous"
    associate = (caller.identity or {}).get("associate")
    names: dict[str, Any] = associate if isinstance(associate, dict) else {}
    parts = [str(names[key]) for key in ("givenName", "surname", "email") if names.get(key)]
    return storable(" ".join(parts))[:LONGEST_NAME] or "associate without a name"


def address_of(request: HttpRequest) -> str:
    """Return from where a request comes: the peer, and whom that says it speaks for."""
    peer = request.META.get("REMOTE_ADDR") or "unknown"
    through = request.headers.get("X-Forwarded-For", "")
    return storable(f"{peer} for {through}" if through else peer)[:LONGEST_NAME]


def storable(text: str) -> str:
    """Return text without what PostgreSQL cannot store."""
    return text.replace("\0", "").encode(errors="replace").decode()
