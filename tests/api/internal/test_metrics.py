"""The page that Prometheus scrapes (spec 02 §9.1; scenarios 32 and 33; 08 §10)."""

import os
import re
import subprocess
import sys
import threading
from datetime import timedelta

import pytest
import redis as redis_py
from django.conf import settings as django_settings
from django.core.cache import cache
from django.db import connection
from django_celery_beat.models import IntervalSchedule, PeriodicTask

from api.clouds.aws.cloudtrail import metrics as ingest_metrics
from api.internal import dependencies, gauges, metrics
from api.models import IngestHour, StaleUsage
from cloudigrade.task_names import QUEUE_NAMES
from tests.api.internal.callers import ANYBODY
from tests.api.internal.scraping import nothing_remembered, scrape  # noqa: F401
from tests.factories import (
    make_aws_account,
    make_event,
    make_instance,
    make_run,
    make_stale,
    make_user,
    utc,
)
from util import postgres, redis, task_metrics
from util.metrics import own_metrics

pytestmark = pytest.mark.django_db

SQS_QUEUES = {
    "houndigrade_results",
    "houndigrade_results_dlq",
    "cloudtrail_notifications",
    "cloudtrail_notifications_dlq",
}
NOW = utc("2022-06-10T15:00:00")


@pytest.fixture
def no_redis(monkeypatch):
    client = redis_py.Redis(port=1, socket_connect_timeout=0.1)
    monkeypatch.setattr(redis, "client", lambda: client)


def test_scenario_32_empty_queues(redis_client):
    found = scrape()
    assert found["cloudigrade_sqs_queue_length"] == {(name,): 0.0 for name in SQS_QUEUES}
    lengths = found["cloudigrade_celery_queue_length"]
    assert lengths == {(name,): 0.0 for name in (*QUEUE_NAMES, "celery")}


def test_scenario_33_waiting_tasks_are_counted(redis_client):
    prefix = django_settings.CLOUDIGRADE_ENVIRONMENT
    redis_client.rpush(f"{prefix}-analyze_log", "a", "b", "c")
    redis_client.rpush(f"{prefix}-celery", "a")
    lengths = scrape()["cloudigrade_celery_queue_length"]
    assert lengths[("analyze_log",)] == 3.0
    assert lengths[("celery",)] == 1.0
    redis_client.lpop(f"{prefix}-analyze_log")
    assert scrape()["cloudigrade_celery_queue_length"][("analyze_log",)] == 2.0


def test_lengths_of_sqs_queues_are_what_was_last_seen(redis_client):
    cache.set("sqs_message_count_houndigrade_results", 7)
    cache.set("sqs_message_count_houndigrade_results_checked_at", 1654873200.5)
    found = scrape()
    assert found["cloudigrade_sqs_queue_length"][("houndigrade_results",)] == 7.0
    assert found["cloudigrade_sqs_queue_length_checked_timestamp_seconds"] == {
        ("houndigrade_results",): 1654873200.5
    }


def test_a_length_that_is_known_no_more_is_not_told(redis_client):
    """Issue 14, 19: a queue that could be looked at once, and now cannot, is not empty."""
    cache.set("sqs_message_count_houndigrade_results_checked_at", 1654873200.5)
    found = scrape()
    missing = SQS_QUEUES - {name for (name,) in found["cloudigrade_sqs_queue_length"]}
    assert missing == {"houndigrade_results"}
    assert found["cloudigrade_sqs_queue_length_checked_timestamp_seconds"] == {
        ("houndigrade_results",): 1654873200.5
    }


def test_when_the_scheduler_last_sent_what(redis_client):
    every = IntervalSchedule.objects.create(every=5, period=IntervalSchedule.MINUTES)
    for name, changes in {
        "sent": {"last_run_at": NOW},
        "new": {},
        "off": {"last_run_at": NOW, "enabled": False},
    }.items():
        PeriodicTask.objects.create(name=name, task=name, interval=every, **changes)
    found = scrape()
    assert found["cloudigrade_periodic_task_last_sent_timestamp_seconds"] == {
        ("sent",): NOW.timestamp()
    }
    assert found["cloudigrade_periodic_task_period_seconds"] == {("new",): 300.0, ("sent",): 300.0}


@pytest.mark.parametrize("junk", ["potato", [1], {"a": 1}, True, "7", 10**400])
def test_a_cached_length_that_is_no_number_drops_out_alone(redis_client, junk):
    """02 §12.3."""
    cache.set("sqs_message_count_houndigrade_results", junk)
    lengths = scrape()["cloudigrade_sqs_queue_length"]
    assert set(lengths) == {(name,) for name in SQS_QUEUES} - {("houndigrade_results",)}


def test_sizes_of_tables(redis_client):
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE api_user")
    found = scrape()
    sizes, rows = found["cloudigrade_db_table_size"], found["cloudigrade_db_table_rows"]
    assert sizes[("api_run",)] > 0
    assert set(rows) <= set(sizes)
    assert all(count >= 0 for count in rows.values())


