"""Stored messages for tests."""

import itertools
from typing import Any

from api.sources import inbox
from api.sources.inbox import Coordinates, Received
from api.sources.messages import PAUSE
from tests.factories import utc

_offsets = itertools.count(1)


def received(
    customer: str = "org 1", event_type: str = PAUSE, value: Any = None, **more: Any
) -> Received:
    """Make a message as the listener has it."""
    headers = [["event_type", event_type], ["encoding", "json"], ["x-rh-sources-org-id", "1"]]
    columns: dict[str, Any] = {
        "coordinates": Coordinates("events", 0, next(_offsets)),
        "written_at": utc("2026-01-01"),
        "event_type": event_type,
        "customer_key": customer,
        "value": {"id": 11} if value is None else value,
        "headers": headers,
        "kept_headers": [headers[0], headers[2]],
    }
    return Received(**(columns | more))


def store(*messages: Received) -> list[int]:
    """Store messages; returns their ids."""
    stored, rejected = inbox.store(messages)
    assert not rejected
    return [inbox_id for inbox_id, _ in stored]
