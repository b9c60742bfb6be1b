"""The state of the whole fleet, measured each minute (spec 12 §1, "from roll-ups").

What takes a look at each account, or at each run that is open, is asked by a task and stored; pages
read the newest sample and those of the last day.
"""

import logging
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from typing import Any, TypeVar

from django.db import Error as DatabaseError
from django.db import connection
from redis import RedisError

from api.images.facts import RHEL_FOR_EVERYBODY
from api.models import FleetSample
from api.overview.queues import celery_lengths, sqs_lengths
from api.overview.troubles import troubles

logger = logging.getLogger(__name__)

Result = TypeVar("Result")

KEPT_DAYS = 15
NEW_EVENTS = timedelta(minutes=10)
"""Events that were stored so lately tell how old events are when they are stored."""

# Whether an image is RHEL is asked once for each image and customer, not for each run.
_RUNNING_RHEL = f"""
WITH on_now AS (
    SELECT account.user_id, run.machine_image_id, count(*) AS runs
    FROM api_run run JOIN api_cloudaccount account ON account.id = run.cloud_account_id
    WHERE run.end_time IS NULL AND run.machine_image_id IS NOT NULL
    GROUP BY account.user_id, run.machine_image_id
)
SELECT coalesce(sum(on_now.runs), 0)::bigint
FROM on_now JOIN api_machineimage image ON image.id = on_now.machine_image_id
WHERE {RHEL_FOR_EVERYBODY} OR EXISTS (
    SELECT FROM api_imagetags tags
    JOIN api_cloudaccount owner ON owner.id = tags.cloud_account_id
    WHERE tags.machine_image_id = image.id AND tags.rhel AND owner.user_id = on_now.user_id
)
"""  # noqa: S608 - made of constants

_EVENT_AGES = """
SELECT percentile_cont(ARRAY[0.5, 0.95]) WITHIN GROUP (
    ORDER BY extract(epoch FROM created_at - occurred_at)
)
FROM api_instanceevent
WHERE created_at > now() - %s AND origin = 'cloudtrail'
"""

_PRUNE = "DELETE FROM api_fleetsample WHERE at < now() - %s"


def measure() -> FleetSample:
    """Return a sample of now that is not stored; what cannot be measured is None in it."""
    sqs: dict[str, int] = _attempt(sqs_lengths, {})
    celery = _attempt(celery_lengths, None)
    ages = _attempt(lambda: _one(_EVENT_AGES, NEW_EVENTS), None) or [None, None]
    found = _attempt(troubles, None)
    return FleetSample(
        running_rhel=_attempt(lambda: _one(_RUNNING_RHEL), None),
        event_age_p50=ages[0],
        event_age_p95=ages[1],
        queue_trail=sqs.get("cloudtrail_notifications"),
        queue_trail_dlq=sqs.get("cloudtrail_notifications_dlq"),
        queue_results=sqs.get("houndigrade_results"),
        queue_results_dlq=sqs.get("houndigrade_results_dlq"),
        queue_celery=None if celery is None else sum(celery.values()),
        details={"troubles": found},
    )


def take_sample(*, findings: Sequence[Mapping[str, str]]) -> FleetSample:
    """Measure, store the sample, and forget those of more than 15 days ago.

    ``findings`` are those of ``api.doctor``, which looks at more than this package knows of.
    """
    sample = measure()
    sample.details["findings"] = list(findings)
    sample.save()
    with connection.cursor() as cursor:
        kept: Any = timedelta(days=KEPT_DAYS)
        cursor.execute(_PRUNE, [kept])
    return sample


def _one(statement: str, *parameters: Any) -> Any:
    with connection.cursor() as cursor:
        cursor.execute(statement, parameters)
        [(value,)] = cursor.fetchall()
    return value


def _attempt(ask: Callable[[], Result], missing: Result) -> Result:
    """Return what is asked for, or ``missing``: one that cannot be had costs nothing else.

    To be called outside of a transaction, so that a statement that fails spoils no other.
    """
    try:
        return ask()
    except (DatabaseError, RedisError) as error:
        logger.warning("A part of the fleet cannot be measured: %s", type(error).__name__)
        return missing
