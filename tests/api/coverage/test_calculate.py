"""From the records of many accounts to their stored days (spec 10 §2, §4)."""

import pytest
import time_machine
from django.core.cache import cache
from django.db import connection, transaction

from api.clouds.aws import backlog
from api.coverage.calculate import calculate_coverage
from api.models import (
    AuditedDay,
    AuditFinding,
    CloudAccount,
    Correction,
    CoverageDay,
    IngestHour,
    IngestObject,
)
from tests import factories
from tests.api.coverage.conftest import (
    audit,
    correct,
    covered,
    describe,
    gaps_of,
    switch,
)
from tests.api.metering.notation import at, day
from tests.threads import in_thread

pytestmark = pytest.mark.django_db

LAST_INGEST = "ingest_last_at_aws"

WHOLE = ("09T18", "10T00", "10T06", "10T12", "10T18", "11T00")


@pytest.fixture
def account(environment):
    """An account that is metered since the first of March."""
    cache.delete_many([LAST_INGEST, backlog.WAITING_SINCE])
    CloudAccount.objects.update(created_at=at("01T00"), enabled_at=at("01T00"))
    environment.account.refresh_from_db()
    return environment.account


def calculate(now="11T04"):
    with time_machine.travel(at(now), tick=False):
        return calculate_coverage()


def finding(account, since, until, reason="log_unprocessed", **columns):
    return AuditFinding.objects.create(
        **{
            "aws_account_id": account.aws_account_id,
            "region": "us-east-1",
            "reason": reason,
            "bucket": "trails",
            "key": f"AWSLogs/{factories.number()}",
            "events_from": at(since),
            "events_to": at(until),
            "found_at": at("11T02"),
        }
        | columns
    )


def hour(account, when, **columns):
    return IngestHour.objects.create(
        aws_account_id=account.aws_account_id, region="us-east-1", hour=at(when), **columns
    )


def test_acceptance_1_a_whole_day(environment, account):
    environment.instance("on 10T01, off 10T05")
    describe(account, *WHOLE)
    describe(account, "10T03", outcome="failed")
    describe(account, "10T04", kind="on_demand")
    audit(10)
    hour(
        account,
        "10T01",
        files=2,
        newest_event_at=at("10T01"),
        largest_event_age=1210.4,
        largest_queue_wait=12.6,
        seen="05_abc\n07_def",
    )
    hour(account, "10T03", files=1, largest_event_age=300, seen="40_xyz")
    hour(account, "11T00", files=9, newest_event_at=at("11T00"))
    calculate()
    row = covered(account, 10)
    assert (row.state, row.metered_seconds, row.gaps) == ("complete", 86400, [])
    assert (row.describes_ok, row.describes_failed, row.corrections) == (4, 1, 0)
    assert (row.log_files, row.newest_delivery) == (3, at("10T03:40"))
    assert row.newest_event_time == at("10T05")
    assert (row.max_event_age_seconds, row.max_queue_wait_seconds) == (1210, 13)
    assert row.computed_at == at("11T04")
    assert covered(account, 11).state == "open"


def test_acceptance_2_an_unprocessed_file_and_its_repair(environment, account):
    """3.3's repair resolves the finding; the day is calculated again by itself."""
    describe(account, *WHOLE)
    audit(10)
    found = finding(account, "10T11:45", "10T12")
    finding(account, "08T11:45", "08T12")
    calculate()
    row = covered(account, 10)
    assert (row.state, gaps_of(row)) == ("partial", ["10T11:45 10T12:00 log_unprocessed"])
    AuditFinding.objects.filter(id=found.id).update(resolved_at=at("12T02"))
    assert calculate("12T04")["2023-03-10"] == 1
    assert covered(account, 10).state == "complete"


def test_acceptance_3_describes_that_fail(account):
    describe(account, "09T23", "10T05", "10T18:02", "11T00")
    describe(account, "10T11", outcome="failed")
    audit(10)
    calculate()
    row = covered(account, 10)
    assert (row.state, gaps_of(row)) == ("partial", ["10T05:01 10T18:02 describe_gap"])
    assert row.describes_failed == 1


def test_acceptance_3_a_failing_region_that_nobody_uses_does_not_matter(environment, account):
    """Organizations often close regions; those that are in use must be proved (§4)."""
    describe(account, *WHOLE)
    describe(account, *WHOLE, region="eu-west-1", outcome="denied")
    describe(account, "10T06", region="eu-north-1")
    audit(10)
    calculate()
    assert covered(account, 10).state == "complete"


