"""Gauges that tell the state of the whole system, looked up when they are scraped (spec 02 §9.1).

Whichever process answers tells the global number. A source that fails, or takes too long, costs its
own series only; nothing here runs when a process starts.
"""

import logging
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from django.conf import settings
from django.core.cache import cache
from django.db import Error as DatabaseError
from django.db import connection, transaction
from django_celery_beat.models import PeriodicTask
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector
from psycopg2.errors import QueryCanceled
from redis import RedisError

from api import set_aside
from api.clouds.aws.describe.health import (
    failing_accounts,
    overdue_accounts,
    unseen_accounts,
)
from api.clouds.azure.health import (
    refused_subscriptions,
    unreadable_scale_sets,
    unseen_subscriptions,
)
from api.clouds.freshness import last_ingest
from api.coverage.overview import accounts_by_state
from api.inspection.overview import states as inspection_states
from api.internal.dependencies import check_database, run_checks
from api.metering.problems import problematic_runs
from api.models import BillingFinding, StaleUsage
from api.overview.queues import SQS_QUEUES, celery_lengths, length_key
from api.push.metrics import statistics as push_statistics
from api.sources.inbox_metrics import InboxCollector
from util import clock, replica

logger = logging.getLogger(__name__)

LARGEST = 1e300
"""What is larger, or no number at all, can be no measurement."""

STATEMENT_TIMEOUT = 3000
"""Milliseconds for one statement of a scrape."""


def sqs_queues() -> Iterator[Metric]:
    """Lengths of SQS queues as last seen by the periodic task, and when that was.

    A queue that was never looked at has length 0 (02 §9.1). One that was, but too long ago for its
    length to be known still, has none: a number would look like a measurement.
    """
    keys = {name: length_key(name) for name in SQS_QUEUES}
    times = {name: f"{key}_checked_at" for name, key in keys.items()}
    cached = cache.get_many([*keys.values(), *times.values()])
    length = _family("sqs_queue_length", "Messages in an SQS queue when last checked", "queue_name")
    checked = _family(
        "sqs_queue_length_checked_timestamp_seconds",
        "When the length of an SQS queue was last checked",
        "queue_name",
    )
    for name in SQS_QUEUES:
        is_forgotten = keys[name] not in cached and times[name] in cached
        _add(length, name, None if is_forgotten else cached.get(keys[name], 0))
        _add(checked, name, cached.get(times[name]))
    yield length
    yield checked


def celery_queues() -> Iterator[Metric]:
    """Lengths of the queues that workers consume."""
    family = _family("celery_queue_length", "Tasks that wait in a Celery queue", "queue_name")
    for name, length in celery_lengths().items():
        _add(family, name, length)
    yield family


def periodic_tasks() -> Iterator[Metric]:
    """When the scheduler last sent each periodic task that is switched on, and its period."""
    sent = _family(
        "periodic_task_last_sent_timestamp_seconds",
        "When the scheduler last sent a periodic task; at first, when it installed it",
        "name",
    )
    period = _family("periodic_task_period_seconds", "Time between two messages of it", "name")
    with _bounded_cursor():
        found = list(
            PeriodicTask.objects.filter(enabled=True, interval__isnull=False)
            .select_related("interval")
            .order_by("name")
        )
    for task in found:
        _add(period, task.name, task.interval.schedule.run_every.total_seconds())
        if task.last_run_at:
            _add(sent, task.name, task.last_run_at.timestamp())
    yield sent
    yield period


def tables() -> Iterator[Metric]:
    """Sizes of the database's tables with indexes and TOAST, and the planner's numbers of rows."""
    size = _family("db_table_size", "Bytes of a table with all that belongs to it", "table_name")
    rows = _family("db_table_rows", "Estimated number of live rows in a table", "table_name")
    for name, is_ordinary, bytes_, estimate in _select(
        """
        SELECT relname, relkind = 'r', pg_total_relation_size(c.oid), greatest(reltuples, 0)
        FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace
        WHERE nspname = 'public' AND relkind IN ('r', 'p', 'm')
        ORDER BY relname
        """
    ):
        _add(size, name, bytes_)
        if is_ordinary:
            _add(rows, name, estimate)
    yield size
    yield rows


