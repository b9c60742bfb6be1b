"""Django's middleware for people with a browser, kept away from programs.

Sessions, users and messages serve the admin and the console only. Elsewhere a request neither reads
nor gets a cookie for them, and does not pay for looking.
"""

from typing import Any

from django.conf import settings
from django.contrib.auth.middleware import AuthenticationMiddleware as DjangoAuthentication
from django.contrib.messages.middleware import MessageMiddleware as DjangoMessages
from django.contrib.sessions.middleware import SessionMiddleware as DjangoSessions
from django.http import HttpRequest
from django.utils.deprecation import MiddlewareMixin


class _BrowserOnly(MiddlewareMixin):
    """Lets all requests pass untouched but those below ``settings.BROWSER_PATHS``."""

    def __call__(self, request: HttpRequest) -> Any:
        """Answer a request."""
        if request.path_info.startswith(settings.BROWSER_PATHS):
            return super().__call__(request)
        return self.get_response(request)


class SessionMiddleware(_BrowserOnly, DjangoSessions):
    """Sessions."""


class AuthenticationMiddleware(_BrowserOnly, DjangoAuthentication):
    """The user of a session."""


class MessageMiddleware(_BrowserOnly, DjangoMessages):
    """Messages for a page's next visit."""
