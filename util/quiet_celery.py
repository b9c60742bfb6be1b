"""Celery's programs without the text that they print past logging (spec 08 §8).

That is for ``CLOUDIGRADE_LOG_FORMAT=json``, where each line has to be one JSON object.
"""

import logging
from typing import Any

from celery import Celery
from celery.apps import worker
from celery.apps.beat import Beat
from celery.apps.worker import Worker
from django.conf import settings

logger = logging.getLogger(__name__)


class QuietWorker(Worker):
    """A worker that prints no banner, and logs what it has to say when it is asked to stop."""

    def on_before_init(self, quiet: bool = False, **options: Any) -> None:
        """Be quiet, whatever the command line says."""
        worker.safe_say = lambda message, *_: logger.info("%s", message)
        super().on_before_init(quiet=True, **options)


class QuietBeat(Beat):
    """A scheduler that prints no banner where log lines are JSON."""

    def __init__(self, *args: Any, **options: Any) -> None:
        if _wants_json():
            options["quiet"] = True
        super().__init__(*args, **options)


class QuietCelery(Celery):
    """A Celery application whose programs print nothing where log lines are JSON."""

    @property
    def Worker(self) -> type[Worker]:
        """Return the class of the program ``celery worker``."""
        return self.subclass_with_self(QuietWorker) if _wants_json() else super().Worker

    @property
    def Beat(self) -> type[Beat]:
        """Return the class of the program ``celery beat``."""
        return self.subclass_with_self(QuietBeat)


def _wants_json() -> bool:
    return settings.CLOUDIGRADE_LOG_FORMAT == "json"
