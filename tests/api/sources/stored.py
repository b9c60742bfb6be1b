"""Stored messages for tests."""

import itertools
from typing import Any

from api.sources import inbox
from api.sources.inbox import Coordinates, Received
from api.sources.messages import PAUSE, Tenant
from tests.factories import utc
from util.identity import KAFKA_ACCOUNT_NUMBER_HEADER, KAFKA_ORG_ID_HEADER

_offsets = itertools.count(1)


def received(
    customer: str = "org 1", event_type: str = PAUSE, value: Any = None, **more: Any
) -> Received:
    """Make a message as the listener has it; the customer is named as its queue is."""
    kind, _, identifier = customer.partition(" ")
    tenant = Tenant(None, identifier) if kind == "org" else Tenant(identifier, None)
    columns: dict[str, Any] = {
        "coordinates": Coordinates("events", 0, next(_offsets)),
        "written_at": utc("2026-01-01"),
        "event_type": event_type,
        "tenant": tenant,
        "value": {"id": 11} if value is None else value,
    } | more
    kept = [["event_type", event_type], *tenant_headers(columns["tenant"])]
    columns.setdefault("headers", [["encoding", "json"], *kept])
    columns.setdefault("kept_headers", kept)
    return Received(**columns)


def tenant_headers(tenant: Tenant) -> list[list[str]]:
    """Return the headers that name a tenant."""
    names = (KAFKA_ACCOUNT_NUMBER_HEADER, KAFKA_ORG_ID_HEADER)
    return [[name, text] for name, text in zip(names, tenant, strict=True) if text]


def store(*messages: Received) -> list[int]:
    """Store messages; returns their ids."""
    stored, rejected = inbox.store(messages)
    assert not rejected
    return [inbox_id for inbox_id, _ in stored]
