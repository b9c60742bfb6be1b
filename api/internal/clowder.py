"""Clowder's configuration as this process sees it, without secrets (spec 02 §7)."""

import json
import logging
from pathlib import Path
from typing import Any

from django.conf import settings
from rest_framework.exceptions import APIException, NotFound
from rest_framework.request import Request
from rest_framework.response import Response

from api.internal.views import ActionView
from util.redaction import MASK

logger = logging.getLogger(__name__)

PLAIN_ENVIRONMENTS = {"local", "test", "ephemeral"}
"""Where secrets are no secrets (README decision 18)."""

SECRET_NAMES = ("password", "secret", "cert", "key", "rdsca", "clientaccesstoken")
SHORTEST_WITH_TAIL = 8
TAIL = 2


class CdappconfigView(ActionView):
    """The file that Clowder wrote for us."""

    def get(self, request: Request) -> Response:
        """Show it, with secrets masked where they are real."""
        if not settings.ACG_CONFIG:
            raise NotFound
        try:
            config = json.loads(Path(settings.ACG_CONFIG).read_text(encoding="utf-8"))
        except FileNotFoundError as error:
            raise NotFound from error
        except (OSError, ValueError) as error:
            logger.exception("Clowder's configuration cannot be read")
            raise APIException from error
        if settings.CLOUDIGRADE_ENVIRONMENT not in PLAIN_ENVIRONMENTS:
            config = redacted(config)
        return Response(config)


def redacted(value: Any) -> Any:
    """Mask each member whose name tells of a secret, however deep, and whatever it is."""
    if isinstance(value, dict):
        return {
            name: mask(member) if _is_secret(name) else redacted(member)
            for name, member in value.items()
        }
    if isinstance(value, list):
        return [redacted(member) for member in value]
    return value


def _is_secret(name: str) -> bool:
    return any(secret in name.lower() for secret in SECRET_NAMES)


def mask(value: Any) -> str | None:
    """Hide a value. Two characters are left of a long one, so that people can tell which it is."""
    if value is None:
        return None
    text = str(value)
    return MASK + (text[-TAIL:] if len(text) >= SHORTEST_WITH_TAIL else "")
