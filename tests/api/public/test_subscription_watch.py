"""The two calls of Subscription Watch, by a client that keeps to its contract (01 §2.6, 02 §1)."""

from dataclasses import dataclass
from datetime import date

import pytest
from django.test import Client

from api.metering.facets import ANY, Facets, keys_of
from tests import factories

pytestmark = pytest.mark.django_db

ORG = "400004"
LINKS = {"first", "next", "previous", "last"}


class ContractBroken(Exception):
    """What Subscription Watch would stumble over."""


class NotReady(Exception):
    """The usage is not calculated yet: it tries again later."""


@dataclass
class SubscriptionWatch:
    """Asks for a customer, then for what the customer used yesterday."""

    psk: str

    def read(self, path: str, **headers: str) -> list[dict]:
        """Return a page's data; all of the envelope must be there."""
        sent = {"X-RH-CLOUDIGRADE-PSK": self.psk, **headers}
        answer = Client().get(path, headers=sent)
        if answer.status_code == 425:
            raise NotReady
        if answer.status_code != 200:
            raise ContractBroken(answer.content)
        body = answer.json()
        if body["links"].keys() != LINKS or "count" not in body["meta"]:
            raise ContractBroken(body)
        return body["data"]

    def is_customer(self, org_id: str) -> bool:
        """Return whether cloudigrade knows a customer."""
        users = self.read(f"/internal/api/cloudigrade/v1/users/?org_id={org_id}")
        if len(users) > 1 or any(user["org_id"] != org_id for user in users):
            raise ContractBroken(users)
        return any(user["id"] and user["date_joined"] for user in users)

    def usage(self, org_id: str) -> dict[tuple[str, str, str, str], int]:
        """Return the numbers of instances by architecture, role, SLA and usage."""
        headers = {"X-RH-CLOUDIGRADE-ORG-ID": org_id}
        first, *_ = self.read("/api/cloudigrade/v2/concurrent/", **headers)
        numbers = {}
        for count in first["maximum_counts"]:
            if count["service_type"] != ANY:
                continue
            if count["arch"] != ANY and count["role"] != ANY:
                raise ContractBroken(count)
            key = (count["arch"], count["role"], count["sla"], count["usage"])
            numbers[key] = count["instances_count"]
        return numbers


@pytest.fixture
def subscription_watch(settings) -> SubscriptionWatch:
    settings.CLOUDIGRADE_PSKS = {"subscription-watch": "sekrit"}
    return SubscriptionWatch("sekrit")


def test_both_calls(subscription_watch, customer_c, spring_2019):
    facets = Facets("x86_64", "Red Hat Enterprise Linux Server", "Premium", "", "L1-L3")
    counts = [[*key, 3] for key in keys_of(facets)]
    factories.make_usage(user=customer_c, date=date(2019, 4, 16), counts=counts)
    assert subscription_watch.is_customer(ORG)
    numbers = subscription_watch.usage(ORG)
    assert numbers[ANY, ANY, ANY, ANY] == 3
    assert numbers["x86_64", ANY, "Premium", ""] == 3
    assert len(numbers) == 12


def test_a_customer_that_is_not_ours(subscription_watch, customer_c):
    assert not subscription_watch.is_customer("5")
    with pytest.raises(ContractBroken):
        subscription_watch.usage("5")


def test_usage_that_is_not_ready(subscription_watch, customer_c, spring_2019):
    with pytest.raises(NotReady):
        subscription_watch.usage(ORG)


def test_a_day_without_usage(subscription_watch, customer_c, spring_2019):
    factories.make_usage(user=customer_c, date=date(2019, 4, 16))
    assert subscription_watch.usage(ORG) == {}
