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

from api.clouds.aws.cloudtrail.enrich import Enrichment
from api.clouds.aws.cloudtrail.filter import FileResult
from api.clouds.aws.cloudtrail.load import store_file_results
from api.models import IngestObject
from util import postgres
from util.transaction_limits import is_lock_timeout

logger = logging.getLogger(__name__)

LOCK_SECONDS = 5.0
"""Seconds for which a lock is waited for."""
SHORT_LOCK_SECONDS = 0.5
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


def store_files(file_results: Sequence[FileResult], enrichment: Enrichment) -> None:
    """Store what files say; why one could not be stored is noted in the file.

    Raises the error of a database that is away, which is no fault of a file (decision 44).
    """
    groups = _by_customers(file_results)
    late = [group for group in groups if _busy.holds(group[0].user_ids)]
    now = [file_result for group in groups if group not in late for file_result in group]
    for group in [*_by_customers(_store_free(now, enrichment)), *late]:
        _store_group(group, enrichment)


def _by_customers(file_results: Iterable[FileResult]) -> list[list[FileResult]]:
    groups: dict[frozenset[int], list[FileResult]] = {}
    for file_result in file_results:
        groups.setdefault(frozenset(file_result.user_ids), []).append(file_result)
    return list(groups.values())


def _store_free(file_results: Sequence[FileResult], enrichment: Enrichment) -> Sequence[FileResult]:
    """Store at once all files for which nobody has to be waited for; return the others."""
    if not file_results:
        return []
    try:
        return store_file_results(file_results, enrichment, wait=False, lock_seconds=LOCK_SECONDS)
    except Exception as error:
        if postgres.is_away(error):
            raise
        logger.warning(
            "A batch of %s files failed and is taken apart: %r", len(file_results), error
        )
        return file_results


def _store_group(file_results: Sequence[FileResult], enrichment: Enrichment) -> None:
    """Store the files of one customer or, if that fails, each for itself."""
    user_ids = set().union(*(file_result.user_ids for file_result in file_results))
    seconds = SHORT_LOCK_SECONDS if _busy.holds(user_ids) else LOCK_SECONDS
    try:
        left = store_file_results(file_results, enrichment, wait=True, lock_seconds=seconds)
    except Exception as error:
        if is_lock_timeout(error):
            _busy.add(user_ids)
            _note(file_results, CustomerBusyError(str(error)))
        elif postgres.is_away(error):
            raise
        elif len(file_results) == 1:
            _note(file_results, error, IngestObject.Outcome.REJECTED)
        else:
            logger.warning("%s files failed and are taken apart: %r", len(file_results), error)
            for file_result in file_results:
                _store_group([file_result], enrichment)
    else:
        _busy.remove(user_ids)
        _note(left, CustomerBusyError("an account was given to another user meanwhile"))


def _note(
    file_results: Iterable[FileResult], problem: Exception, outcome: str | None = None
) -> None:
    for file_result in file_results:
        file_result.file.problem, file_result.file.outcome = problem, outcome
