"""Asks the sources service about applications, authentications and sources (spec 03 §4).

A 404 is believed only if sources said it, in its own form (decision 35): whatever stands between us
and sources answers 404 too when it has lost its way. Nor is another answer believed that is not one
of what was asked: of another object, of nothing where something is counted, or of another server.
"""

import logging
import time
from functools import cache
from typing import Any
from urllib.parse import quote

import requests
from django.conf import settings

from api.sources.messages import Tenant, platform_id
from util.circuit import Circuit
from util.identity import KAFKA_ACCOUNT_NUMBER_HEADER as ACCOUNT_NUMBER_HEADER
from util.identity import KAFKA_ORG_ID_HEADER as ORG_ID_HEADER

logger = logging.getLogger(__name__)

PSK_HEADER = "x-rh-sources-psk"
APPLICATION_TYPE_NAME = "/insights/platform/cloud-meter"
PAGE_SIZE = 1000
LOGGED_CHARACTERS = 500

MOST_LINKS = 10_000
"""More links than that no authentication has: the list never ends."""

PASSING = (requests.codes.not_found, requests.codes.too_many_requests)
"""Errors of a client that may pass: a 404 comes here only if sources did not say it."""

_circuit = Circuit(silences=5, seconds=10)
"""A sources service that hangs must not keep all workers waiting for it."""

Record = dict[str, Any]


class SourcesError(Exception):
    """The sources service did not tell us what we asked."""


class SourcesUnavailableError(SourcesError):
    """It cannot answer now: no connection, no answer in time, an error of its own, or nonsense."""


class SourcesMissingError(SourcesUnavailableError):
    """It does not know yet what it has just told us of; for so many seconds that may change."""

    def __init__(self, what: str, seconds_left: float) -> None:
        super().__init__(what, seconds_left)
        self.what = what
        self.seconds_left = seconds_left

    def __str__(self) -> str:
        return f"sources does not know {self.what}, and is asked for {self.seconds_left:.0f} s more"


class SourcesRefusedError(SourcesError):
    """It refuses to answer us; asking again will not change that."""


class _Session(requests.Session):
    """A session that shows our secrets to the sources service alone, whatever it redirects to."""

    def rebuild_auth(
        self, prepared_request: requests.PreparedRequest, response: requests.Response
    ) -> None:
        """Drop our headers from a request that is redirected to another place."""
        super().rebuild_auth(prepared_request, response)
        if self.should_strip_auth(response.request.url, prepared_request.url):
            for name in (PSK_HEADER, ACCOUNT_NUMBER_HEADER, ORG_ID_HEADER):
                prepared_request.headers.pop(name, None)


@cache
def _session() -> _Session:
    """Return the process's session, which keeps connections open between requests."""
    return _Session()


def get_authentication(authentication_id: object, *, tenant: Tenant) -> Record | None:
    """Get an authentication with its secret; None if it does not exist. Raises ``SourcesError``."""
    return _get_object(
        f"{settings.SOURCES_INTERNAL_API_BASE_URL}/authentications",
        authentication_id,
        tenant=tenant,
        query={"expose_encrypted_attribute[]": "password"},
    )


def get_application(application_id: object, *, tenant: Tenant) -> Record | None:
    """Get an application; None if it does not exist. Raises ``SourcesError``."""
    return _get_object(_public("applications"), application_id, tenant=tenant)


def get_source(source_id: object, *, tenant: Tenant) -> Record | None:
    """Get a source; None if it does not exist. Raises ``SourcesError``."""
    return _get_object(_public("sources"), source_id, tenant=tenant)


def list_application_authentications(authentication_id: object, *, tenant: Tenant) -> list[Record]:
    """List all that ties applications to an authentication. Raises ``SourcesError``."""
    found: list[Record] = []
    while True:
        query = {"filter[authentication_id]": str(authentication_id)}
        if found:
            query |= {"limit": str(PAGE_SIZE), "offset": str(len(found))}
        page = _get(_public("application_authentications"), tenant=tenant, query=query)
        rows = _rows(page) if page is not None else []
        if any(_is_another(row, "authentication_id", authentication_id) for row in rows):
            raise SourcesUnavailableError(f"sources lists links of others than {authentication_id}")
        found += rows
        if len(found) >= _count(page):
            return found
        if not rows:
            raise SourcesUnavailableError(f"sources counts more links of {authentication_id}")
        if len(found) > MOST_LINKS:
            raise SourcesUnavailableError(f"{authentication_id} has links without an end")


_remembered: dict[str, tuple[str, float]] = {}


