"""The application's cache, for operators (spec 02 §7)."""

from typing import Any

from django.core.cache import cache
from rest_framework.exceptions import NotFound, ValidationError
from rest_framework.request import Request
from rest_framework.response import Response

from api.internal.views import ActionView

LONGEST_TIMEOUT = 2**31 - 1


class CacheView(ActionView):
    """One cached value."""

    def get(self, request: Request, key: str) -> Response:
        """Show the value and for how many more seconds it is kept; None is for ever."""
        value = cache.get(key)
        if value is None:
            raise NotFound
        timeout = cache.seconds_left(key)  # type: ignore[attr-defined] # util.cache
        return Response({"key": key, "value": value, "timeout": timeout})

    def post(self, request: Request, key: str) -> Response:
        """Store a value; with a time of zero or less it is gone at once."""
        members = self.input(request)
        if members.get("value") is None:
            raise ValidationError(["value field is required"])
        timeout = members.get("timeout")
        if timeout:
            cache.set(key, members["value"], _seconds(timeout))
        else:
            cache.set(key, members["value"])
        return Response()


def _seconds(value: Any) -> int:
    try:
        if isinstance(value, int | float | str) and (seconds := int(value)) <= LONGEST_TIMEOUT:
            return max(seconds, 0)
    except (ValueError, OverflowError):
        pass
    raise ValidationError({"timeout": ["A valid integer is required."]})


class ClearCacheView(ActionView):
    """Empty the application's cache."""

    def post(self, request: Request) -> Response:
        """Delete what has the cache's prefix; Celery's keys in the same database stay."""
        cache.clear()
        return Response()
