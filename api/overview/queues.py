"""How many messages and tasks wait in queues."""

from collections.abc import Mapping

from django.conf import settings
from django.core.cache import cache

from util import redis

SQS_QUEUES = (
    "houndigrade_results",
    "houndigrade_results_dlq",
    "cloudtrail_notifications",
    "cloudtrail_notifications_dlq",
)


def length_key(queue: str) -> str:
    """Return the key under which a periodic task caches the length of an SQS queue."""
    return f"sqs_message_count_{queue}"


def sqs_lengths() -> dict[str, int]:
    """Return the lengths of SQS queues that are known; raises what the cache's client raises."""
    found = cache.get_many([length_key(name) for name in SQS_QUEUES])
    lengths = {name: found.get(length_key(name)) for name in SQS_QUEUES}
    return {name: length for name, length in lengths.items() if isinstance(length, int)}


def celery_lengths() -> Mapping[str, int]:
    """Return the length of each queue that workers consume. Raises RedisError."""
    prefix = settings.CELERY_BROKER_TRANSPORT_OPTIONS["global_keyprefix"]
    names = [queue.name for queue in settings.CELERY_TASK_QUEUES]
    pipeline = redis.client().pipeline(transaction=False)
    for name in names:
        pipeline.llen(f"{prefix}{name}")
    return dict(zip(names, pipeline.execute(), strict=True))
