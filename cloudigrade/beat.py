"""Beat with a scheduler of our own (spec 08 §6.5).

The command is Celery's and names django-celery-beat's scheduler; that of ``cloudigrade.scheduler``
takes its place.
"""

from typing import Any

from celery import beat

from util.quiet_celery import QuietBeat

LIBRARYS_SCHEDULER = ("django", "django_celery_beat.schedulers:DatabaseScheduler")
"""How the command may name it."""
OUR_SCHEDULER = "cloudigrade.scheduler:Scheduler"


class Service(beat.Service):
    """Celery's service, which may be asked to end while its scheduler still waits."""

    def sync(self) -> None:
        """Store when entries were sent last, if there is a scheduler already."""
        if "scheduler" in vars(self):
            super().sync()


class Beat(QuietBeat):
    """Celery's beat, with our scheduler."""

    Service = Service
    scheduler_cls: Any

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        if self.scheduler_cls in LIBRARYS_SCHEDULER:
            self.scheduler_cls = OUR_SCHEDULER
