"""Who may use the internal API, and what the log calls them (spec 02 §3, §12.1)."""

from typing import Any

from django.conf import settings
from rest_framework.exceptions import AuthenticationFailed
from rest_framework.permissions import BasePermission
from rest_framework.request import Request

from util.identity import Caller, IdentityError, read_caller

ANONYMOUS = Caller()


def caller_of(request: Request) -> Caller:
    """Return what the headers say of who is calling."""
    caller: Any = request.auth
    return caller or ANONYMOUS


def caller_name(request: Request) -> str:
    """Name the caller for the log, without keys and headers."""
    caller = caller_of(request) if hasattr(request, "_auth") else ANONYMOUS
    if caller.service:
        kind = f"service {caller.service!r}"
    elif caller.is_associate:
        kind = f"associate {_associate_name(caller)!r}"
    else:
        kind = "customer" if caller.has_tenant else "anonymous"
    if caller.has_tenant:
        kind += f" (account {caller.account_number!r}, org {caller.org_id!r})"
    return kind


def _associate_name(caller: Caller) -> str:
    associate = (caller.identity or {}).get("associate")
    names: dict[str, Any] = associate if isinstance(associate, dict) else {}
    return " ".join(str(names[key]) for key in ("givenName", "surname") if names.get(key))


def _real_caller(request: Request) -> Caller:
    try:
        return read_caller(request.headers, psks=settings.CLOUDIGRADE_PSKS) or ANONYMOUS
    except IdentityError as error:
        raise AuthenticationFailed(error.message) from error


class IsKnownCaller(BasePermission):
    """Demands a known service or an associate, if ``INTERNAL_API_REQUIRE_AUTH`` is set."""

    def has_permission(self, request: Request, view: Any) -> bool:
        """Let the request pass. Raises AuthenticationFailed, which is a 403.

        A fake identity, where it stands in for the real one, proves nothing.
        """
        if settings.INTERNAL_API_REQUIRE_AUTH and not self.is_known(_real_caller(request)):
            raise AuthenticationFailed
        return True

    def is_known(self, caller: Caller) -> bool:
        """Return whether the caller may use everything below ``/internal/``."""
        return bool(caller.service) or caller.is_associate


class IsKnownCallerOrTenant(IsKnownCaller):
    """Lets any customer pass too: an identity is all that the sources service has (decision 19)."""

    def is_known(self, caller: Caller) -> bool:
        """Return whether the caller may ask for a check of a source."""
        return super().is_known(caller) or caller.has_tenant