def ingest_lag() -> Iterator[Metric]:
    """How old the newest processed CloudTrail log of each enabled account is."""
    family = _family(
        "ingest_newest_log_age_seconds",
        "Age of the newest processed CloudTrail log of an AWS account",
        "aws_account_id",
    )
    # Each account's newest hour is one step into the index that begins with account and hour.
    for aws_account_id, age in _select(
        """
        SELECT a.aws_account_id, extract(epoch FROM now() - newest.at)
        FROM api_cloudaccount a CROSS JOIN LATERAL (
            SELECT coalesce(max(h.newest_event_at), max(h.hour)) AS at
            FROM api_ingesthour h
            WHERE h.aws_account_id = a.aws_account_id AND h.hour = (
                SELECT max(hour) FROM api_ingesthour WHERE aws_account_id = a.aws_account_id
            )
        ) newest
        WHERE a.cloud_type = 'aws' AND a.is_enabled AND newest.at IS NOT NULL
        """
    ):
        _add(family, aws_account_id, age)
    yield family


def aws_looks() -> Iterator[Metric]:
    """AWS accounts that looks have not been able to read for a while."""
    unseen = _family(
        "aws_unseen_seconds",
        "Time since the last good look at an AWS account, of those unseen for long",
        "aws_account_id",
    )
    failing = _family(
        "aws_failing_regions",
        "Regions of an AWS account whose newest look failed, denied ones left out",
        "aws_account_id",
    )
    with _bounded_cursor():
        for family, troubles in ((unseen, unseen_accounts()), (failing, failing_accounts())):
            for trouble in troubles:
                _add(family, trouble.aws_account_id, trouble.number)
    yield unseen
    yield failing


def azure_secret() -> Iterator[Metric]:
    """When our application's secret expires, if the deployment tells; the secret is not read."""
    family = GaugeMetricFamily(
        "cloudigrade_azure_client_secret_expires_timestamp_seconds",
        "When the secret of our application in Azure expires, if that is configured",
    )
    if expires := settings.AZURE_CLIENT_EXPIRES:
        midnight = datetime.combine(expires, datetime.min.time(), UTC)
        family.add_metric([], midnight.timestamp())
    yield family


def overdue_scans() -> Iterator[Metric]:
    """Accounts that should have been scanned again by now."""
    with _bounded_cursor():
        count = overdue_accounts()
    yield _single(
        "reconcile_overdue_accounts", "AWS accounts whose regular describe is overdue", count
    )


def covered_accounts() -> Iterator[Metric]:
    """How far the last day of all accounts can be trusted."""
    family = GaugeMetricFamily(
        "cloudigrade_coverage_accounts",
        "Accounts by the state of yesterday's coverage",
        labels=["cloud", "state"],
    )
    with _bounded_cursor():
        found = accounts_by_state(clock.today() - timedelta(days=1))
    for (cloud, state), number in found.items():
        family.add_metric([cloud, state], number)
    yield family


def last_ingests() -> Iterator[Metric]:
    """When something of each cloud was processed last."""
    family = _family(
        "last_ingest_timestamp_seconds",
        "When a log file, or a poll, of a cloud was processed last",
        "cloud",
    )
    for cloud, moment in last_ingest().items():
        _add(family, cloud, moment)
    yield family


def running_instances() -> Iterator[Metric]:
    """How many instances are on, as far as we know."""
    family = GaugeMetricFamily("cloudigrade_running_instances", "Runs that have not ended")
    for (number,) in _select("SELECT count(*) FROM api_run WHERE end_time IS NULL"):
        family.add_metric([], number)
    yield family


