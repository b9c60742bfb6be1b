"""The fake Azure for these tests, without memories of the test before."""

from collections.abc import Iterator
from typing import Any
from uuid import UUID

import pytest
import time_machine
from django.core.cache import cache
from django.db import connection

from api.clouds.azure import client, credentials
from api.clouds.azure.errors import Problem
from api.clouds.azure.scan import Scan
from api.clouds.azure.visibility import listing
from api.models import CloudAccount, InstanceEvent
from deployment.local import azure_resources as resources
from deployment.local.azure import AzureControl
from tests.factories import make_azure_account, utc

SUBSCRIPTION = "d9812b28-6286-4501-9cd5-f43b2a455364"
NOW = utc("2026-03-01T12:00:00")


@pytest.fixture
def azure(azure: AzureControl, monkeypatch: pytest.MonkeyPatch) -> Iterator[AzureControl]:
    """An Azure of which this process remembers nothing; what fails is tried again at once."""
    monkeypatch.setattr(client, "BACKOFF_SECONDS", 0)
    monkeypatch.setattr(client.AnswerPolicy, "send", _send_outside_of_transactions)
    forget()
    azure.add_images(resources.image_versions("x64"))
    yield azure
    forget()


_send = client.AnswerPolicy.send


def _send_outside_of_transactions(self: client.AnswerPolicy, request: Any) -> Any:
    # A test's own transaction counts as none.
    assert not connection.savepoint_ids, "Azure is asked inside of a transaction"
    return _send(self, request)


def forget() -> None:
    """Log out, and forget what Azure said."""
    client.resource_manager.cache_clear()
    credentials.credential.cache_clear()
    listing.forget()
    cache.clear()


@pytest.fixture
def clock(one_clock: None) -> Iterator[time_machine.Traveller]:
    """A clock that stands still; ``shift`` moves it."""
    with time_machine.travel(NOW, tick=False) as traveller:
        yield traveller


@pytest.fixture
def account(clock: time_machine.Traveller) -> CloudAccount:
    """An enabled account with the usual subscription."""
    return make_azure_account(subscription_id=UUID(SUBSCRIPTION))


def machine(name: str, **more: Any) -> dict[str, Any]:
    """A virtual machine of the usual subscription."""
    return resources.machine(resources.machine_id(SUBSCRIPTION, name), **more)


def scan(*machines: dict[str, Any], problem: Problem | None = None) -> Scan:
    """What a scan finds that sees these machines and their states, before any problem."""
    found = Scan()
    for entry in machines:
        found.add_machine(entry)
        found.add_state(entry)
    if problem is not None:
        found.lose_machines(problem)
    return found


def powers(name: str) -> list[str]:
    """The types of a machine's events, in the order in which they were stored."""
    events = InstanceEvent.objects.filter(instance__cloud_instance_id__endswith=f"/{name}")
    return list(events.order_by("id").values_list("event_type", flat=True))


def calls(azure: AzureControl) -> list[str]:
    """The requests to the resource manager so far, short: letters and numbers as in spec 06 §3."""
    return [_short(request) for request in azure.requests() if "oauth2" not in request["path"]]


def _short(request: dict[str, Any]) -> str:
    path = request["path"]
    if path.endswith("openid-configuration"):
        return "login"
    ends = {
        "/subscriptions": "S1",
        "/virtualMachineScaleSets": "V3",
        "/versions": "I1",
        "/skus": "K1",
        "/registrationAssignments": "L1",
    }
    for end, short in ends.items():
        if path.endswith(end):
            return short
    if path.endswith("/virtualMachines"):
        if "virtualMachineScaleSets" in path:
            return "V4"
        return "V2" if request["query"].get("statusOnly") else "V1"
    return "L2" if request["method"] == "DELETE" else "poll of L2"
