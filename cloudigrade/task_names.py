"""The names of all tasks, which are a contract, and the queue of each (spec 08 §6.2).

A new task is added here and nowhere else: its route, the workers' queues and the checks of the
deployment's manifest follow from this list.
"""

TASK_NAMES: tuple[str, ...] = (
    # Accounts and users
    "api.tasks.delete_cloud_account",
    "api.tasks.enable_account",
    "api.tasks.delete_inactive_users",
    "api.tasks.delete_cloud_accounts_not_in_sources",
    "api.tasks.delete_orphaned_cloud_accounts",
    "api.tasks.migrate_account_numbers_to_org_ids",
    # Sources
    "api.tasks.create_from_sources_kafka_message",
    "api.tasks.delete_from_sources_kafka_message",
    "api.tasks.update_from_sources_kafka_message",
    "api.tasks.pause_from_sources_kafka_message",
    "api.tasks.unpause_from_sources_kafka_message",
    "api.tasks.notify_application_availability_task",
    "api.tasks.sweep_inbox",
    # Runs and usage
    "api.tasks.fix_problematic_runs",
    "api.tasks.recalculate_runs_for_all_cloud_accounts",
    "api.tasks.recalculate_runs_for_cloud_account_id",
    "api.tasks.recalculate_runs_for_instance_id",
    "api.tasks.recalculate_concurrent_usage_for_all_users",
    "api.tasks.recalculate_concurrent_usage_for_user_id",
    "api.tasks.recalculate_concurrent_usage_for_user_id_on_date",
    "api.tasks.recalculate_stale_usage",
    "api.tasks.calculate_coverage",
    "api.tasks.publish_usage_changes",
    "api.tasks.run_export_job",
    "api.tasks.summarize_billing_findings",
    # Inspection
    "api.tasks.inspect_pending_images",
    "api.tasks.start_image_inspections",
    "api.tasks.sweep_inspections",
    "api.tasks.persist_inspection_cluster_results_task",
    "api.clouds.aws.tasks.copy_ami_snapshot",
    "api.clouds.aws.tasks.copy_ami_to_customer_account",
    "api.clouds.aws.tasks.delete_snapshot",
    "api.clouds.aws.tasks.inspect_snapshot",
    "api.clouds.aws.tasks.launch_inspection_instance",
    "api.clouds.aws.tasks.remove_snapshot_ownership",
    # Clouds
    "api.tasks.delete_expired_records",
    # AWS
    "api.tasks.check_and_cache_sqs_queues_lengths",
    "api.clouds.aws.tasks.analyze_log",
    "api.clouds.aws.tasks.audit_logs",
    "api.clouds.aws.tasks.configure_customer_aws_and_create_cloud_account",
    "api.clouds.aws.tasks.delete_cloudtrail",
    "api.clouds.aws.tasks.describe_missing",
    "api.clouds.aws.tasks.describe_missing_for_account",
    "api.clouds.aws.tasks.initial_aws_describe_instances",
    "api.clouds.aws.tasks.reconcile_aws_accounts",
    "api.clouds.aws.tasks.redrive_dead_letters",
    "api.clouds.aws.tasks.replay_logs",
    "api.clouds.aws.tasks.repopulate_ec2_instance_mapping",
    # Azure
    "api.clouds.azure.tasks.check_azure_subscription_and_create_cloud_account",
    "api.clouds.azure.tasks.initial_azure_vm_discovery",
    "api.clouds.azure.tasks.remove_lighthouse_assignment",
    "api.clouds.azure.tasks.repopulate_azure_instance_mapping",
    "api.clouds.azure.tasks.update_azure_instance_events",
    "api.clouds.azure.tasks.update_azure_instance_events_for_account",
    # Operators' console
    "api.tasks.run_operator_action",
    "api.tasks.sample_fleet",
    # Synthetic data
    "api.tasks.delete_expired_synthetic_data",
    "api.tasks.synthesize_user",
    "api.tasks.synthesize_cloud_accounts",
    "api.tasks.synthesize_images",
    "api.tasks.synthesize_instances",
    "api.tasks.synthesize_instance_events",
    "api.tasks.synthesize_runs_and_usage",
    "api.tasks.synthesize_concurrent_usage",
)

DEFAULT_QUEUE = "celery"

ROUTES: dict[str, dict[str, str]] = {
    name: {"queue": name.rpartition(".")[2]} for name in TASK_NAMES
}
QUEUE_NAMES: tuple[str, ...] = tuple(route["queue"] for route in ROUTES.values())

ONBOARDING_QUEUES: tuple[str, ...] = (
    "configure_customer_aws_and_create_cloud_account",
    "check_azure_subscription_and_create_cloud_account",
    "create_from_sources_kafka_message",
    "initial_aws_describe_instances",
    "initial_azure_vm_discovery",
)
"""What accounts that join ask for, for who gives them workers of their own (spec 15 §1)."""
