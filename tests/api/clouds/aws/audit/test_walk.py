"""The audit of the trail bucket: what was not processed is found, and repaired (spec 10 §3.3)."""

from datetime import timedelta

import pytest
import time_machine
from botocore.exceptions import ClientError, EndpointConnectionError
from django.core.cache import cache

from api.clouds.aws.audit import store as audit_store
from api.clouds.aws.audit import walk as audit
from api.clouds.aws.audit.walk import audit_logs
from api.clouds.aws.cloudtrail import listing as trail_listing
from api.clouds.aws.errors import AwsError
from api.clouds.provider import TransientCloudError
from api.models import AuditedDay, AuditFinding, IngestHour, IngestObject, TrailDigest
from api.tasks.aws import AUDIT_LOGS
from api.tasks.aws import audit_logs as audit_logs_task
from tests.api.clouds.aws.testbed import ACCOUNT, BUCKET, at, events, make_account
from tests.generators import cloudtrail as trail
from util import postgres

pytestmark = pytest.mark.usefixtures("queued", "one_clock")

Reason = AuditFinding.Reason


@pytest.fixture(autouse=True)
def no_position():
    cache.clear()


def run_audit(day=3, hour=12, seconds=60):
    """Audit as on a day of January 2020."""
    with time_machine.travel(at(hour, day=day), tick=False):
        return audit_logs(seconds=seconds)


def key_of(name, *, day=2, hour=12, **options):
    return trail.log_key(account=ACCOUNT, name=name, at=at(hour, day=day), **options)


def findings(**columns):
    rows = AuditFinding.objects.filter(**columns).order_by("id")
    return [(row.reason, row.key, row.resolved_at is None) for row in rows]


class Failing:
    """An S3 that answers no question for objects."""

    def __init__(self, error):
        self.error = error

    def list_objects_v2(self, **_):
        raise self.error


def counted(metric):
    return metric._value.get()


def test_a_processed_file_is_no_finding_and_the_names_are_dropped_after_two_nights(testbed):
    """The audit of day 2 comes on day 3 and, for the last time, on day 4."""
    testbed.ingest(trail.terminate_instances("i-1", at=at(3)), key=key_of("Good"))
    assert IngestHour.objects.get().seen == "00_Good"

    first = run_audit(day=3)
    assert (first.listed, first.unprocessed, first.is_done) == (1, 0, True)
    assert IngestHour.objects.get().seen == "00_Good"
    run_audit(day=4)

    hour = IngestHour.objects.get()
    # Five minutes are left for the worker's clock.
    since = at(11, 55, day=4)
    assert (hour.seen, hour.audited_at) == ("", since)
    day = AuditedDay.objects.get(day="2020-01-02")
    assert (day.audited_at, day.closed_at, day.objects_listed) == (since, since, 1)
    assert not AuditFinding.objects.exists()
    assert testbed.left == 0


def test_acceptance_5_a_purged_queue_is_repaired_by_the_next_night(testbed):
    """Nobody has to do anything: the file is notified again, ingested, and the finding closed."""
    lost = testbed.put(trail.terminate_instances("i-1", at=at(11, 55)), key=key_of("Lost"))
    testbed.ingest(trail.terminate_instances("i-2", at=at(3)), key=key_of("Good"))
    before = counted(audit_store.UNPROCESSED)

    assert run_audit().unprocessed == 1

    finding = AuditFinding.objects.get()
    assert (finding.reason, finding.key, finding.bucket) == ("log_unprocessed", lost, BUCKET)
    assert (finding.aws_account_id, finding.region) == (ACCOUNT, "us-east-1")
    assert (finding.events_from, finding.events_to) == (at(11, 45), at(12))
    assert (finding.found_at, finding.resolved_at) == (at(12, day=3), None)
    assert counted(audit_store.UNPROCESSED) == before + 1
    assert testbed.left == 1
    testbed.run()
    assert {event[0] for event in events()} == {"i-1", "i-2"}
    finding.refresh_from_db()
    assert finding.resolved_at is not None
    assert run_audit(hour=13).unprocessed == 0
    assert testbed.left == 0