def test_state_of_metering(redis_client, time_machine):
    """Ages go by PostgreSQL's clock, whatever this process's says (decision 41)."""
    now = postgres.now()
    user = make_user()
    account = make_aws_account(user=user, aws_account_id="000000000012")
    make_aws_account(is_enabled=False, aws_account_id="000000000013")
    make_aws_account(aws_account_id="000000000014")
    for number, region, hour, newest in (
        ("12", "us-east-1", 3, now - timedelta(minutes=200)),
        ("12", "us-east-1", 1, now - timedelta(minutes=50)),
        ("12", "eu-west-1", 1, None),
        ("13", "us-east-1", 1, now),
    ):
        IngestHour.objects.create(
            aws_account_id=number.zfill(12),
            region=region,
            hour=now - timedelta(hours=hour),
            newest_event_at=newest,
        )
    today = now.date()
    make_stale(user=user, first_day=today - timedelta(days=2))
    make_stale(user=user, first_day=today - timedelta(days=9), last_day=today - timedelta(days=8))
    StaleUsage.objects.update(marked_at=now - timedelta(minutes=1))
    instance = make_instance(account=account)
    make_run(instance=instance, start=utc("2022-06-01"))
    make_event(instance=instance, event_type="power_off", occurred_at=utc("2022-06-02"))
    time_machine.move_to(now - timedelta(hours=1))
    found = scrape()
    [(number, age)] = found["cloudigrade_ingest_newest_log_age_seconds"].items()
    assert number == ("000000000012",)
    assert 2990 <= age < 3600
    assert found["cloudigrade_stale_usage_ranges"] == {(): 2.0}
    assert found["cloudigrade_stale_usage_rows"] == {(): 5.0}
    assert 50 <= found["cloudigrade_stale_usage_oldest_seconds"][()] < 660
    assert found["cloudigrade_problematic_runs"] == {(): 1.0}
    assert found["cloudigrade_inbox_messages"][("waiting",)] == 0.0


def test_an_empty_database_has_no_lag(redis_client):
    found = scrape()
    assert "cloudigrade_ingest_newest_log_age_seconds" not in found
    assert found["cloudigrade_stale_usage_rows"] == {(): 0.0}
    assert found["cloudigrade_stale_usage_oldest_seconds"] == {(): 0.0}


@pytest.mark.usefixtures("no_redis")
def test_without_redis_the_rest_is_there():
    """02 §12.3."""
    found = scrape()
    assert "cloudigrade_celery_queue_length" not in found
    assert found["cloudigrade_db_table_size"]
    assert found["python_info"]


def test_without_a_database_the_rest_is_there(redis_client, monkeypatch):
    """02 §12.4."""

    def refuse(*_arguments, **_options):
        raise gauges.DatabaseError("connection to server at db.example.com failed")

    asked = []
    monkeypatch.setattr(gauges.transaction, "atomic", lambda: asked.append(1) or refuse())
    found = scrape()
    assert not any(name.startswith("cloudigrade_db") for name in found)
    assert found["cloudigrade_sqs_queue_length"]
    assert asked == [1], "a database that is away is asked once in a scrape"


def test_a_database_that_hangs_is_not_asked(redis_client, monkeypatch):
    done = threading.Event()
    monkeypatch.setattr(gauges, "check_database", lambda: done.wait(90))
    monkeypatch.setattr(dependencies, "TIMEOUT", 0.05)
    monkeypatch.setattr(gauges.transaction, "atomic", lambda: pytest.fail("asked"))
    found = scrape()
    done.set()
    assert "cloudigrade_celery_queue_length" in found
    assert "cloudigrade_db_table_size" not in found


def test_a_source_that_breaks_drops_out_alone(redis_client, monkeypatch):
    broken = gauges.SystemCollector()
    broken.sources.insert(0, gauges.GaugeSource(lambda: 1 / 0, redis_py.RedisError))
    monkeypatch.setattr(metrics, "_system", broken)
    assert scrape()["cloudigrade_sqs_queue_length"]


def test_tables_are_looked_up_once_in_a_while(redis_client, django_assert_max_num_queries):
    scrape()
    with django_assert_max_num_queries(0):
        scrape()


def test_requests_are_counted(redis_client):
    """The series of django-prometheus (02 §9.1)."""
    scrape()
    found = scrape()
    name = "django_http_requests_total_by_view_transport_method_total"
    assert any("prometheus-django-metrics" in labels for labels in found[name])


def test_headers_are_not_looked_at(redis_client):
    """02 §3, mode "open"."""
    response = ANYBODY.get("/internal/metrics", X_RH_CLOUDIGRADE_PSK="wrong")
    assert response.status_code == 200
    assert ANYBODY.post("/internal/metrics").status_code == 405
    assert ANYBODY.get("/internal/metrics/").status_code == 404


def test_no_database_is_needed_to_start():
    """08 §10: nothing is looked up when a process starts, and twice does no harm."""
    code = (
        "import django; django.setup();"
        "from django.db import connection;"
        "import api.internal.urls;"
        "from util import metrics; from api.internal.gauges import SystemCollector;"
        "SystemCollector(); SystemCollector();"
        "assert connection.connection is None"
    )
    environment = {**os.environ, "DJANGO_DATABASE_PORT": "1", "REDIS_PORT": "1"}
    subprocess.run([sys.executable, "-W", "ignore", "-c", code], env=environment, check=True)


def test_the_dashboard_shows_what_there_is(redis_client):
    """02 §9.3: each series of ours on the dashboard is on the page, or is the listener's."""
    folder = django_settings.BASE_DIR / "deployment" / "dashboards"
    [file] = folder.glob("grafana-dashboard-clouddot-cloudigrade-operations*")
    wanted = set(re.findall(r"\bcloudigrade_(?!listener)[a-z_]+", file.read_text()))
    cache.set("sqs_message_count_houndigrade_results_checked_at", 1)
    account = make_aws_account()
    IngestHour.objects.create(aws_account_id=account.aws_account_id, region="us-east-1", hour=NOW)
    ingest_metrics.count_messages([])
    assert task_metrics.RUNS in own_metrics()
    counted = {f"{family.name}_total" for metric in own_metrics() for family in metric.describe()}
    assert wanted <= set(scrape()) | counted
