"""Periodic tasks (08 §6.5)."""

from datetime import UTC, datetime, timedelta
from unittest.mock import Mock

import pytest
from django.db import OperationalError
from django_celery_beat.models import PeriodicTask

from cloudigrade import celery_app
from cloudigrade.schedule import ENTRIES, beat_schedule
from cloudigrade.scheduler import Scheduler
from cloudigrade.settings.environment import env
from cloudigrade.task_names import ROUTES
from tests.cloudigrade.programs import settings_of
from util import postgres

NOW = datetime(2026, 5, 4, tzinfo=UTC)

DEFAULTS = {
    "check_and_cache_sqs_queues_lengths": 300,
    "delete_inactive_users": 86400,
    "delete_cloud_accounts_not_in_sources": 86400,
    "delete_orphaned_cloud_accounts": 86400,
    "delete_expired_synthetic_data": 3600,
    "persist_inspection_cluster_results": 60,
    "inspect_pending_images": 900,
    "recalculate_runs_for_all_cloud_accounts": 3600,
    "recalculate_concurrent_usage_for_all_users": 3600,
    "analyze_log_every_2_mins": 30,
    "repopulate_ec2_instance_mapping_every_week": 604800,
    "repopulate_azure_instance_mapping_every_week": 604800,
    "update_azure_instance_events_every_hour": 3600,
}
OURS = {
    "reconcile_aws_accounts": 21600,
    "redrive_dead_letters": 3600,
    "describe_missing": 21600,
    "recalculate_stale_usage": 60,
    "audit_logs": 86400,
    "calculate_coverage": 3600,
    "delete_expired_records": 86400,
    "summarize_billing_findings": 3600,
    "sample_fleet": 60,
    "sweep_inbox": 60,
    "sweep_inspections": 900,
}


def periods(schedule):
    return {name: entry["schedule"] for name, entry in schedule.items()}


def test_scenario_10_defaults():
    assert periods(celery_app.conf.beat_schedule) == DEFAULTS | OURS


def test_scenario_10_one_period_changed_and_one_entry_switched_off():
    found = settings_of(
        "prod", "CELERY_BEAT_SCHEDULE", ANALYZE_LOG_SCHEDULE="45", AWS_RECONCILE_SCHEDULE="0"
    )["CELERY_BEAT_SCHEDULE"]
    expected = DEFAULTS | OURS | {"analyze_log_every_2_mins": 45}
    del expected["reconcile_aws_accounts"]
    assert periods(found) == expected


def test_every_entry_names_a_routed_task_and_a_variable():
    assert {entry.task for entry in ENTRIES} <= set(ROUTES)
    assert {entry.period_variable for entry in ENTRIES} <= set(env.variables)


def test_a_message_does_not_outlive_its_period():
    schedule = beat_schedule(lambda _variable: 7200)
    assert len(schedule) == len(ENTRIES)
    assert all(entry["options"] == {"expire_seconds": 7200} for entry in schedule.values())


def test_a_message_outlives_a_difference_of_clocks():
    """Decision 41: ten minutes at least; two clocks may each be five minutes off."""
    schedule = beat_schedule(lambda _variable: 7)
    assert all(entry["options"]["expire_seconds"] > 600 for entry in schedule.values())


@pytest.fixture
def start_beat(monkeypatch):
    """Do what beat does with its schedule when it starts, without regard to other processes."""
    monkeypatch.setattr("cloudigrade.scheduler.wait_for_migrations", Mock())
    monkeypatch.setattr("cloudigrade.scheduler.Lease", Mock())

    configured = celery_app.conf.beat_schedule

    def start(schedule=configured):
        celery_app.conf.beat_schedule = schedule
        return Scheduler(app=celery_app)

    yield start
    celery_app.conf.beat_schedule = configured


@pytest.mark.django_db(transaction=True)
def test_scenario_11_an_operator_s_decision_survives_a_restart(start_beat):
    start_beat()
    row = PeriodicTask.objects.get(name="inspect_pending_images")
    assert (row.interval.every, row.interval.period, row.expire_seconds) == (900, "seconds", 900)
    PeriodicTask.objects.filter(name="inspect_pending_images").update(enabled=False)
    start_beat()
    assert not PeriodicTask.objects.get(name="inspect_pending_images").enabled


@pytest.mark.django_db(transaction=True)
def test_a_period_is_reset_to_what_is_configured(start_beat):
    start_beat()
    start_beat(beat_schedule(lambda _variable: 45))
    assert PeriodicTask.objects.get(name="analyze_log_every_2_mins").interval.every == 45