def test_a_region_in_use_that_is_not_described(environment, account):
    environment.instance("on 09T01, off 10T05")
    factories.make_run(
        instance=factories.make_instance(account=account, region="eu-west-1"),
        start=at("10T01"),
        end=at("10T05"),
    )
    describe(account, *WHOLE)
    audit(10)
    calculate()
    assert gaps_of(covered(account, 10)) == ["10T00:00 11T00:00 describe_gap"]


def test_acceptance_4_a_pause(account):
    switch(account, "01T00 disabled enabled", "10T10 enabled paused", "10T10 paused disabled")
    switch(account, "10T12 paused unpaused", "10T12 disabled enabled", "10T13 enabled verified")
    describe(account, "09T18", "10T00", "10T06", "10T12:01", "10T18", "11T00")
    audit(10)
    calculate()
    row = covered(account, 10)
    assert (row.state, row.metered_seconds) == ("complete", 22 * 3600)
    assert gaps_of(row) == ["10T10:00 10T12:00 not_metered"]


def test_acceptance_5_a_correction(environment, account):
    instance = environment.instance("on 10T01, off 10T12")
    describe(account, *WHOLE)
    audit(10)
    calculate("11T03:30")
    assert covered(account, 10).state == "complete"
    correction = correct(instance, "missed_off", "10T06", "10T12")
    correct(instance, "missed_on", "10T06", "10T06")
    correct(instance, "image_filled", "10T06", "10T09")
    CoverageDay.objects.update(computed_at=at("10T13"))
    calculate()
    row = covered(account, 10)
    assert (row.state, gaps_of(row)) == ("corrected", ["10T06:00 10T12:00 correction"])
    assert row.corrections == 3
    event = factories.make_event(instance=instance, occurred_at=at("10T07"))
    Correction.objects.filter(id=correction.id).update(explained_by=event.id)
    type(event).objects.filter(id=event.id).update(created_at=at("11T09"))
    calculate("11T10")
    assert covered(account, 10).state == "complete"


def test_a_correction_over_midnight_is_on_both_days(environment, account):
    instance = environment.instance()
    describe(account, *WHOLE, "11T06")
    correct(instance, "missed_on", "10T20", "11T02")
    calculate("11T07")
    assert gaps_of(covered(account, 10)) == ["10T20:00 11T00:00 correction"]
    assert gaps_of(covered(account, 11)) == ["11T00:00 11T02:00 correction"]


def test_acceptance_6_a_file_that_was_never_delivered(account):
    describe(account, *WHOLE)
    audit(10)
    finding(account, "10T03", "10T03:15", "log_missing")
    calculate()
    row = covered(account, 10)
    assert (row.state, gaps_of(row)) == ("partial", ["10T03:00 10T03:15 log_missing"])


@pytest.mark.parametrize(("failing", "state"), [([5], "complete"), ([5, 6, 7], "partial")])
def test_acceptance_7_azure_polls(environment, failing, state):
    account = factories.make_azure_account(
        user=environment.user, created_at=at("01T00"), enabled_at=at("01T00")
    )
    for number in range(24):
        outcome = "failed" if number in failing else "ok"
        describe(account, f"10T{number:02}:10", region=None, kind="azure_poll", outcome=outcome)
    describe(account, "09T23:10", "11T00:10", region=None, kind="azure_poll")
    calculate()
    row = covered(account, 10)
    assert (row.state, row.describes_failed) == (state, len(failing))
    assert gaps_of(row) == (["10T04:11 10T08:10 poll_missed"] if len(failing) > 1 else [])


def test_acceptance_10_an_outage_of_ingest_opens_and_closes(account):
    describe(account, *WHOLE)
    audit(10)
    cache.set(LAST_INGEST, at("10T23").timestamp(), None)
    cache.set(backlog.WAITING_SINCE, at("10T22").timestamp(), None)
    calculate("11T03:30")
    row = covered(account, 10)
    assert (row.state, gaps_of(row)) == ("partial", ["10T23:00 11T00:00 ingest_outage"])
    assert gaps_of(covered(account, 11))[-1] == "11T00:00 11T03:30 ingest_outage"
    cache.set(LAST_INGEST, at("11T03:35").timestamp(), None)
    calculate("11T03:40")
    assert covered(account, 10).state == "complete"
    assert covered(account, 11).gaps == []


def test_a_day_that_is_not_audited_yet_is_open(account):
    describe(account, *WHOLE)
    calculate()
    assert covered(account, 10).state == "open"
    audit(10)
    calculate("11T05")
    assert covered(account, 10).state == "complete"