def test_a_file_that_failed_is_unprocessed_even_if_its_hour_counts_it(testbed):
    testbed.deliver(body=b"no gzip", key=key_of("Odd"))
    testbed.run()
    assert IngestObject.objects.get().outcome == "unreadable"
    assert run_audit().unprocessed == 1
    testbed.run()
    assert findings() == [(Reason.LOG_UNPROCESSED, key_of("Odd"), True)]
    # What was repaired in the bucket is processed at the next chance.
    testbed.put(trail.terminate_instances("i-1", at=at(3)), key=key_of("Odd"))
    run_audit(hour=14)
    testbed.run()
    assert findings() == [(Reason.LOG_UNPROCESSED, key_of("Odd"), False)]


def test_a_second_audit_sends_no_second_message_at_once(testbed):
    """A task may be delivered twice; a day later another message is due."""
    testbed.put(trail.terminate_instances("i-1", at=at(3)), key=key_of("Lost"))
    before = counted(audit_store.UNPROCESSED)
    run_audit()
    run_audit()
    assert testbed.left == 1
    run_audit(day=4)
    assert testbed.left == 2
    assert counted(audit_store.UNPROCESSED) == before + 1


def test_a_file_of_a_day_that_was_closed_is_still_told_from_processed_ones(testbed):
    """What was found before the names were dropped is counted when it is processed at last."""
    testbed.ingest(trail.terminate_instances("i-1", at=at(3)), key=key_of("Good"))
    lost = testbed.put(trail.terminate_instances("i-2", at=at(3)), key=key_of("Lost"))
    run_audit(day=4)
    assert IngestHour.objects.get().seen == ""
    folder = trail_listing.Folder(ACCOUNT, "us-east-1", at(1).date())
    # Their real age is that of this test.
    listed = [one._replace(modified_at=at(12)) for one in trail_listing.objects(folder)]
    assert [one.key.text for one in audit_store.unprocessed(listed, bucket=BUCKET)] == [lost]

    testbed.run()
    testbed.announce(key_of("Good"))
    testbed.run()

    assert IngestHour.objects.get().files == 2
    assert audit_store.unprocessed(listed, bucket=BUCKET) == []


def test_a_late_file_is_not_taken_for_audited_by_a_worker_whose_clock_is_ahead(testbed):
    """The worker thinks that it is five past twelve; the file comes at three past (decision 41)."""
    testbed.ingest(trail.terminate_instances("i-1", at=at(3)), key=key_of("Good"))
    with time_machine.travel(at(12, 5, day=4), tick=False):
        audit_logs(seconds=60)
    assert IngestHour.objects.get().seen == ""
    late = testbed.put(trail.terminate_instances("i-2", at=at(3)), key=key_of("Late"))
    folder = trail_listing.Folder(ACCOUNT, "us-east-1", at(1).date())
    arrived = {late: at(12, 3, day=4), key_of("Good"): at(12)}
    listed = [one._replace(modified_at=arrived[one.name]) for one in trail_listing.objects(folder)]
    assert len(listed) == 2
    assert [one.name for one in audit_store.unprocessed(listed, bucket=BUCKET)] == [late]


@pytest.mark.parametrize("worker_at", [at(11, 40, day=4), at(12, day=9), at(12, day=1)])
def test_the_clock_of_a_worker_decides_nothing(testbed, monkeypatch, worker_at):
    """Neither which days are compared, nor which are closed, nor since when (decision 41)."""
    testbed.ingest(trail.terminate_instances("i-1", at=at(3)), key=key_of("Good"))
    run_audit(day=3)
    monkeypatch.setattr(postgres, "now", lambda: at(12, day=4))
    with time_machine.travel(worker_at, tick=False):
        done = audit_logs(seconds=60)
    assert done.days[-2:] == [at(0, day=2).date(), at(0, day=3).date()]
    last = AuditedDay.objects.filter(closed_at__isnull=False).latest("day")
    assert (last.day, last.closed_at) == (at(0, day=2).date(), at(11, 55, day=4))
    assert IngestHour.objects.get().audited_at == at(11, 55, day=4)


def test_what_is_no_log_of_cloudtrail_s_is_left_alone(testbed):
    s3 = testbed.aws.client("s3")
    folder = key_of("x").rpartition("/")[0]
    for name in ("", "readme.txt", "something_CloudTrail_else.json.gz", "copy.json"):
        s3.put_object(Bucket=BUCKET, Key=f"{folder}/{name}", Body=b"")
    assert (run_audit().listed, testbed.left) == (0, 0)