def application_type_id(*, tenant: Tenant) -> str:
    """Return the id of our own application type, which is the same for every tenant.

    It is remembered for ``CACHE_TTL_SOURCES_APPLICATION_TYPE_ID`` seconds. Raises ``SourcesError``,
    also when sources does not know our type: that is an answer to ask for again.
    """
    known, until = _remembered.get(APPLICATION_TYPE_NAME, ("", 0.0))
    if time.monotonic() < until:
        return known
    reply = _get(
        _public("application_types"),
        tenant=tenant,
        query={"filter[name]": APPLICATION_TYPE_NAME},
    )
    ours = [
        row for row in _rows(reply or {}) if not _is_another(row, "name", APPLICATION_TYPE_NAME)
    ]
    if not ours or not ours[0].get("id"):
        raise SourcesUnavailableError("sources does not know our application type")
    known = str(ours[0]["id"])
    until = time.monotonic() + settings.CACHE_TTL_SOURCES_APPLICATION_TYPE_ID
    _remembered[APPLICATION_TYPE_NAME] = (known, until)
    return known


def forget_everything() -> None:
    """Ask sources again for our application type, and at once even if it has not answered."""
    _remembered.clear()
    _circuit.reset()


def _public(path: str) -> str:
    return f"{settings.SOURCES_API_EXTERNAL_BASE_URL}/{path}"


def _get_object(
    collection: str, identifier: object, *, tenant: Tenant, query: dict[str, str] | None = None
) -> Record | None:
    found = _get(f"{collection}/{_segment(identifier)}", tenant=tenant, query=query)
    if found is not None and _is_another(found, "id", identifier):
        raise SourcesUnavailableError(f"{collection} has another object under {identifier}")
    return found


def _is_another(record: Record, name: str, wanted: object) -> bool:
    """Check whether a record says that it is another one than was asked for."""
    return record.get(name) is not None and _canonical(record[name]) != _canonical(wanted)


def _canonical(identifier: object) -> object:
    return platform_id(identifier) or str(identifier)


def _segment(identifier: object) -> str:
    return quote(str(identifier), safe="")


def _rows(page: Record) -> list[Record]:
    rows = page.get("data")
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise SourcesUnavailableError("a list of sources has no data")
    return rows


def _count(page: Record | None) -> int:
    meta = (page or {}).get("meta")
    count = meta.get("count") if isinstance(meta, dict) else None
    return count if isinstance(count, int) else 0


def _get(url: str, *, tenant: Tenant, query: dict[str, str] | None = None) -> Record | None:
    if not settings.SOURCES_PSK:
        raise SourcesRefusedError("there is no pre-shared key for sources, so it is not asked")
    if _circuit.is_open():
        raise SourcesUnavailableError("sources has not answered lately and is left alone")
    headers = {PSK_HEADER: settings.SOURCES_PSK}
    if tenant.account_number:
        headers[ACCOUNT_NUMBER_HEADER] = tenant.account_number
    if tenant.org_id:
        headers[ORG_ID_HEADER] = tenant.org_id
    try:
        reply = _session().get(
            url,
            params=query,
            headers=headers,
            timeout=(settings.SOURCES_API_CONNECT_TIMEOUT, settings.SOURCES_API_READ_TIMEOUT),
            verify=settings.SOURCES_API_VERIFY,
        )
    except requests.exceptions.RequestException as error:
        if isinstance(error, requests.exceptions.ConnectionError | requests.exceptions.Timeout):
            _circuit.record_failure()
        raise SourcesUnavailableError(f"no answer from {url}: {type(error).__name__}") from error
    _circuit.count_answer()
    if _session().should_strip_auth(url, reply.url):
        raise SourcesUnavailableError(f"{url} leads to another server")
    return _decode(reply, url, tenant)


def _decode(reply: requests.Response, url: str, tenant: Tenant) -> Record | None:
    content = _json(reply)
    if reply.status_code == requests.codes.not_found and _is_of_sources(content):
        return None
    if reply.status_code != requests.codes.ok:
        logger.info(
            "Sources answered %s to %s for account %s, org %s: %s",
            reply.status_code,
            url,
            tenant.account_number,
            tenant.org_id,
            reply.text[:LOGGED_CHARACTERS],
        )
        message = f"{url} was answered {reply.status_code}"
        if reply.status_code in range(400, 500) and reply.status_code not in PASSING:
            raise SourcesRefusedError(message)
        raise SourcesUnavailableError(message)
    if not isinstance(content, dict):
        raise SourcesUnavailableError(f"{url} was answered with no JSON object")
    return content


def _json(reply: requests.Response) -> object:
    """Return the JSON of an answer; None if it has none."""
    try:
        return reply.json()
    except (ValueError, RecursionError):
        return None


def _is_of_sources(content: object) -> bool:
    """Check whether the body of an error has the form that sources gives to its own."""
    return isinstance(content, dict) and isinstance(content.get("errors"), list)
