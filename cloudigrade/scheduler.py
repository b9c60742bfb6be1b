"""Beat's scheduler, which waits for what it needs and outlives what goes away (08 §6.5, DR-11)."""

import logging
from typing import Any

from django.core.exceptions import ObjectDoesNotExist
from django.db import DatabaseError, InterfaceError, close_old_connections
from django_celery_beat.models import PeriodicTask
from django_celery_beat.schedulers import DatabaseScheduler, ModelEntry

from cloudigrade.schedule import ENTRIES
from util import clock
from util.heartbeat import Heartbeat
from util.lease import Lease
from util.migrations import wait_for_migrations

logger = logging.getLogger(__name__)

LEASE_SECONDS = 15


class PeriodicEntry(ModelEntry):
    """A periodic task, sent last at the latest now.

    A beat whose clock is ahead may have been here before; its time is not waited for (decision 41).
    """

    last_run_at: Any

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.last_run_at = min(self.last_run_at, self._default_now())


class Scheduler(DatabaseScheduler):
    """The library's scheduler, which begins when it can and goes on without the database.

    It waits for as long as another beat lives, since two would send each task twice, and then for a
    database without pending migrations.
    """

    Entry = PeriodicEntry

    def __init__(self, *arguments: Any, lazy: bool = False, **options: Any) -> None:
        if not lazy:
            self._lease = Lease("beat", seconds=LEASE_SECONDS)
            self._lease.wait()
            self._lease.hold()
            wait_for_migrations()
        self._heartbeat = Heartbeat("beat")
        if not lazy:
            self._heartbeat.start()
        super().__init__(*arguments, lazy=lazy, **options)

    def setup_schedule(self) -> None:
        """Install the entries; each is due one period after it was installed for the first time.

        The library would put an entry off at each start for as long as it was never sent: a weekly
        one for ever, where beat starts every day. Entries that are switched off by their variables
        are deleted (§6.5).
        """
        names = {entry.name for entry in ENTRIES}
        unwanted = names - set(self.app.conf.beat_schedule)
        PeriodicTask.objects.filter(name__in=unwanted).delete()
        super().setup_schedule()
        PeriodicTask.objects.filter(name__in=names, last_run_at=None).update(
            last_run_at=clock.now()
        )

    def tick(self, *arguments: Any, **options: Any) -> float:
        """Send what is due, and show that we live."""
        self._heartbeat.beat()
        return super().tick(*arguments, **options)

    def all_as_schedule(self) -> dict[str, Any]:
        """Read the entries that are switched on; those known already stay if that is not possible.

        They stay also as long as it could not be stored when one of them was sent.
        """
        try:
            return self._schedule if self._schedule and self._dirty else super().all_as_schedule()
        except (DatabaseError, InterfaceError) as error:
            if not self._schedule:
                raise
            logger.warning("The schedule is not read again now: %s", type(error).__name__)
            return self._schedule

    def reserve(self, entry: Any) -> Any:
        """Note that an entry is sent now, also for when the schedule cannot be read again."""
        self._schedule[entry.name] = reserved = super().reserve(entry)
        return reserved

    def sync(self) -> None:
        """Store when entries were sent last; what cannot be stored now is stored later."""
        close_old_connections()
        for name in tuple(self._dirty):
            try:
                self._schedule[name].save()
            except (DatabaseError, InterfaceError) as error:
                logger.warning("What was sent is stored later: %s", type(error).__name__)
                return
            except (KeyError, ObjectDoesNotExist):
                logger.info("Periodic task %s does not exist any more", name)
            self._dirty.discard(name)

    def apply_entry(self, entry: Any, producer: Any = None) -> None:
        """Send a task, unless another beat may be doing so by now."""
        if self._lease.is_certain():
            super().apply_entry(entry, producer=producer)
