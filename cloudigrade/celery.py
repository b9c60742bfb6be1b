"""The Celery application (spec 08 §6)."""

import os
from contextlib import ExitStack
from importlib import import_module
from typing import Any

from celery import Task, signals
from django.conf import settings

from cloudigrade.start_up import log_configuration
from util import quiet_celery, sentry, task_starts
from util.garbage import freeze_loaded
from util.log_context import task_context
from util.request_id import message_context, message_headers, request_context
from util.transaction_limits import limit_transactions
from util.visibility_renewal import VisibilityRenewal

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "cloudigrade.settings.prod")
# Django's checks look at views and URLs, which neither worker nor beat loads otherwise. A test
# makes them for production's settings (``check --deploy``), and ``manage.py migrate`` does.
os.environ.setdefault("CELERY_SKIP_CHECKS", "1")


class Application(quiet_celery.QuietCelery):
    """Celery with a beat that waits for what it needs, and workers that keep connections."""

    builtin_fixups = frozenset({"util.celery_connections:install"})

    @property
    def Beat(self) -> type:
        """Return the class of the program ``celery beat``."""
        return self.subclass_with_self("cloudigrade.beat:Beat")


app = Application("cloudigrade", task_cls="util.tasks:Task")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks(["api"])
app.loader.override_backends = {
    "redis": "util.results:Results",
    "rediss": "util.results:Results",
    "sentinel": "util.results:SentinelResults",
}


@app.on_after_configure.connect
def leave_logging_to_django(**_: Any) -> None:
    """Keep the form of log lines in Celery's processes, unless Celery's own is wanted (§6.8)."""
    if settings.CELERY_DISABLE_LOGGING_HIJACK or settings.CLOUDIGRADE_LOG_FORMAT == "json":
        signals.setup_logging.connect(_logging_is_set_up)


def _logging_is_set_up(**_: Any) -> None:
    """Do nothing: a listener to this signal is what keeps Celery from setting up logging."""


@signals.worker_init.connect
@signals.beat_init.connect
def tell_configuration(**_: Any) -> None:
    """Log the configuration when a worker or beat starts (§8)."""
    log_configuration()


@signals.worker_init.connect
def limit_transactions_of_worker(**_: Any) -> None:
    """Let no transaction of a worker, nor of its pool's processes, wait for ever."""
    limit_transactions("worker")


@signals.beat_init.connect
def limit_transactions_of_beat(**_: Any) -> None:
    """Let no transaction of beat wait for ever."""
    limit_transactions("beat")


@signals.worker_init.connect
def count_tasks(**_: Any) -> None:
    """Have a worker count its tasks, and publish what it counts (02 §9).

    Loaded by workers alone: gunicorn says first where the metrics of its processes are to be kept.
    """
    import_module("util.task_metrics").count_and_publish()


@signals.worker_init.connect
def set_aside_what_kills(**_: Any) -> None:
    """Have a worker count the processes that a task takes with it (decision 43).

    Models may be imported only now.
    """
    set_aside = import_module("api.set_aside")
    task_starts.count_starts(task_starts.Keeper(set_aside.work_of, set_aside.keep))


@signals.worker_process_init.connect
def leave_loaded_objects_alone(**_: Any) -> None:
    """Have the processes that run tasks look for garbage among new objects only."""
    freeze_loaded()


@signals.worker_ready.connect
def look_after_held_tasks(sender: Any, **_: Any) -> None:
    """Renew this worker's tasks, and return those of workers that are lost to the queue."""
    held = VisibilityRenewal(
        sender,
        lost_after=settings.CELERY_LOST_WORKER_SECONDS,
        longest=settings.CELERY_BROKER_VISIBILITY_TIMEOUT,
    )
    held.keep()
    signals.worker_shutdown.connect(lambda **_: held.stop(), sender=sender.controller, weak=False)


@signals.celeryd_init.connect
@signals.beat_init.connect
def set_up_sentry(**_: Any) -> None:
    """Report what goes wrong in workers and beat, if that is wanted (§6.7)."""
    if settings.CELERY_ENABLE_SENTRY:
        sentry.set_up(
            dsn=settings.CELERY_SENTRY_DSN,
            environment=settings.CELERY_SENTRY_ENVIRONMENT,
            release=settings.CLOUDIGRADE_VERSION or settings.CELERY_SENTRY_RELEASE,
            sampler=sentry.task_sampler(
                settings.CELERY_SENTRY_SAMPLE_RATE_BY_TASK_NAME,
                settings.CELERY_SENTRY_SAMPLE_RATE_DEFAULT,
            ),
            integrations=[import_module("sentry_sdk.integrations.celery").CeleryIntegration()],
        )


@signals.before_task_publish.connect
def send_request_id(headers: dict[str, Any], **_: Any) -> None:
    """Return a message the id of what caused it (§6.6)."""
    for name, value in message_headers().items():
        headers.setdefault(name, value)


@signals.task_prerun.connect
def adopt_request_id(task: Task, **_: Any) -> None:
    """Work under the message's request id until the task ends."""
    context = ExitStack()
    context.enter_context(request_context(*message_context(task.request.headers or {})))
    context.enter_context(task_context(task.name))
    task.request.request_context = context


@signals.task_postrun.connect
def drop_request_id(task: Task, **_: Any) -> None:
    """Return to what was current before the task."""
    context = task.request.__dict__.pop("request_context", None)
    if context is not None:
        context.close()
