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

RetryWindow = Callable[[Objects], float]
"""Tells how many seconds are left in which the objects of an event may come to be known."""


def no_retry_window(objects: Objects) -> float:
    """Return that the first answer counts: for requests that somebody waits for."""
    return 0.0


def seconds_left(missing_for: float) -> float:
    """Return how long is left for what has been missing for so many seconds."""
    return max(settings.SOURCES_MISSING_RETRY_SECONDS - missing_for, 0.0)


def retry_window_of(message: InboxMessage) -> RetryWindow:
    """Return for how long a stored message's objects may be missing, by PostgreSQL's clock.

    There is no time left where a later message says that the objects were destroyed: then nothing
    is missing, and the customer's other messages need not wait.
    """

    def retry_window(objects: Objects) -> float:
        if _is_destroyed(message, objects):
            return 0.0
        if message.missing_since is None:
            return seconds_left(0.0)
        return seconds_left((postgres.now() - message.missing_since).total_seconds())

    return retry_window


def _is_destroyed(message: InboxMessage, objects: Objects) -> bool:
    later = InboxMessage.objects.filter(
        id__gt=message.id, event_type=DESTROY, state__in=UNFINISHED, **objects._asdict()
    )
    return later.exists()
