"""For how long a thing that sources does not know is asked for again (decision 35).

The sources service tells us of things that its own replicas may not know yet. A create event whose
application or authentication it does not know is repeated for a while before it comes to nothing.
"""

from collections.abc import Callable

from django.conf import settings

from api.models import InboxMessage
from api.models.inbox import UNFINISHED
from api.sources.messages import DESTROY, Objects
from util import postgres

Patience = Callable[[Objects], float]
"""Tells how many seconds are left in which the objects of an event may come to be known."""


def no_patience(objects: Objects) -> float:
    """Take the first answer for the last one, for those who wait for it."""
    return 0.0


def seconds_left(missing_for: float) -> float:
    """Return how long is left for what has been missing for so many seconds."""
    return max(settings.SOURCES_MISSING_RETRY_SECONDS - missing_for, 0.0)


def patience_of(message: InboxMessage) -> Patience:
    """Return the patience with a stored message, by PostgreSQL's clock.

    There is none where a later message says that the objects were taken apart: then nothing is
    missing, and the customer's other messages need not wait.
    """

    def patience(objects: Objects) -> float:
        if _is_destroyed(message, objects):
            return 0.0
        if message.missing_since is None:
            return seconds_left(0.0)
        return seconds_left((postgres.now() - message.missing_since).total_seconds())

    return patience


def _is_destroyed(message: InboxMessage, objects: Objects) -> bool:
    later = InboxMessage.objects.filter(
        id__gt=message.id, event_type=DESTROY, state__in=UNFINISHED, **objects._asdict()
    )
    return later.exists()
