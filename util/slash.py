"""The redirect to the URL with a trailing slash (spec 01 §1)."""

from django.http import HttpRequest
from django.middleware.common import CommonMiddleware
from django.utils.http import escape_leading_slashes


class SlashMiddleware(CommonMiddleware):
    """Django's, with the same 301 for every method, in debug mode too."""

    def get_full_path_with_slash(self, request: HttpRequest) -> str:
        """Return the path with a slash appended and the query string unchanged."""
        return escape_leading_slashes(request.get_full_path(force_append_slash=True))
