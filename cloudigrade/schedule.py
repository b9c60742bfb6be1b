"""The periodic tasks: under which name, what, and which setting holds the period (spec 08 §6.5)."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class PeriodicTask:
    """A periodic task. Its name is what operators see and switch off."""

    name: str
    task: str
    period_variable: str
    switches: tuple[str, ...] = ()
    """Variables of which one must be on for there to be an entry; none: there always is."""


ENTRIES: tuple[PeriodicTask, ...] = (
    PeriodicTask(
        "check_and_cache_sqs_queues_lengths",
        "api.tasks.check_and_cache_sqs_queues_lengths",
        "CHECK_AND_CACHE_SQS_QUEUES_LENGTHS_SCHEDULE",
    ),
    PeriodicTask(
        "delete_inactive_users",
        "api.tasks.delete_inactive_users",
        "DELETE_INACTIVE_USERS_SCHEDULE",
    ),
    PeriodicTask(
        "delete_cloud_accounts_not_in_sources",
        "api.tasks.delete_cloud_accounts_not_in_sources",
        "DELETE_CLOUD_ACCOUNTS_NOT_IN_SOURCES_SCHEDULE",
    ),
    PeriodicTask(
        "delete_orphaned_cloud_accounts",
        "api.tasks.delete_orphaned_cloud_accounts",
        "DELETE_ORPHANED_ACCOUNTS_SCHEDULE",
    ),
    PeriodicTask(
        "delete_expired_synthetic_data",
        "api.tasks.delete_expired_synthetic_data",
        "DELETE_EXPIRED_SYNTHETIC_DATA_SCHEDULE",
    ),
    PeriodicTask(
        "persist_inspection_cluster_results",
        "api.tasks.persist_inspection_cluster_results_task",
        "HOUNDIGRADE_ECS_PERSIST_INSPECTION_RESULTS_SCHEDULE",
    ),
    PeriodicTask(
        "inspect_pending_images",
        "api.tasks.inspect_pending_images",
        "INSPECT_PENDING_IMAGES_SCHEDULE",
    ),
    PeriodicTask(
        "recalculate_runs_for_all_cloud_accounts",
        "api.tasks.recalculate_runs_for_all_cloud_accounts",
        "RECALCULATE_RUNS_FOR_ALL_CLOUD_ACCOUNTS_SCHEDULE",
    ),
    PeriodicTask(
        "recalculate_concurrent_usage_for_all_users",
        "api.tasks.recalculate_concurrent_usage_for_all_users",
        "RECALCULATE_CONCURRENT_USAGE_FOR_ALL_USERS_SCHEDULE",
    ),
    # The next three names tell of periods long past; operators know them, so they stay.
    PeriodicTask(
        "analyze_log_every_2_mins",
        "api.clouds.aws.tasks.analyze_log",
        "ANALYZE_LOG_SCHEDULE",
    ),
    PeriodicTask(
        "repopulate_ec2_instance_mapping_every_week",
        "api.clouds.aws.tasks.repopulate_ec2_instance_mapping",
        "AWS_REPOPULATE_EC2_INSTANCE_MAPPING_SCHEDULE",
    ),
    PeriodicTask(
        "repopulate_azure_instance_mapping_every_week",
        "api.clouds.azure.tasks.repopulate_azure_instance_mapping",
        "REPOPULATE_AZURE_INSTANCE_MAPPING_SCHEDULE",
    ),
    PeriodicTask(
        "update_azure_instance_events_every_hour",
        "api.clouds.azure.tasks.update_azure_instance_events",
        "UPDATE_AZURE_INSTANCE_EVENTS_SCHEDULE",
    ),
    PeriodicTask(
        "reconcile_aws_accounts",
        "api.clouds.aws.tasks.reconcile_aws_accounts",
        "AWS_RECONCILE_SCHEDULE",
    ),
    PeriodicTask(
        "describe_missing",
        "api.clouds.aws.tasks.describe_missing",
        "AWS_DESCRIBE_MISSING_SCHEDULE",
    ),
    PeriodicTask(
        "redrive_dead_letters",
        "api.clouds.aws.tasks.redrive_dead_letters",
        "REDRIVE_DEAD_LETTERS_SCHEDULE",
    ),
    PeriodicTask(
        "recalculate_stale_usage",
        "api.tasks.recalculate_stale_usage",
        "RECALCULATE_STALE_USAGE_SCHEDULE",
    ),
    PeriodicTask(
        "calculate_coverage",
        "api.tasks.calculate_coverage",
        "CALCULATE_COVERAGE_SCHEDULE",
    ),
    PeriodicTask(
        "sweep_inspections",
        "api.tasks.sweep_inspections",
        "SWEEP_INSPECTIONS_SCHEDULE",
    ),
    PeriodicTask(
        "delete_expired_records",
        "api.tasks.delete_expired_records",
        "DELETE_EXPIRED_RECORDS_SCHEDULE",
    ),
    PeriodicTask(
        "summarize_billing_findings",
        "api.tasks.summarize_billing_findings",
        "SUMMARIZE_BILLING_FINDINGS_SCHEDULE",
    ),
    PeriodicTask("sample_fleet", "api.tasks.sample_fleet", "SAMPLE_FLEET_SCHEDULE"),
    PeriodicTask("audit_logs", "api.clouds.aws.tasks.audit_logs", "AUDIT_LOGS_SCHEDULE"),
    PeriodicTask("sweep_inbox", "api.tasks.sweep_inbox", "SWEEP_INBOX_SCHEDULE"),
    PeriodicTask(
        "publish_usage_changes",
        "api.tasks.publish_usage_changes",
        "PUBLISH_USAGE_CHANGES_SCHEDULE",
        switches=("USAGE_PUSH", "USAGE_PUSH_SWATCH"),
    ),
)


SHORTEST_EXPIRY = 900
"""Seconds; at least ten minutes (decision 41), and more than two clocks of five minutes differ."""


def beat_schedule(period_of: Callable[[str], int]) -> dict[str, dict[str, Any]]:
    """Return Celery's beat schedule. A message that waited longer than its period is worthless.

    But the beat that writes when it expires and the worker that reads it may have clocks that
    differ. ``period_of`` tells a variable's value: the seconds, with 0 there is no entry; or
    whether a switch is on.
    """
    return {
        entry.name: {
            "task": entry.task,
            "schedule": period,
            # As the database scheduler calls Celery's "expires".
            "options": {"expire_seconds": max(period, SHORTEST_EXPIRY)},
        }
        for entry in ENTRIES
        if (period := period_of(entry.period_variable))
        and (not entry.switches or any(map(period_of, entry.switches)))
    }
