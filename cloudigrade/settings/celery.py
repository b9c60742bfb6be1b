"""Celery (spec 08 §4 E, §6). The names without ``CELERY_`` are Celery's own."""

from typing import Any

from kombu import Exchange, Queue

from cloudigrade.schedule import ENTRIES, beat_schedule
from cloudigrade.settings.environment import CLOUDIGRADE_ENVIRONMENT, env
from cloudigrade.settings.redis import (
    REDIS_HEALTH_CHECK_INTERVAL,
    REDIS_SENTINEL_MASTER,
    REDIS_TLS,
    REDIS_URL,
)
from cloudigrade.task_names import DEFAULT_QUEUE, QUEUE_NAMES, ROUTES
from util.redis import CONNECT_TIMEOUT
from util.sentry import parse_rates

_sentinel = {"master_name": REDIS_SENTINEL_MASTER} if REDIS_URL.startswith("sentinel://") else {}
_transport_options: dict[str, Any] = {
    "global_keyprefix": f"{CLOUDIGRADE_ENVIRONMENT}-",
    "socket_connect_timeout": CONNECT_TIMEOUT,
    "socket_keepalive": True,
    **_sentinel,
}

CELERY_BROKER_VISIBILITY_TIMEOUT = env("CELERY_BROKER_VISIBILITY_TIMEOUT")
CELERY_LOST_WORKER_SECONDS = env("CELERY_LOST_WORKER_SECONDS")

CELERY_BROKER_URL = REDIS_URL
CELERY_BROKER_USE_SSL = REDIS_TLS
CELERY_BROKER_TRANSPORT_OPTIONS = {
    **_transport_options,
    "visibility_timeout": CELERY_BROKER_VISIBILITY_TIMEOUT,
}
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
# Workers and beat wait for a broker that is away, however long it takes.
CELERY_BROKER_CONNECTION_MAX_RETRIES = None
CELERY_RESULT_BACKEND = REDIS_URL
CELERY_REDIS_BACKEND_USE_SSL = REDIS_TLS
CELERY_REDIS_BACKEND_HEALTH_CHECK_INTERVAL = REDIS_HEALTH_CHECK_INTERVAL
CELERY_REDIS_SOCKET_CONNECT_TIMEOUT = CONNECT_TIMEOUT
CELERY_RESULT_BACKEND_TRANSPORT_OPTIONS = _transport_options
CELERY_RESULT_EXPIRES = 86400

CELERY_ACCEPT_CONTENT = ["json"]
CELERY_TASK_SERIALIZER = "json"
CELERY_RESULT_SERIALIZER = "json"
CELERY_EVENT_SERIALIZER = "json"
CELERY_ENABLE_UTC = True
CELERY_TIMEZONE = "UTC"

CELERY_TASK_DEFAULT_QUEUE = DEFAULT_QUEUE
CELERY_TASK_ROUTES = ROUTES
# What a worker consumes that is not told which queues to consume.
CELERY_TASK_QUEUES = tuple(
    Queue(name, Exchange(name), routing_key=name) for name in (*QUEUE_NAMES, DEFAULT_QUEUE)
)
CELERY_TASK_ALWAYS_EAGER = env("CELERY_TASK_ALWAYS_EAGER")
CELERY_TASK_ACKS_LATE = True
CELERY_TASK_REJECT_ON_WORKER_LOST = True
CELERY_TASK_SEND_SENT_EVENT = True
CELERY_WORKER_SEND_TASK_EVENTS = True
CELERY_WORKER_PREFETCH_MULTIPLIER = 1
CELERY_WORKER_MAX_MEMORY_PER_CHILD = env("CELERY_WORKER_MAX_MEMORY_PER_CHILD") or None

CELERY_BEAT_SCHEDULER = "django_celery_beat.schedulers:DatabaseScheduler"
CELERY_BEAT_SCHEDULE = beat_schedule(env)
# When a task was sent is stored at once: a beat that is killed sends nothing again.
CELERY_BEAT_SYNC_EVERY = 1
for _entry in ENTRIES:
    globals()[_entry.period_variable] = env(_entry.period_variable)

CELERY_DISABLE_LOGGING_HIJACK = env("CELERY_DISABLE_LOGGING_HIJACK")

CELERY_ENABLE_SENTRY = env("CELERY_ENABLE_SENTRY")
CELERY_SENTRY_DSN = env("CELERY_SENTRY_DSN")
CELERY_SENTRY_ENVIRONMENT = env("CELERY_SENTRY_ENVIRONMENT")
CELERY_SENTRY_RELEASE = env("CELERY_SENTRY_RELEASE")
CELERY_SENTRY_SAMPLE_RATE_DEFAULT = env("CELERY_SENTRY_SAMPLE_RATE_DEFAULT")
CELERY_SENTRY_SAMPLE_RATE_BY_TASK_NAME = env.attempt(
    lambda: parse_rates(
        "CELERY_SENTRY_SAMPLE_RATE_BY_TASK_NAME", env("CELERY_SENTRY_SAMPLE_RATE_BY_TASK_NAME")
    ),
    {},
)
if CELERY_ENABLE_SENTRY:
    env.require("CELERY_SENTRY_DSN", "CELERY_SENTRY_ENVIRONMENT")