def test_s3_away_nothing_is_concluded(testbed, monkeypatch):
    testbed.ingest(trail.terminate_instances("i-1", at=at(3)), key=key_of("Good"))
    testbed.put(trail.terminate_instances("i-2", at=at(3)), key=key_of("Lost"))
    with monkeypatch.context() as patch:
        patch.setattr(
            trail_listing, "s3", lambda: Failing(EndpointConnectionError(endpoint_url="x"))
        )
        with pytest.raises(TransientCloudError):
            run_audit(day=4)
    assert not AuditFinding.objects.exists()
    assert not AuditedDay.objects.exists()
    assert IngestHour.objects.get().seen
    assert run_audit(day=4).unprocessed == 1


def test_a_bucket_that_may_not_be_listed_is_an_error_and_not_passed_over(testbed, monkeypatch):
    denied = ClientError({"Error": {"Code": "AccessDenied"}}, "ListObjectsV2")
    monkeypatch.setattr(trail_listing, "s3", lambda: Failing(denied))
    with pytest.raises(AwsError, match="AccessDenied"):
        run_audit()
    assert not AuditedDay.objects.exists()


def test_a_killed_worker_changes_nothing_at_the_end(testbed, monkeypatch):
    """The walk goes on with the account where it was; what is repeated changes nothing."""
    numbers = sorted([ACCOUNT, *(f"{number:012}" for number in range(1, 5))])
    for number in numbers:
        if number != ACCOUNT:
            make_account(number)
        testbed.put(
            trail.terminate_instances(f"i-{number}", at=at(3), account=number),
            key=trail.log_key(account=number, at=at(12)),
        )
    monkeypatch.setattr(audit, "ACCOUNTS_AT_ONCE", 2)
    sent = audit.requeue

    def killed(objects):
        if any(one.key.account_id == numbers[2] for one in objects):
            raise SystemExit
        sent(objects)

    with monkeypatch.context() as patch:
        patch.setattr(audit, "requeue", killed)
        with pytest.raises(SystemExit):
            run_audit()
    assert not AuditedDay.objects.exists()

    report = run_audit()

    assert (report.listed, report.unprocessed) == (5, 5)
    assert testbed.left == 5
    assert [key for _, key, _ in findings()] == [
        trail.log_key(account=number, at=at(12)) for number in numbers
    ]


def test_an_audit_without_enough_time_goes_on_in_another_task(testbed, monkeypatch, queued):
    make_account("000000000042")
    monkeypatch.setattr(audit, "ACCOUNTS_AT_ONCE", 1)
    monkeypatch.setattr("api.tasks.aws.AUDIT_SECONDS", -1)
    assert audit_logs_task()["done"] is False
    assert audit_logs_task()["done"] is False
    assert queued.names == [AUDIT_LOGS, AUDIT_LOGS]
    assert audit_logs_task()["done"] is True


def test_days_that_nobody_audited_are_made_up_for(testbed):
    """After a week without beat, or without S3, no day is left out."""
    run_audit(day=3)
    testbed.put(trail.terminate_instances("i-1", at=at(3, day=4)), key=key_of("Lost", day=4))
    report = run_audit(day=10)
    assert [day.day for day in report.days] == [2, 3, 4, 5, 6, 7, 8, 9]
    assert findings() == [(Reason.LOG_UNPROCESSED, key_of("Lost", day=4), True)]
    assert [day.day for day in run_audit(day=11).days] == [9, 10]


def test_memory_does_not_grow_with_the_bucket(testbed, monkeypatch):
    """Pages and batches are small however many files there are, and each is looked at once."""
    monkeypatch.setattr(audit, "OBJECTS_AT_ONCE", 3)
    for number in range(7):
        testbed.put(key=key_of(f"N{number}"), body=b"")
    sizes = []
    compare = audit_store.unprocessed

    def noted(listed, **options):
        sizes.append(len(listed))
        return compare(listed, **options)

    monkeypatch.setattr(audit_store, "unprocessed", noted)
    assert run_audit().listed == 7
    assert sizes == [3, 3, 1]


def test_only_our_accounts_are_listed_however_they_are(testbed, requests):
    type(testbed.account).objects.update(is_enabled=False)
    testbed.put(trail.terminate_instances("i-1", at=at(3)), key=key_of("Lost"))
    testbed.put(key=trail.log_key(account="888888888888", at=at(12)), body=b"")
    assert run_audit().listed == 1
    asked = [one.parameters["Prefix"] for one in requests if one.action == "ListObjectsV2"]
    assert asked == [
        f"AWSLogs/{ACCOUNT}/CloudTrail/",
        f"AWSLogs/{ACCOUNT}/CloudTrail/us-east-1/2020/01/01/",
        f"AWSLogs/{ACCOUNT}/CloudTrail/us-east-1/2020/01/02/",
    ]


