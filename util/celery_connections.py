"""A worker's connections to the database are kept from task to task, as the settings have it.

Celery closes them before and after each task, whatever ``CONN_MAX_AGE`` says. A new one has
PostgreSQL start a process, which costs more than all that a short task asks of it.
"""

from typing import Any

from celery import Celery, Task, states
from celery.fixups import django as celery_django
from django.db import connections
from django.db.backends.base.base import BaseDatabaseWrapper
from psycopg2.extensions import TRANSACTION_STATUS_IDLE

from util.kept_connections import look_before_asking


class WorkerFixup(celery_django.DjangoWorkerFixup):
    """What Celery does for Django in workers, but for how long a connection lives.

    Of what a task leaves behind only what is in order is kept: no connection of a task that ended
    badly, in whatever state that left it, and none within a transaction.
    """

    def install(self) -> "WorkerFixup":
        """Begin when a worker starts; its pool's processes inherit it."""
        super().install()
        look_before_asking()
        return self

    def on_task_prerun(self, sender: Task, **_: Any) -> None:
        """End connections that are too old for the task that begins."""
        if not sender.request.is_eager:
            _let_go(is_in_order=True)

    def on_task_postrun(self, sender: Task, state: str | None = None, **_: Any) -> None:
        """Keep the connections of a task that went well."""
        if not sender.request.is_eager:
            _let_go(is_in_order=state == states.SUCCESS)
            self.close_cache()


class Fixup(celery_django.DjangoFixup):
    """What Celery does for Django, with this module's part of workers."""

    _worker_fixup: celery_django.DjangoWorkerFixup | None

    @property
    def worker_fixup(self) -> celery_django.DjangoWorkerFixup:
        """Return the part that workers need, made when it is first asked for."""
        if self._worker_fixup is None:
            self._worker_fixup = WorkerFixup(self.app)
        return self._worker_fixup

    @worker_fixup.setter
    def worker_fixup(self, value: celery_django.DjangoWorkerFixup) -> None:
        self._worker_fixup = value


def install(app: Celery) -> Fixup:
    """Install this in place of Celery's own; to be named as one of an application's fixups."""
    return Fixup(app).install()


def _let_go(*, is_in_order: bool) -> None:
    for connection in connections.all(initialized_only=True):
        if connection.connection is None:
            continue
        if is_in_order and _is_idle(connection):
            connection.close_if_unusable_or_obsolete()
        else:
            connection.close()


def _is_idle(connection: BaseDatabaseWrapper) -> bool:
    """Return whether no transaction is open, and no statement on its way."""
    status = connection.connection.info.transaction_status
    return not connection.in_atomic_block and status == TRANSACTION_STATUS_IDLE
