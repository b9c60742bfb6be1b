"""The part of the story in which a number is doubted: explained, and a lost log file repaired."""

from datetime import UTC, datetime, timedelta
from typing import Any

from deployment.local.app import Product
from deployment.local.demo.cast import Customer
from deployment.local.demo.doors import INTERNAL, Api, Records, StoryError, require, wait_for
from tests.generators import cloudtrail

AUDIT = "api.clouds.aws.tasks.audit_logs"


def explain_today(api: Api, records: Records, customer: Customer) -> list[str]:
    """Return lines that explain a customer's number of today, down to the log records.

    Raises StoryError if an event's record is not the one that it names.
    """
    user_id = records.value(
        f"SELECT user_id FROM api_cloudaccount WHERE aws_account_id = '{customer.aws_account_id}'"  # noqa: S608
    )
    today = datetime.now(UTC).date()
    page = api.get(f"{INTERNAL}/explain/", user_id=user_id, date=str(today), limit=100)
    explanation = page["explanation"]
    require(len(page["data"]) == explanation["instances_count"], "a number is not that of its runs")
    lines = [f"{explanation['instances_count']} at once from {explanation['peak_from']}:"]
    for run in page["data"]:
        opened = run["opened_by"]
        reasons = ", ".join(one["reason"] for one in run["image"]["rhel_reasons"])
        lines.append(f"  {run['instance']['cloud_id']} since {run['start_time']}, RHEL: {reasons}")
        lines.append(f"    {opened['origin']} {opened['name']} {opened['source_id']}")
        if source := opened["source"]:
            record = api.get(f"{INTERNAL}/instanceevents/{opened['event_id']}/record/")
            if record["eventID"] != opened["source_id"]:
                raise StoryError(f"event {opened['event_id']} is not from the record it names")
            lines.append(f"    record {source['index']} of {source['key'].rpartition('/')[2]}")
    return lines


def lose_log_file(s3: Any, bucket: str, customer: Customer) -> str:
    """Have a log file of yesterday delivered of which no queue is told; return its key."""
    yesterday = datetime.now(UTC) - timedelta(days=1)
    at = yesterday.replace(hour=12, minute=0, second=0, microsecond=0)
    key = cloudtrail.log_key(account=customer.aws_account_id, at=at, name="Lost")
    told = s3.get_bucket_notification_configuration(Bucket=bucket)
    told.pop("ResponseMetadata", None)
    s3.put_bucket_notification_configuration(Bucket=bucket, NotificationConfiguration={})
    record = cloudtrail.noise(1, at=at, account=customer.aws_account_id)
    s3.put_object(Bucket=bucket, Key=key, Body=cloudtrail.log_file([record]))
    s3.put_bucket_notification_configuration(Bucket=bucket, NotificationConfiguration=told)
    return key


def audit(api: Api, records: Records, product: Product, key: str) -> list[str]:
    """Run the nightly audit, and wait until what it found is repaired; return lines about it."""
    api.post("/internal/tasks/", {"task_name": AUDIT})
    finding = wait_for(
        f"the audit to find {key}",
        lambda: records.rows(
            "SELECT reason, events_from, events_to FROM api_auditfinding"  # noqa: S608
            f" WHERE key = '{key}'"
        ),
        product=product,
    )
    wait_for(
        f"{key} to be processed",
        lambda: records.value(
            "SELECT count(resolved_at) FROM api_auditfinding"  # noqa: S608
            f" WHERE key = '{key}'"
        ),
        product=product,
    )
    [(reason, start, end)] = finding
    return [f"  {reason}: {start:%H:%M} to {end:%H:%M}, found, queued again and processed"]
