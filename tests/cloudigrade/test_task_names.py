"""Names and queues of tasks (08 §6.2)."""

import re

import pytest
from django.conf import settings

from cloudigrade import celery_app
from cloudigrade.schedule import ENTRIES
from cloudigrade.task_names import DEFAULT_QUEUE, QUEUE_NAMES, ROUTES, TASK_NAMES

REFERENCE = {
    "api.tasks": (
        "delete_cloud_account enable_account delete_inactive_users"
        " delete_cloud_accounts_not_in_sources delete_orphaned_cloud_accounts"
        " delete_expired_synthetic_data migrate_account_numbers_to_org_ids"
        " check_and_cache_sqs_queues_lengths fix_problematic_runs inspect_pending_images"
        " persist_inspection_cluster_results_task notify_application_availability_task"
        " recalculate_concurrent_usage_for_all_users recalculate_concurrent_usage_for_user_id"
        " recalculate_concurrent_usage_for_user_id_on_date recalculate_runs_for_all_cloud_accounts"
        " recalculate_runs_for_cloud_account_id recalculate_runs_for_instance_id"
        " create_from_sources_kafka_message delete_from_sources_kafka_message"
        " update_from_sources_kafka_message pause_from_sources_kafka_message"
        " unpause_from_sources_kafka_message synthesize_user synthesize_cloud_accounts"
        " synthesize_images synthesize_instances synthesize_instance_events"
        " synthesize_runs_and_usage synthesize_concurrent_usage"
    ),
    "api.clouds.aws.tasks": (
        "analyze_log configure_customer_aws_and_create_cloud_account copy_ami_snapshot"
        " copy_ami_to_customer_account delete_snapshot initial_aws_describe_instances"
        " launch_inspection_instance remove_snapshot_ownership repopulate_ec2_instance_mapping"
    ),
    "api.clouds.azure.tasks": (
        "check_azure_subscription_and_create_cloud_account initial_azure_vm_discovery"
        " repopulate_azure_instance_mapping update_azure_instance_events"
        " update_azure_instance_events_for_account"
    ),
}


def test_the_reference_s_44_tasks_are_there():
    names = {f"{module}.{name}" for module, text in REFERENCE.items() for name in text.split()}
    assert len(names) == 44
    assert names <= set(TASK_NAMES)


def test_scenario_12_every_task_has_the_queue_of_its_last_name():
    assert len(set(TASK_NAMES)) == len(TASK_NAMES)
    assert len(set(QUEUE_NAMES)) == len(QUEUE_NAMES)
    assert celery_app.conf.task_routes == ROUTES
    for name, route in ROUTES.items():
        assert route == {"queue": name.split(".")[-1]}
        assert celery_app.amqp.router.route({}, name)["queue"].name == route["queue"]


def test_a_worker_that_is_told_nothing_consumes_all_queues():
    assert set(celery_app.amqp.queues) == {*QUEUE_NAMES, DEFAULT_QUEUE}
    for name, queue in celery_app.amqp.queues.items():
        assert (queue.exchange.name, queue.routing_key) == (name, name)


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("accept_content", ["json"]),
        ("task_serializer", "json"),
        ("result_serializer", "json"),
        ("result_expires", 86400),
        ("task_acks_late", True),
        ("task_reject_on_worker_lost", True),
        ("worker_prefetch_multiplier", 1),
        ("task_default_queue", "celery"),
        ("enable_utc", True),
        ("worker_send_task_events", True),
        ("task_send_sent_event", True),
        ("broker_connection_retry_on_startup", True),
        ("redis_backend_health_check_interval", 30),
    ],
)
def test_delivery(setting, value):
    assert celery_app.conf[setting] == value


def test_a_message_is_not_delivered_twice_while_it_waits(settings):
    longest = max(
        settings.INSPECTION_SNAPSHOT_CLEAN_UP_INITIAL_DELAY,
        settings.INSPECTION_SNAPSHOT_CLEAN_UP_RETRY_DELAY,
    )
    assert celery_app.conf.broker_transport_options["visibility_timeout"] > 2 * longest


def test_operators_are_told_how_the_work_of_each_task_comes_back():
    """08 DR-1, DR-4."""
    text = (settings.BASE_DIR / "docs" / "operations.rst").read_text()
    section = text.partition("\nStopping\n")[2].partition("\nRedis\n-----")[0]
    told = set(re.findall(r"``(\w+)``", section))
    told |= {f"{kind}_from_sources_kafka_message" for kind in ("update", "delete", "pause")}
    periodic = {entry.task.rpartition(".")[2] for entry in ENTRIES}
    assert set(QUEUE_NAMES) - periodic <= told
