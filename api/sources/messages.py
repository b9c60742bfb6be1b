"""What a message of the sources service says: its type, its tenant, its ids (spec 03 §1.5, §2)."""

import json
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from util.identity import (
    KAFKA_ACCOUNT_NUMBER_HEADER,
    KAFKA_IDENTITY_HEADER,
    KAFKA_ORG_ID_HEADER,
    tenant_from_headers,
)

EVENT_TYPE_HEADER = "event_type"

CREATE = "ApplicationAuthentication.create"
DESTROY = "ApplicationAuthentication.destroy"
UPDATE = "Authentication.update"
PAUSE = "Application.pause"
UNPAUSE = "Application.unpause"

TASKS: Mapping[str, str] = {
    CREATE: "api.tasks.create_from_sources_kafka_message",
    DESTROY: "api.tasks.delete_from_sources_kafka_message",
    UPDATE: "api.tasks.update_from_sources_kafka_message",
    PAUSE: "api.tasks.pause_from_sources_kafka_message",
    UNPAUSE: "api.tasks.unpause_from_sources_kafka_message",
}
"""The task for each event type that concerns us; everything else is ignored, which is essential:
each status that we send makes sources emit ``Application.update`` and ``Records.update``."""

TENANT_ID_LENGTH = 150
"""Longer account numbers and org ids no customer has."""

LARGEST_ID = 2**63 - 1

LARGEST_BODY = 64 * 1024
DEEPEST_BODY = 32
"""Bytes, and arrays or objects within each other, above which only a body's ids are kept."""

LARGEST_HEADERS = 64 * 1024
"""Characters of the headers that are kept; the identity header, of HTTP, has at most 16 KiB."""

_IDS = ("id", "application_id", "authentication_id")
"""Members of a body that mean something to us."""

Headers = Sequence[Sequence[str | None]]
"""Pairs of name and value, in the order in which they came; a value may be missing."""


class MalformedMessageError(ValueError):
    """The message cannot be understood, now or later."""


class Tenant(NamedTuple):
    """The customer that a message is about; an empty text is never stored, it counts as None."""

    account_number: str | None
    org_id: str | None

    def __bool__(self) -> bool:
        return bool(self.account_number or self.org_id)


def decode_headers(raw: Sequence[tuple[str, bytes | None]] | None) -> list[list[str | None]]:
    """Decode Kafka headers as UTF-8, keeping order, duplicates and missing values.

    Raises ``MalformedMessageError``.
    """
    try:
        return [[name, None if value is None else value.decode()] for name, value in raw or ()]
    except UnicodeDecodeError as error:
        raise MalformedMessageError("a header is not UTF-8") from error


def decode_body(raw: bytes | None) -> dict[str, Any]:
    """Decode a message's body, a JSON object in UTF-8. Raises ``MalformedMessageError``."""
    if raw is None:
        raise MalformedMessageError("there is no body")
    try:
        value = json.loads(raw.decode(), parse_constant=_refuse_constant)
    except UnicodeDecodeError as error:
        raise MalformedMessageError("the body is not UTF-8") from error
    except (ValueError, RecursionError) as error:
        raise MalformedMessageError("the body is not JSON") from error
    if not isinstance(value, dict):
        raise MalformedMessageError("the body is not a JSON object")
    return value


def kept_body(value: dict[str, Any], size: int) -> dict[str, Any]:
    """Return what is stored and queued of a body of so many bytes.

    That is all of it, unless it is so large or so deep that it could harm what waits beside it:
    then its ids, which are all that we need.
    """
    if size <= LARGEST_BODY and not _is_deeper(value, DEEPEST_BODY):
        return value
    return {name: value[name] for name in _IDS if platform_id(value.get(name)) is not None}


def _is_deeper(value: object, levels: int) -> bool:
    """Check whether arrays and objects lie within each other on more than so many levels."""
    level: list[Any] = [value]
    for _ in range(levels):
        level = [
            inner
            for outer in level
            for inner in (outer.values() if isinstance(outer, dict) else outer)
            if isinstance(inner, dict | list)
        ]
        if not level:
            return False
    return True


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


def first_header(headers: Headers, name: str) -> str | None:
    """Return the value of the first header of exactly this name; None if there is none."""
    return next((value for key, value in headers if key == name), None)


def tenant_of(headers: Headers) -> Tenant:
    """Return whom a message is about, from the explicit headers or else from the identity header.

    An identity that cannot be decoded counts as absent (spec 03 §2).
    """
    return Tenant(*tenant_from_headers(headers))


def checked_tenant(headers: Headers) -> Tenant:
    """Return whom a message is about, as ``tenant_of`` does.

    Raises ``MalformedMessageError`` for an account number or org id that no customer can have.
    """
    tenant = tenant_of(headers)
    if any(len(text or "") > TENANT_ID_LENGTH for text in tenant):
        raise MalformedMessageError(
            f"its account number or org id has more than {TENANT_ID_LENGTH} characters"
        )
    return tenant


class Objects(NamedTuple):
    """The objects of the sources service that a message is about, as far as it names them."""

    application_id: int | None
    authentication_id: int | None


def objects_of(event_type: str, value: Mapping[str, Any]) -> Objects:
    """Return what a message is about, by its type and its body (spec 03 §1.5)."""
    if event_type in (PAUSE, UNPAUSE):
        return Objects(platform_id(value.get("id")), None)
    if event_type == UPDATE:
        return Objects(None, platform_id(value.get("id")))
    return Objects(
        platform_id(value.get("application_id")), platform_id(value.get("authentication_id"))
    )


def kept_headers(headers: Headers) -> list[list[str | None]]:
    """Return what is stored of a message's headers: no more than is needed to work on it.

    The identity header, which names a person, is kept only where nothing else names the customer.
    """
    explicit = {KAFKA_ACCOUNT_NUMBER_HEADER, KAFKA_ORG_ID_HEADER}
    wanted = {EVENT_TYPE_HEADER, *explicit}
    if not any(first_header(headers, name) for name in explicit):
        wanted.add(KAFKA_IDENTITY_HEADER)
    return [list(pair) for pair in headers if pair[0] in wanted]


def bounded_headers(headers: Headers) -> Headers:
    """Return the headers that a task gets: all of them, or the kept ones if they are too large.

    Raises ``MalformedMessageError`` if even those are.
    """
    if _length(headers) <= LARGEST_HEADERS:
        return headers
    kept = kept_headers(headers)
    if _length(kept) > LARGEST_HEADERS:
        raise MalformedMessageError(f"its headers have more than {LARGEST_HEADERS} characters")
    return kept


def _length(headers: Headers) -> int:
    return sum(len(part or "") for pair in headers for part in pair)


def checked_headers(headers: object) -> Headers:
    """Return the headers argument of a task if it is a list of pairs of texts.

    Raises ``MalformedMessageError``.
    """
    if not isinstance(headers, list) or not all(_is_pair(pair) for pair in headers):
        raise MalformedMessageError("the headers are not a list of pairs of texts")
    return headers


def _is_pair(pair: object) -> bool:
    return (
        isinstance(pair, list | tuple)
        and len(pair) == 2
        and all(part is None or isinstance(part, str) for part in pair)
    )


def platform_id(value: object) -> int | None:
    """Return an id of the sources service as a number; None for what is no such id.

    Accepts a JSON integer or its decimal text (spec 03 §1.5, decision 6).
    """
    if isinstance(value, str) and value.isascii() and value.isdecimal() and len(value) <= 19:
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int):
        return None
    return value if 0 < value <= LARGEST_ID else None
