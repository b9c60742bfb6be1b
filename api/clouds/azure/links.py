"""Which URLs are the resource manager's own (decision 51). Pure but for the setting.

Nothing is asked for anywhere else: neither a link nor a redirect of an answer can send us, or our
token, to another host.
"""

import re
from typing import NamedTuple
from urllib.parse import urljoin, urlsplit

from django.conf import settings

from api.clouds.azure.errors import AzureBusyError

_PORTS = {"https": 443, "http": 80}

_AMBIGUOUS = re.compile(r"[\\\x00-\x1f\x7f]|^\s|\s$")
"""What parsers of URLs do not agree on, so that it could hide a host."""


class Origin(NamedTuple):
    """Where a URL leads to."""

    scheme: str
    host: str
    port: int | None
    credentials: bool


def own_url(link: str, *, base: str) -> str:
    """Return the absolute URL of a link that was found at a URL of ours.

    Raises ``AzureBusyError`` if it leads to another scheme, host or port than
    ``AZURE_ARM_BASE_URL``, or cannot be understood: then the answer is not one that we believe.
    """
    try:
        url = urljoin(base, link)
        is_own = not _AMBIGUOUS.search(link) and _origin(url) == _origin(
            settings.AZURE_ARM_BASE_URL
        )
    except ValueError as error:
        raise AzureBusyError("MalformedLink", f"{base} leads to {link[:200]!r}") from error
    if not is_own:
        raise AzureBusyError("ForeignLink", f"{base} leads to {link[:200]!r}")
    return url


def _origin(url: str) -> Origin:
    parts = urlsplit(url)
    return Origin(
        scheme=parts.scheme,
        host=parts.hostname or "",
        port=parts.port or _PORTS.get(parts.scheme),
        credentials="@" in parts.netloc,
    )
