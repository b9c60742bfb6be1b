"""Lets customers with an Azure subscription live: they come, change things, pause, partly go."""

import time
from collections import Counter
from datetime import UTC, datetime
from functools import partial

from deployment.local import azure_resources as resources
from tests.e2e.sources_environment import CREATE, DESTROY, PAUSE, UNPAUSE
from tests.soak import customers
from tests.soak.azure_customers import OFFERS, SKUS, USUAL_OFFER, Stored, Subscriber
from tests.soak.deployment import SoakDeployment
from tests.soak.lives import TIMEOUT_SECONDS, Lives, insist

KINDS = (customers.BUSY, customers.PAUSING, customers.BUSY, customers.PAUSING, customers.LEAVING)
PAGE_SIZE = 2
"""So that short lists have several pages, too."""


class Subscribers(Lives):
    """All customers of Azure."""

    def __init__(
        self, deployment: SoakDeployment, seed: int, done: Counter[str], most: int
    ) -> None:
        super().__init__(deployment, seed, done)
        self.most = most
        self.all: list[Subscriber] = []
        self._azure = deployment.azure_control()
        self._azure.set_page_size(PAGE_SIZE)
        self._azure.add_images(
            *(
                resources.image_versions("x64", offer=offer, sku=sku)
                for offer in (USUAL_OFFER, *OFFERS.values())
                for sku in SKUS
            )
        )
        self._next_at: dict[int, float] = {}
        self._next_arrival = 0.0

    @property
    def messages(self) -> int:
        """How many messages of the sources service were sent."""
        return sum(one.messages for one in self.all)

    def step(self) -> None:
        now = time.monotonic()
        if now >= self._next_arrival and len(self.all) < self.most:
            self._next_arrival = now + self.chance.uniform(5, 20)
            self._arrive()
        for one in list(self.all):
            if not one.is_deleted and now >= self._next_at.get(one.customer.number, 0.0):
                self._next_at[one.customer.number] = now + one.chance.uniform(3, 10)
                self._live(one)

    def finish(self) -> None:
        """See everything that was begun, too."""
        super().finish()
        for one in self.all if self.failure is None else ():
            self.deployment.wait_for(
                partial(self._is_done, one), f"{one.customer} is seen", TIMEOUT_SECONDS
            )

    def stored(self, one: Subscriber) -> dict[str, Stored]:
        """Return what is stored of a customer's instances, by their ids in lower case."""
        rows = self.deployment.query(_STORED, one.customer.application_id)
        return {name: Stored(*told) for name, *told in rows}

    def wrong_events(self) -> list[str]:
        """Return machines that are stored as coming on more or less often than they did."""
        return [
            f"{one.customer}: {wrong}"
            for one in self.all
            if not one.is_deleted
            for wrong in one.wrong_events(self.stored(one))
        ]

    def kept_delegations(self) -> list[str]:
        """Return the customers who left and whose delegation was not given back."""
        subscriptions = self._azure.delegated()
        return [
            f"{one.customer} left, and is still delegated to us"
            for one in self.all
            if one.is_deleted and subscriptions[one.subscription_id]["assignments"]
        ]

    def _arrive(self) -> None:
        kind = KINDS[len(self.all) % len(KINDS)]
        one = Subscriber(self.deployment.new_number(), kind, self.seed)
        self.deployment.set_subscription(one.customer, one.subscription_id)
        one.arrive()
        self._show(one)
        one.came(datetime.now(UTC))
        self._send(one, CREATE)
        self.all.append(one)

    def _show(self, one: Subscriber) -> None:
        shown = one.shown()
        insist(lambda: self._azure.delegate(one.subscription_id, **shown))

    def _send(self, one: Subscriber, message: str) -> None:
        self.deployment.send(one.customer, message)
        one.messages += 1

    def _live(self, one: Subscriber) -> None:
        if one.kind == customers.LEAVING and one.described_at and one.chance.random() < 0.1:
            self._send(one, DESTROY)
            one.is_deleted = True
        elif not self._is_done(one):
            begun_at = one.asked_at or one.pause_asked_at
            assert begun_at is not None
            age = (datetime.now(UTC) - begun_at).total_seconds()
            assert age < TIMEOUT_SECONDS, f"not in {TIMEOUT_SECONDS:g} s: {one.customer} is seen"
        elif one.kind == customers.PAUSING and one.chance.random() < 0.3:
            self._pause_or_go_on(one)
        else:
            one.act(datetime.now(UTC))
            self._show(one)

    def _pause_or_go_on(self, one: Subscriber) -> None:
        now = datetime.now(UTC)
        if one.is_paused:
            one.goes_on(now)
            self._send(one, UNPAUSE)
        else:
            one.pause_asked_at = now
            self._send(one, PAUSE)

    def _is_done(self, one: Subscriber) -> bool:
        """Note that what was begun is stored, if it is; return whether nothing is under way."""
        if one.is_deleted:
            return True
        if one.pause_asked_at is not None:
            account = self.deployment.account(one.customer)
            if account is None or account["enabled"]:
                return False
            one.was_paused(datetime.now(UTC))
        elif one.asked_at is not None:
            if not one.is_seen(self.stored(one)):
                return False
            one.was_seen(datetime.now(UTC))
        return True


_STORED = """
SELECT lower(instance.cloud_instance_id), count(*) FILTER (WHERE event_type = 'power_on'),
       (array_agg(event_type ORDER BY occurred_at DESC, event.id DESC)
           FILTER (WHERE event_type IN ('power_on', 'power_off')))[1],
       bool_or(image.rhel_detected_by_tag)
FROM api_instance instance
JOIN api_cloudaccount account ON account.id = instance.cloud_account_id
LEFT JOIN api_instanceevent event ON event.instance_id = instance.id
LEFT JOIN api_machineimage image ON image.id = instance.machine_image_id
WHERE account.platform_application_id = %s
GROUP BY instance.id
"""
