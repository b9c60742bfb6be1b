"""Work that a table keeps until it is done, whatever becomes of the queue that its tasks wait in.

Each row says in ``queued_at`` when a task was last queued for it. All times are PostgreSQL's.
"""

import datetime
import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from django.conf import settings
from django.db import DatabaseError, InterfaceError, connection
from django.db.models import Model, QuerySet
from django.db.models.functions import Now

from util.tasks import publishing_must_succeed

logger = logging.getLogger(__name__)

KEPT = datetime.timedelta(days=30)
"""How long it is known when work was done."""

PRUNED_AT_ONCE = 10_000

RENEWALS = 3
"""How often a claim is renewed before it would end."""


def seems_lost(queued_at: str, since: str) -> str:
    """Return the SQL condition of work whose task was queued too long ago to be waited for.

    That is a minute, by default (``%(wait)s``); then as long again as the work has waited ``since``
    that column, up to ten minutes.
    """
    return (
        f"statement_timestamp() - {queued_at}"
        f" > LEAST(GREATEST({queued_at} - {since}, %(wait)s), interval '10 minutes')"
    )


def shortest_wait() -> datetime.timedelta:
    """Return ``%(wait)s``: for how long a task is waited for at least."""
    return datetime.timedelta(seconds=settings.INBOX_REQUEUE_SECONDS)


@contextmanager
def noting_queued(model: type[Model]) -> Iterator[list[Any]]:
    """Note of the rows whose keys the block adds to the list that their tasks were queued now.

    It does so if the block fails after some of them, too. Raises what the broker's client raises.
    """
    queued: list[Any] = []
    try:
        with publishing_must_succeed():
            yield queued
    finally:
        if queued:
            model._default_manager.filter(pk__in=queued).update(queued_at=Now())


def prune(done: QuerySet[Any], column: str) -> int:
    """Delete rows that were done 30 days ago, by that column, a bounded number; return how many."""
    expired = done.filter(**{f"{column}__lt": Now() - KEPT}).values("pk")[:PRUNED_AT_ONCE]
    return done.model._default_manager.filter(pk__in=expired).delete()[0]


@contextmanager
def renewed(renew: Callable[[], Any], what: str) -> Iterator[None]:
    """Renew a claim of ``INBOX_LEASE_SECONDS`` from a thread while the block works, however long.

    Where the worker is lost with the block, the claim soon ends.
    """
    done = threading.Event()
    renewer = threading.Thread(target=_renew, args=(renew, what, done), daemon=True)
    renewer.start()
    try:
        yield
    finally:
        done.set()
        renewer.join()


def _renew(renew: Callable[[], Any], what: str, done: threading.Event) -> None:
    pause = settings.INBOX_LEASE_SECONDS / RENEWALS
    # Most work is done long before; then no connection is made, nor what stands for one.
    if done.wait(pause):
        return
    try:
        while True:
            try:
                renew()
            except (DatabaseError, InterfaceError):
                logger.warning("The claim of %s was not renewed", what, exc_info=True)
                connection.close()
            if done.wait(pause):
                return
    finally:
        connection.close()