def azure_polls() -> Iterator[Metric]:
    """Subscriptions, and scale sets, that polls have not been able to read for a while."""
    refused = _family(
        "azure_refused_polls",
        "Polls of an Azure subscription that were refused since the last good one",
        "subscription_id",
    )
    unreadable = _family(
        "azure_unreadable_scale_sets",
        "Scale sets of an Azure subscription that the last three polls could not read",
        "subscription_id",
    )
    unseen = _family(
        "azure_unseen_seconds",
        "Time since the last good poll of an Azure subscription, of those unseen for long",
        "subscription_id",
    )
    with _bounded_cursor():
        for family, troubles in (
            (refused, refused_subscriptions()),
            (unreadable, unreadable_scale_sets()),
            (unseen, unseen_subscriptions()),
        ):
            for trouble in troubles:
                _add(family, trouble.subscription_id, trouble.number)
    yield refused
    yield unreadable
    yield unseen


def stale_usage() -> Iterator[Metric]:
    """Days of usage that wait for their calculation."""
    [(marks, days, oldest)] = _select(
        f"""
        SELECT count(*),
               coalesce(sum(greatest(coalesce(last_day, current_date) - first_day + 1, 0)), 0),
               greatest(coalesce(extract(epoch FROM now() - min(marked_at)), 0), 0)
        FROM {StaleUsage._meta.db_table}
        """  # noqa: S608 - the table's name is ours
    )
    yield _single("stale_usage_ranges", "Ranges of days that wait to be calculated", marks)
    yield _single("stale_usage_rows", "User-days that wait to be calculated", days)
    yield _single("stale_usage_oldest_seconds", "Age of the oldest such range", oldest)
    yield _single("usage_oldest_stale_seconds", "The same, as spec 10 names it", oldest)


def inbox_messages() -> Iterator[Metric]:
    """Messages of the sources service that are not done with."""
    with _bounded_cursor():
        yield from list(InboxCollector().collect())


def usage_outbox() -> Iterator[Metric]:
    """Changed usage that waits to be told over Kafka."""
    with _bounded_cursor():
        found = push_statistics()
    yield _single("push_outbox_rows", "Changed user-days that could be told now", found.rows)
    yield _single(
        "push_oldest_seconds", "For how long the oldest could have been told", found.oldest_seconds
    )


def read_replica() -> Iterator[Metric]:
    """Whether the replica can be used, as this process knows, and how far it lags."""
    if not replica.is_configured():
        return
    lag = replica.monitor.lag()
    yield _single("replica_up", "Whether the replica can be read from", lag is not None)
    if lag is not None and lag < LARGEST:
        yield _single("replica_lag_seconds", "How far the replica lags behind", lag)


def inspections() -> Iterator[Metric]:
    """How many AMIs wait for the end of their inspection, or failed, and the oldest of each."""
    count = _family("inspection_images", "AMIs whose inspection has not ended well", "status")
    oldest = _family(
        "inspection_oldest_seconds", "For how long the oldest has been left alone", "status"
    )
    with _bounded_cursor():
        found = inspection_states()
    for state in found:
        _add(count, state.status, state.images)
        _add(oldest, state.status, state.oldest_seconds)
    yield count
    yield oldest


def set_aside_tasks() -> Iterator[Metric]:
    """Tasks that killed their process too often and wait for an operator (decision 43)."""
    count = _family("set_aside_tasks", "Tasks that wait for an operator", "name")
    with _bounded_cursor():
        found = set_aside.count_by_name()
    for name, number in found.items():
        _add(count, name, number)
    yield count


def billing_findings() -> Iterator[Metric]:
    """Instances whose RHEL was, yesterday or today, paid twice, not at all, or nobody knows how."""
    count = _family("billing_findings", "Instances with a finding of yesterday or today", "kind")
    found = dict(
        _select(
            f"SELECT kind, count(*) FROM {BillingFinding._meta.db_table} GROUP BY kind"  # noqa: S608
        )
    )
    for kind in BillingFinding.Kind.values:
        _add(count, kind, found.get(kind, 0))
    yield count