@pytest.mark.django_db(transaction=True)
def test_an_entry_that_is_switched_off_later_is_removed(start_beat):
    start_beat()
    PeriodicTask.objects.create(
        name="an operator's own",
        task="api.tasks.enable_account",
        interval=PeriodicTask.objects.get(name="sweep_inbox").interval,
    )
    start_beat(
        {
            name: entry
            for name, entry in celery_app.conf.beat_schedule.items()
            if name != "reconcile_aws_accounts"
        }
    )
    names = set(PeriodicTask.objects.values_list("name", flat=True))
    assert "reconcile_aws_accounts" not in names
    assert {"an operator's own", "sweep_inbox"} <= names


@pytest.mark.django_db(transaction=True)
def test_starting_again_puts_no_entry_off(start_beat):
    """Decisions 44 and 52: an entry is due one period after beat's first start."""
    assert not start_beat().schedule["delete_inactive_users"].is_due().is_due
    hours_ago = postgres.now() - timedelta(hours=20)
    PeriodicTask.objects.filter(name="delete_inactive_users").update(last_run_at=hours_ago)
    for _ in range(2):
        entry = start_beat().schedule["delete_inactive_users"].is_due()
        assert not entry.is_due
        assert entry.next <= 4 * 3600
    PeriodicTask.objects.update(last_run_at=postgres.now() - timedelta(hours=25))
    assert start_beat().schedule["delete_inactive_users"].is_due().is_due


@pytest.mark.django_db(transaction=True)
def test_the_time_of_a_beat_whose_clock_was_ahead_is_not_waited_for(start_beat):
    """Decision 41."""
    start_beat()
    PeriodicTask.objects.update(last_run_at=postgres.now() + timedelta(minutes=5))
    assert start_beat().schedule["analyze_log_every_2_mins"].is_due().next <= 30


class Outage:
    """Lets the database fail for whoever reads or writes periodic tasks."""

    def __init__(self, monkeypatch):
        self._monkeypatch = monkeypatch

    def __enter__(self):
        def away(*_arguments, **_options):
            raise OperationalError("server closed the connection unexpectedly")

        self._patched = self._monkeypatch.context()
        patch = self._patched.__enter__()
        patch.setattr(Scheduler, "enabled_models", away)
        patch.setattr(Scheduler.Changes, "last_change", away)
        patch.setattr(Scheduler.Entry, "save", away)

    def __exit__(self, *exception):
        self._patched.__exit__(*exception)


@pytest.mark.django_db(transaction=True)
def test_beat_outlives_a_database_that_is_away_when_the_schedule_is_read_again(
    start_beat, monkeypatch, caplog
):
    """The library reads it all every five minutes, and ended if it could not."""
    scheduler = start_beat()
    known = set(scheduler.schedule)
    scheduler._last_full_sync -= timedelta(seconds=301)
    with Outage(monkeypatch):
        assert set(scheduler.schedule) == known
    assert "The schedule is not read again now" in caplog.text
    scheduler._last_full_sync -= timedelta(seconds=301)
    assert set(scheduler.schedule) == known


@pytest.mark.django_db(transaction=True)
def test_what_was_sent_during_an_outage_is_not_sent_again_after_it(start_beat, monkeypatch):
    scheduler = start_beat()
    name = "delete_inactive_users"
    PeriodicTask.objects.filter(name=name).update(last_run_at=NOW)
    scheduler = start_beat()
    assert scheduler.schedule[name].is_due().is_due
    with Outage(monkeypatch):
        scheduler.reserve(scheduler.schedule[name])
        scheduler.sync()
        scheduler._last_full_sync -= timedelta(seconds=301)
        assert not scheduler.schedule[name].is_due().is_due
    scheduler._last_full_sync -= timedelta(seconds=301)
    assert not scheduler.schedule[name].is_due().is_due
    scheduler.sync()
    assert PeriodicTask.objects.get(name=name).last_run_at > NOW


@pytest.mark.django_db(transaction=True)
def test_an_entry_that_an_operator_deleted_keeps_no_other_from_being_stored(start_beat):
    scheduler = start_beat()
    for name in ("delete_inactive_users", "sweep_inbox"):
        scheduler.reserve(scheduler.schedule[name])
    PeriodicTask.objects.filter(name="delete_inactive_users").delete()
    PeriodicTask.objects.update(last_run_at=NOW)
    scheduler.sync()
    assert PeriodicTask.objects.get(name="sweep_inbox").last_run_at > NOW
    assert not scheduler._dirty


def test_when_a_task_was_sent_is_stored_at_once():
    assert celery_app.conf.beat_sync_every == 1


@pytest.mark.django_db(transaction=True)
def test_a_beat_that_is_not_certain_of_being_alone_sends_nothing(start_beat, redis_client):
    scheduler = start_beat()
    scheduler._lease.is_certain.return_value = False
    scheduler.apply_entry(scheduler.schedule["sweep_inbox"])
    assert redis_client.llen("test-sweep_inbox") == 0
    scheduler._lease.is_certain.return_value = True
    scheduler.apply_entry(scheduler.schedule["sweep_inbox"])
    assert redis_client.llen("test-sweep_inbox") == 1