class TestDigests:
    """Proof B: what was produced was delivered."""

    @pytest.fixture(autouse=True)
    def validation(self, settings):
        settings.AWS_TRAIL_LOG_VALIDATION = True

    def digest(self, testbed, hour, *, names=(), day=2, deliver=True):
        end = at(0, day=day) + timedelta(hours=hour)
        key = trail.digest_key(account=ACCOUNT, at=end)
        body = trail.digest_file(bucket=BUCKET, log_keys=names, account=ACCOUNT, end=end)
        testbed.put(key=key, body=body)
        if deliver:
            testbed.announce(key)
        return key

    def day_of_digests(self, testbed, *, but=(), names=()):
        keys = [
            self.digest(testbed, hour, names=names if hour == 13 else (), deliver=False)
            for hour in range(25)
            if hour not in but
        ]
        testbed.announce(*keys)
        testbed.run()

    def test_a_whole_chain_is_no_finding(self, testbed):
        testbed.ingest(trail.terminate_instances("i-1", at=at(3)), key=key_of("Good"))
        self.day_of_digests(testbed, names=[key_of("Good")])
        run_audit()
        assert findings() == []

    def test_empty_digests_of_idle_hours_make_a_whole_chain(self, testbed):
        """AWS delivers a digest for an hour without log files, too (spec 10 §2, proof B)."""
        self.day_of_digests(testbed)
        assert not any(TrailDigest.objects.values_list("file_names", flat=True))
        run_audit()
        assert findings() == []

    def test_a_listed_file_that_is_not_there_is_missing(self, testbed):
        """Coverage acceptance 6. It counts once, and no longer when it comes after all."""
        before = counted(audit_store.MISSING)
        self.day_of_digests(testbed, names=[key_of("Never")])
        run_audit()
        run_audit()
        assert findings() == [(Reason.LOG_MISSING, key_of("Never"), True)]
        assert counted(audit_store.MISSING) == before + 1
        testbed.ingest(trail.terminate_instances("i-1", at=at(3)), key=key_of("Never"))
        assert findings() == [(Reason.LOG_MISSING, key_of("Never"), False)]

    def test_a_listed_file_that_waits_is_unprocessed_and_not_missing(self, testbed):
        testbed.put(trail.terminate_instances("i-1", at=at(3)), key=key_of("Lost"))
        self.day_of_digests(testbed, names=[key_of("Lost")])
        run_audit()
        assert findings() == [(Reason.LOG_UNPROCESSED, key_of("Lost"), True)]

    def test_a_hole_in_the_chain_is_found_hour_by_hour_and_closed_by_the_digest(self, testbed):
        self.day_of_digests(testbed, but=(7, 8))
        run_audit()
        spans = AuditFinding.objects.values_list("reason", "events_from", "events_to")
        assert list(spans.order_by("events_from")) == [
            (Reason.DIGEST_MISSING, at(6), at(7)),
            (Reason.DIGEST_MISSING, at(7), at(8)),
        ]
        self.digest(testbed, 7)
        testbed.run()
        assert [open_ for _, _, open_ in findings()] == [False, True]

    def test_a_digest_nobody_told_of_is_queued_again(self, testbed):
        self.day_of_digests(testbed, but=(7,))
        self.digest(testbed, 7, deliver=False)
        run_audit()
        assert testbed.left == 1
        testbed.run()
        assert [open_ for _, _, open_ in findings()] == [False]

    def test_nothing_is_missing_before_the_first_digest_or_before_it_is_due(self, testbed):
        for hour in (20, 21, 22):
            self.digest(testbed, hour)
        testbed.run()
        run_audit(day=3, hour=1)
        assert findings() == []
        run_audit(day=3, hour=12)
        assert len(findings()) == 2

    def test_nothing_is_missing_while_the_account_was_paused(self, testbed):
        self.day_of_digests(testbed, but=(7,))
        type(testbed.account).objects.update(platform_application_is_paused=True)
        run_audit()
        assert findings() == []

    def test_without_validation_only_listed_files_are_looked_for(self, testbed, settings):
        settings.AWS_TRAIL_LOG_VALIDATION = False
        self.day_of_digests(testbed, but=(7,), names=[key_of("Never")])
        run_audit()
        assert findings() == [(Reason.LOG_MISSING, key_of("Never"), True)]
