"""Which subscriptions are delegated to us (spec 06 §2.3, §9.12)."""

import datetime
from collections.abc import Iterator
from uuid import UUID

from api.clouds.azure import describe
from util import clock

LISTING_LIFETIME = datetime.timedelta(seconds=60)


class Listing:
    """Azure's list of subscriptions, asked for once when many accounts are checked in a row.

    It says yes once to each subscription, for a short time, and never no: whoever asks again, or
    asks for one that is missing, has Azure asked anew.
    """

    def __init__(self) -> None:
        self.forget()

    def forget(self) -> None:
        """Have Azure asked at the next question."""
        self._unused: set[UUID] = set()
        self._valid_until: datetime.datetime | None = None

    def contains(self, subscription_id: UUID) -> bool:
        """Tell whether we can see a subscription, in whatever state it is.

        Raises ``AzureBusyError`` or ``AzureRefusedError``.
        """
        if self._answers(subscription_id):
            self._unused.discard(subscription_id)
            return True
        visible = set(_visible_subscriptions())
        self._unused = visible - {subscription_id}
        self._valid_until = clock.now() + LISTING_LIFETIME
        return subscription_id in visible

    def _answers(self, subscription_id: UUID) -> bool:
        if self._valid_until is None or clock.now() >= self._valid_until:
            return False
        return subscription_id in self._unused


listing = Listing()
"""This process's."""


def _visible_subscriptions() -> Iterator[UUID]:
    for entry in describe.subscriptions():
        try:
            yield UUID(entry["subscriptionId"])
        except (TypeError, LookupError, ValueError, AttributeError):
            continue
