"""The Celery application (spec 08 §6)."""

import os
from typing import Any

from celery import Celery, signals
from django.conf import settings
from sentry_sdk.integrations.celery import CeleryIntegration

from util import sentry

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "cloudigrade.settings.prod")

app = Celery("cloudigrade", task_cls="util.tasks:Task")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks(["api"])


@signals.celeryd_init.connect
@signals.beat_init.connect
def set_up_sentry(**_: Any) -> None:
    """Report what goes wrong in workers and beat, if that is wanted."""
    if settings.CELERY_ENABLE_SENTRY:
        sentry.set_up(
            dsn=settings.CELERY_SENTRY_DSN,
            environment=settings.CELERY_SENTRY_ENVIRONMENT,
            release=settings.CLOUDIGRADE_VERSION or settings.CELERY_SENTRY_RELEASE,
            sampler=sentry.task_sampler(
                settings.CELERY_SENTRY_SAMPLE_RATE_BY_TASK_NAME,
                settings.CELERY_SENTRY_SAMPLE_RATE_DEFAULT,
            ),
            integrations=[CeleryIntegration()],
        )
