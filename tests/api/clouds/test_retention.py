"""Records that have had their day (spec 09, Retention)."""

from datetime import timedelta

import pytest

from api.clouds import retention
from api.models import (
    AuditFinding,
    Correction,
    DescribeRun,
    IngestHour,
    IngestObject,
    InstanceEvent,
)
from api.tasks.clouds import delete_expired_records_task
from tests.factories import make_aws_account, make_event, make_instance, utc

pytestmark = pytest.mark.django_db

NOW = utc("2024-03-31T12:00:00")
# Months end on different days: thirteen before the last of March is the last of February.
THIRTEEN_MONTHS_AGO = utc("2023-02-28T12:00:00")
TWENTY_FIVE_MONTHS_AGO = utc("2022-02-28T12:00:00")
A_MOMENT = timedelta(microseconds=1)


@pytest.fixture(autouse=True)
def now(time_machine):
    time_machine.move_to(NOW, tick=False)


def log_file(moment):
    return IngestObject.objects.create(
        bucket="trails", key=str(moment), aws_account_id="1" * 12, processed_at=moment, outcome="ok"
    )


def describe(account, moment):
    return DescribeRun.objects.create(
        cloud_account=account, kind="reconcile", started_at=moment, outcome="ok"
    )


def finding(moment):
    return AuditFinding.objects.create(
        aws_account_id="1" * 12,
        region="us-east-1",
        reason=AuditFinding.Reason.LOG_MISSING,
        key=str(moment),
        events_from=moment,
        events_to=moment,
        found_at=moment,
    )


def hour(moment):
    return IngestHour.objects.create(aws_account_id="1" * 12, region="us-east-1", hour=moment)


def test_log_files_and_describes_are_kept_for_thirteen_months_and_hours_for_twenty_five():
    account = make_aws_account()
    kept = [
        log_file(THIRTEEN_MONTHS_AGO),
        describe(account, THIRTEEN_MONTHS_AGO),
        finding(THIRTEEN_MONTHS_AGO),
        hour(TWENTY_FIVE_MONTHS_AGO),
    ]
    log_file(THIRTEEN_MONTHS_AGO - A_MOMENT)
    describe(account, THIRTEEN_MONTHS_AGO - A_MOMENT)
    finding(THIRTEEN_MONTHS_AGO - A_MOMENT)
    hour(TWENTY_FIVE_MONTHS_AGO - A_MOMENT)

    deleted = delete_expired_records_task()

    assert deleted == {
        "AuditFinding": 1,
        "IngestObject": 1,
        "DescribeRun": 1,
        "IngestHour": 1,
    }
    models = (IngestObject, DescribeRun, AuditFinding, IngestHour)
    left = [model.objects.get() for model in models]
    assert left == kept


def test_what_was_counted_outlives_what_it_was_read_from():
    long_ago = NOW - timedelta(days=1000)
    instance = make_instance(account=make_aws_account())
    file = log_file(long_ago)
    event = make_event(instance=instance, occurred_at=long_ago, source_object=file.id)
    run = describe(instance.cloud_account, long_ago)
    correction = instance.corrections.create(
        cloud_account=instance.cloud_account,
        describe_run=run,
        kind=Correction.Kind.MISSED_ON,
        unsure_to=long_ago,
    )

    delete_expired_records_task()

    assert InstanceEvent.objects.get() == event
    correction.refresh_from_db()
    assert correction.describe_run is None


def test_many_go_in_batches(monkeypatch, django_assert_max_num_queries):
    monkeypatch.setattr(retention, "ROWS_AT_ONCE", 4)
    for day in range(10):
        hour(TWENTY_FIVE_MONTHS_AGO - timedelta(days=day + 1))
    with django_assert_max_num_queries(20):
        assert delete_expired_records_task()["IngestHour"] == 10


def test_nothing_to_delete():
    assert set(delete_expired_records_task().values()) == {0}