def test_a_day_that_was_audited_before_it_was_over_is_not(account):
    describe(account, *WHOLE)
    audit(10)
    AuditedDay.objects.update(audited_at=at("10T23"))
    calculate("14T04")
    assert covered(account, 10).state == "partial"


def test_a_final_day_is_calculated_once(account):
    describe(account, *WHOLE, "11T06", "11T12", "11T18", "12T00")
    audit(*range(1, 12))
    calculate("12T03:10")
    done = calculate("12T04")
    assert covered(account, 11).state == "complete"
    assert "2023-03-11" not in done
    assert "2023-03-10" not in done
    assert covered(account, 11).computed_at == at("12T03:10")


def test_missing_days_are_calculated_from_the_first_one_on(account):
    done = calculate()
    assert list(done) == [f"2023-03-{number:02}" for number in range(11, 0, -1)]
    assert set(CoverageDay.objects.filter(date__lt=day(9)).values_list("state", flat=True)) == {
        "partial"
    }
    CoverageDay.objects.filter(date=day(3)).delete()
    assert calculate("11T05")["2023-03-03"] == 1
    assert CoverageDay.objects.count() == 11


def test_late_files_of_a_past_day_are_counted(account):
    describe(account, *WHOLE)
    audit(10)
    calculate()
    hour(account, "10T01", files=4, seen="05_abc")
    IngestObject.objects.create(
        bucket="b",
        key="k",
        aws_account_id=account.aws_account_id,
        outcome="ok",
        delivered_at=at("10T01"),
        processed_at=at("11T05"),
    )
    calculate("11T06")
    assert covered(account, 10).log_files == 4


def test_synthetic_accounts_and_those_to_come_have_no_coverage(account):
    factories.make_aws_account(is_synthetic=True, created_at=at("01T00"))
    later = factories.make_aws_account(created_at=at("11T02"), enabled_at=at("11T02"))
    calculate()
    assert set(CoverageDay.objects.values_list("cloud_account_id", flat=True)) == {
        account.id,
        later.id,
    }
    assert covered(later, 10) is None


def test_an_account_that_was_never_enabled_is_off(account):
    other = factories.make_aws_account(is_enabled=False, created_at=at("01T00"), enabled_at=None)
    calculate()
    row = covered(other, 10)
    assert (row.state, row.metered_seconds) == ("off", 0)


def test_changes_before_the_day_decide_how_it_begins(account):
    switch(account, "08T00 enabled disabled")
    calculate()
    assert covered(account, 10).state == "off"
    assert covered(account, 7).metered_seconds == 86400
    assert covered(account, 8).metered_seconds == 0


def test_statements_do_not_grow_with_accounts(account, django_assert_max_num_queries):
    """10^5 accounts are 20 batches; 200 statements are allowed."""
    for _ in range(30):
        other = factories.make_aws_account(created_at=at("10T00"), enabled_at=at("10T00"))
        describe(other, *WHOLE)
        finding(other, "10T11:45", "10T12")
    CoverageDay.objects.all().delete()
    type(account).objects.update(created_at=at("11T00"))
    with django_assert_max_num_queries(9 + 4):
        calculate()
    assert CoverageDay.objects.count() == 31


def test_the_previous_version_may_delete_an_account(account):
    """It does not know of coverage, so the database deletes it with the account."""
    other = factories.make_aws_account()
    CoverageDay.objects.create(cloud_account=other, date=day(10), state="open")
    with connection.cursor() as cursor:
        cursor.execute("DELETE FROM api_cloudaccount WHERE id = %s", [other.id])
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
    assert not CoverageDay.objects.filter(date=day(10)).exists()
    [name] = constraints_on_accounts()
    assert name == "coverageday_account"


def constraints_on_accounts():
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT conname FROM pg_constraint"
            " WHERE conrelid = 'api_coverageday'::regclass AND contype = 'f'"
        )
        return [row[0] for row in cursor.fetchall()]


@pytest.mark.django_db(transaction=True)
def test_an_account_that_is_being_deleted_keeps_no_other_waiting(account):
    """Its row is locked by whoever deletes it; what is stored of the others is stored."""
    other = factories.make_aws_account(created_at=at("01T00"), enabled_at=at("01T00"))
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SELECT FROM api_cloudaccount WHERE id = %s FOR UPDATE", [other.id])
        in_thread(calculate).result(timeout=60)
    assert covered(account, 10) is not None
    assert covered(other, 10) is None
