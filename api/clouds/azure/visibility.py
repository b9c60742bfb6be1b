"""Which subscriptions are delegated to us, and whose they are (spec 06 §2.3, §9.12)."""

import datetime
from collections.abc import Iterator
from uuid import UUID

from api.clouds.azure import describe
from util import clock

LISTING_LIFETIME = datetime.timedelta(seconds=60)


class SubscriptionListing:
    """Azure's list of subscriptions, asked for once when many accounts are checked in a row.

    It says yes once to each subscription, for a short time, and never no: whoever asks again, or
    asks for one that is missing, has Azure asked anew.
    """

    def __init__(self) -> None:
        self.forget()

    def forget(self) -> None:
        """Have Azure asked at the next question."""
        self._tenants: dict[UUID, str | None] = {}
        self._valid_until: datetime.datetime | None = None

    def contains(self, subscription_id: UUID) -> bool:
        """Return whether we can see a subscription, in whatever state it is.

        Raises ``AzureBusyError`` or ``AzureRefusedError``.
        """
        self._ask_unless_listed(subscription_id)
        is_visible = subscription_id in self._tenants
        self._tenants.pop(subscription_id, None)
        return is_visible

    def tenant_of(self, subscription_id: UUID) -> str | None:
        """Return whose a subscription is: the id of its tenant, in lower case (decision 51).

        Of one that is delegated to us Azure shows its customer's tenant. None if we cannot see the
        subscription, or are not told. Raises as ``contains``, which can still answer from the same
        list.
        """
        self._ask_unless_listed(subscription_id)
        return self._tenants.get(subscription_id)

    def _ask_unless_listed(self, subscription_id: UUID) -> None:
        is_valid = self._valid_until is not None and clock.now() < self._valid_until
        if not is_valid or subscription_id not in self._tenants:
            self._tenants = dict(_visible_subscriptions())
            self._valid_until = clock.now() + LISTING_LIFETIME


listing = SubscriptionListing()
"""This process's."""


def _visible_subscriptions() -> Iterator[tuple[UUID, str | None]]:
    for entry in describe.subscriptions():
        try:
            subscription_id = UUID(entry["subscriptionId"])
        except (TypeError, LookupError, ValueError, AttributeError):
            continue
        tenant = entry.get("tenantId")
        yield subscription_id, tenant.lower() if isinstance(tenant, str) else None
