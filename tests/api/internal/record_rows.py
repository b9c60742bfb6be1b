"""Rows about our own work that the internal resources show, with known values."""

from dataclasses import dataclass
from typing import Any

from api.models import (
    AccountState,
    Correction,
    DescribeRun,
    ImageFact,
    InboxMessage,
    IngestHour,
    IngestObject,
    InspectionAttempt,
    InstanceFact,
    OutboxEntry,
    StaleUsage,
    TrailDigest,
    UsageRevision,
)
from tests.factories import utc

AT = utc("2022-06-01T10:00:00")
TEXT = "2022-06-01T10:00:00Z"
DAY = AT.date()
NUMBER = "000000123456"
IDENTITY = "eyJpZGVudGl0eSI6eyJhY2NvdW50X251bWJlciI6IjEifX0="


@dataclass
class Subject:
    """What the rows are about."""

    user: Any
    account: Any
    image: Any
    instance: Any


def store_records(subject: Subject, first: int, count: int) -> None:
    """Store so many rows of each kind about a customer."""
    account, image = subject.account, subject.image
    instance, user = subject.instance, subject.user
    for number in range(first, first + count):
        InboxMessage.objects.create(
            topic="platform.sources.event-stream", partition=1, offset=number,
            event_type="Application.create", customer_key="org 200002",
            account_number=user.account_number, org_id=user.org_id,
            application_id=22, authentication_id=33, value={"secret": IDENTITY},
            headers=[["x-rh-identity", IDENTITY]], state="failed", attempts=3,
            reason=f"KeyError: {IDENTITY}", received_at=AT, not_before=AT, finished_at=AT,
        )  # fmt: skip
        OutboxEntry.objects.create(
            key=f"status of application {number}", task="api.tasks.enable_account",
            args=["1", IDENTITY], issued_at=AT, queued_at=AT, done_at=None, attempts=2,
            last_error=f"E: {IDENTITY}",
        )  # fmt: skip
        StaleUsage.objects.create(
            user=user, first_day=DAY, last_day=DAY, cause="replay", refs=[1], marked_at=AT
        )
        UsageRevision.objects.create(
            user=user, date=DAY, revision=number, computed_at=AT, total_before=1, total_after=2,
            changed_keys=[["a", 1, 2]], changed_key_count=1, causes=["replay"], refs=[1],
        )  # fmt: skip
        run = DescribeRun.objects.create(
            cloud_account=account, region="us-east-1", kind="reconcile", started_at=AT,
            finished_at=AT, outcome="denied", error_code="AccessDenied", listed=1, running=1,
        )  # fmt: skip
        Correction.objects.create(
            cloud_account=account, instance=instance, describe_run=run, kind="missed_on",
            unsure_from=AT, unsure_to=AT, event_id=number,
        )  # fmt: skip
        IngestObject.objects.create(
            bucket="b", key=f"k{number}", aws_account_id=NUMBER, region="us-east-1",
            processed_at=AT, outcome="ok", size=1, delivered_at=AT, records=5, relevant=2, stored=1,
        )  # fmt: skip
        IngestHour.objects.create(
            aws_account_id=NUMBER, region=f"r{number}", hour=AT, files=1, records=5, seen="secret",
            skipped={"other_event": 3},
        )  # fmt: skip
        InspectionAttempt.objects.create(
            machine_image=image, region="us-east-1", outcome="failed", error="E", finished_at=AT,
            result="{}", created_at=AT, updated_at=AT,
        )  # fmt: skip
        AccountState.objects.create(
            account_id=account.id, cloud_type="aws", cloud_account_number=NUMBER,
            user_id=user.id, at=AT, from_state="created", to_state="enabled", code="CG3000",
            cause="kafka", topic="t", partition=1, offset=7,
        )  # fmt: skip
        ImageFact.objects.create(
            machine_image=image, user=user, valid_from=AT, is_rhel=True, reason="tag",
            evidence={"rule": "tag"},
        )  # fmt: skip
        InstanceFact.objects.create(
            instance=instance, observed_at=AT, source="describe", instance_type="m5.large",
            licenses=["x"],
        )  # fmt: skip
        TrailDigest.objects.create(
            aws_account_id=NUMBER, region="us-east-1", start=AT, end=AT, bucket="b",
            key=f"d{number}", file_names=["f"],
        )  # fmt: skip
