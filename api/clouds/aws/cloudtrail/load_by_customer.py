"""Store a batch of log files so that no customer keeps others waiting (decision 42, spec 04 §8.9).

First, in one transaction, the files of all customers whose locks are free: nobody is waited for.
Then those of the others, customer by customer; a lock is waited for a few seconds, which is enough
where another worker stores files of the same customer. What still finds a lock taken is busy: its
file is to be worked on again in a moment, when its message has been put back into the queue. And
what fails for another reason is taken apart until the file is found that is at fault.
"""

import logging
import time
from collections.abc import Iterable, Sequence

from api.clouds.aws.cloudtrail.enrich import Lookup
from api.clouds.aws.cloudtrail.ingest_log import Entry
from api.clouds.aws.cloudtrail.load import store_entries
from api.models import IngestObject
from util import postgres
from util.transaction_limits import is_lock_timeout

logger = logging.getLogger(__name__)

PATIENCE = 5.0
"""Seconds for which a lock is waited for."""
HASTE = 0.5
"""Seconds for which one of a customer is waited for who was busy a moment ago."""
BUSY_SECONDS = 60
"""For how long a customer counts as one who was busy a moment ago."""


class CustomerBusyError(Exception):
    """Somebody else holds a lock of the customer; the file can be stored later."""


class _Busy:
    """The customers whom this process found busy, for a while."""

    def __init__(self) -> None:
        self._until: dict[int, float] = {}

    def holds(self, user_ids: Iterable[int]) -> bool:
        now = time.monotonic()
        return any(self._until.get(user_id, now) > now for user_id in user_ids)

    def add(self, user_ids: Iterable[int]) -> None:
        until = time.monotonic() + BUSY_SECONDS
        self._until.update(dict.fromkeys(user_ids, until))

    def remove(self, user_ids: Iterable[int]) -> None:
        for user_id in user_ids:
            self._until.pop(user_id, None)


_busy = _Busy()


def store_files(entries: Sequence[Entry], lookup: Lookup) -> None:
    """Store what files say; why one could not be stored is noted in the file.

    Raises the error of a database that is away, which is no fault of a file (decision 44).
    """
    groups = _by_customers(entries)
    late = [group for group in groups if _busy.holds(group[0].user_ids)]
    now = [entry for group in groups if group not in late for entry in group]
    for group in [*_by_customers(_store_free(now, lookup)), *late]:
        _store_group(group, lookup)


def _by_customers(entries: Iterable[Entry]) -> list[list[Entry]]:
    groups: dict[frozenset[int], list[Entry]] = {}
    for entry in entries:
        groups.setdefault(frozenset(entry.user_ids), []).append(entry)
    return list(groups.values())


def _store_free(entries: Sequence[Entry], lookup: Lookup) -> Sequence[Entry]:
    """Store at once all files for which nobody has to be waited for; return the others."""
    if not entries:
        return []
    try:
        return store_entries(entries, lookup, wait=False, lock_seconds=PATIENCE)
    except Exception as error:
        if postgres.is_away(error):
            raise
        logger.warning("A batch of %s files failed and is taken apart: %r", len(entries), error)
        return entries


def _store_group(entries: Sequence[Entry], lookup: Lookup) -> None:
    """Store the files of one customer or, if that fails, each for itself."""
    user_ids = set().union(*(entry.user_ids for entry in entries))
    seconds = HASTE if _busy.holds(user_ids) else PATIENCE
    try:
        left = store_entries(entries, lookup, wait=True, lock_seconds=seconds)
    except Exception as error:
        if is_lock_timeout(error):
            _busy.add(user_ids)
            _note(entries, CustomerBusyError(str(error)))
        elif postgres.is_away(error):
            raise
        elif len(entries) == 1:
            _note(entries, error, IngestObject.Outcome.REJECTED)
        else:
            logger.warning("%s files failed and are taken apart: %r", len(entries), error)
            for entry in entries:
                _store_group([entry], lookup)
    else:
        _busy.remove(user_ids)
        _note(left, CustomerBusyError("an account was given to another user meanwhile"))


def _note(entries: Iterable[Entry], problem: Exception, outcome: str | None = None) -> None:
    for entry in entries:
        entry.file.problem, entry.file.outcome = problem, outcome
