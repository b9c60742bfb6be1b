"""Periodic tasks (08 §6.5)."""

from unittest.mock import Mock

import pytest
from celery import signals
from django_celery_beat.models import PeriodicTask
from django_celery_beat.schedulers import DatabaseScheduler

from cloudigrade import celery_app
from cloudigrade.schedule import ENTRIES, beat_schedule
from cloudigrade.settings.environment import env
from cloudigrade.task_names import ROUTES
from tests.cloudigrade.programs import settings_of

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
    "recalculate_stale_usage": 60,
    "delete_expired_records": 86400,
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
    schedule = beat_schedule(lambda _variable: 7)
    assert len(schedule) == len(ENTRIES)
    assert all(entry["options"] == {"expire_seconds": 7} for entry in schedule.values())


@pytest.fixture
def start_beat(monkeypatch):
    """Do what beat does with its schedule when it starts, without regard to other processes."""
    monkeypatch.setattr("cloudigrade.celery.Lease", Mock())

    def start(schedule=None):
        signals.beat_init.send(sender=None)
        scheduler = DatabaseScheduler(app=celery_app)
        scheduler.update_from_dict(celery_app.conf.beat_schedule if schedule is None else schedule)

    return start


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
def test_an_entry_that_is_switched_off_later_is_removed(start_beat, settings):
    start_beat()
    PeriodicTask.objects.create(
        name="an operator's own",
        task="api.tasks.enable_account",
        interval=PeriodicTask.objects.get(name="sweep_inbox").interval,
    )
    settings.CELERY_BEAT_SCHEDULE = {
        name: entry
        for name, entry in celery_app.conf.beat_schedule.items()
        if name != "reconcile_aws_accounts"
    }
    start_beat(settings.CELERY_BEAT_SCHEDULE)
    names = set(PeriodicTask.objects.values_list("name", flat=True))
    assert "reconcile_aws_accounts" not in names
    assert {"an operator's own", "sweep_inbox"} <= names