def problems() -> Iterator[Metric]:
    """Runs that are open although their instance was switched off."""
    with _bounded_cursor():
        count = problematic_runs().count()
    yield _single("problematic_runs", "Open runs whose instance was switched off", count)


def _family(name: str, text: str, label: str) -> GaugeMetricFamily:
    return GaugeMetricFamily(f"cloudigrade_{name}", text, labels=[label])


def _single(name: str, text: str, value: float) -> Metric:
    return GaugeMetricFamily(f"cloudigrade_{name}", text, value=float(value))


def _add(family: GaugeMetricFamily, label: str, value: Any) -> None:
    """Add a sample, unless the value is no number: anybody can write to the cache."""
    is_number = isinstance(value, int | float | Decimal) and not isinstance(value, bool)
    if is_number and abs(value) < LARGEST:
        family.add_metric([label], float(value))


def _select(sql: str) -> list[tuple]:
    with _bounded_cursor() as cursor:
        cursor.execute(sql)
        return cursor.fetchall()


@contextmanager
def _bounded_cursor() -> Iterator[Any]:
    """Open a short transaction in which no statement takes long."""
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(f"SET LOCAL statement_timeout = {STATEMENT_TIMEOUT}")
        yield cursor


def _hanging_stores() -> set[type[Exception]]:
    """Leave out a database that does not answer now: a statement sent to it might never end."""
    return (
        set() if run_checks({"database": check_database})["database"].finished else {DatabaseError}
    )


@dataclass
class GaugeSource:
    """Gauges that are looked up together, in one of our stores, and kept for some seconds."""

    collect: Callable[[], Iterable[Metric]]
    store: type[Exception]
    keep: float = 0.0
    metrics: list[Metric] = field(default_factory=list)
    until: float = 0.0

    def read(self) -> list[Metric]:
        """Return the gauges, from memory if they are young enough."""
        if time.monotonic() >= self.until:
            self.metrics = list(self.collect())
            self.until = time.monotonic() + self.keep
        return self.metrics


class SystemCollector(Collector):
    """All gauges of this module."""

    def __init__(self) -> None:
        self.sources = [
            GaugeSource(sqs_queues, RedisError),
            GaugeSource(celery_queues, RedisError),
            GaugeSource(periodic_tasks, DatabaseError, keep=15),
            GaugeSource(tables, DatabaseError, keep=60),
            GaugeSource(ingest_lag, DatabaseError, keep=30),
            GaugeSource(aws_looks, DatabaseError, keep=300),
            GaugeSource(running_instances, DatabaseError, keep=60),
            GaugeSource(azure_polls, DatabaseError, keep=60),
            GaugeSource(azure_secret, ValueError),
            GaugeSource(overdue_scans, DatabaseError, keep=300),
            GaugeSource(covered_accounts, DatabaseError, keep=300),
            GaugeSource(last_ingests, RedisError),
            GaugeSource(stale_usage, DatabaseError, keep=15),
            GaugeSource(inbox_messages, DatabaseError, keep=15),
            GaugeSource(usage_outbox, DatabaseError, keep=5),
            GaugeSource(read_replica, DatabaseError),
            GaugeSource(inspections, DatabaseError, keep=15),
            GaugeSource(problems, DatabaseError, keep=60),
            GaugeSource(set_aside_tasks, DatabaseError, keep=15),
            GaugeSource(billing_findings, DatabaseError, keep=60),
        ]

    def describe(self) -> list[Metric]:
        """Name nothing beforehand, so that registering looks nothing up."""
        return []

    def collect(self) -> Iterator[Metric]:
        """Return what can be had. A store that is away is asked once in a scrape."""
        away = _hanging_stores()
        for source in self.sources:
            if source.store in away:
                continue
            try:
                yield from source.read()
            except source.store as error:
                logger.warning("Gauges %s: %s", source.collect.__name__, type(error).__name__)
                if not isinstance(error.__cause__, QueryCanceled):
                    away.add(source.store)
            except Exception:
                logger.exception("Gauges %s failed", source.collect.__name__)
