"""The redirect to the URL with a trailing slash (spec 01 §1)."""

from django.http import HttpRequest
from django.middleware.common import CommonMiddleware
from django.urls import is_valid_path
from django.utils.http import escape_leading_slashes


class SlashMiddleware(CommonMiddleware):
    """Django's, with the same 301 for every method, in debug mode too."""

    def should_redirect_with_slash(self, request: HttpRequest) -> bool:
        """Return whether a path that was not found, before any view was asked, has one with it."""
        if request.path_info.endswith("/") or request.resolver_match is not None:
            return False
        match = is_valid_path(f"{request.path_info}/")
        if not match:
            return False
        return getattr(match.func, "should_append_slash", True)

    def get_full_path_with_slash(self, request: HttpRequest) -> str:
        """Return the path with a slash appended and the query string unchanged."""
        return escape_leading_slashes(request.get_full_path(force_append_slash=True))
