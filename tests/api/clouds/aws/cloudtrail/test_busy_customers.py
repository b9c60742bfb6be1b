"""One customer's held lock delays no other customer's logs (decisions 42, 52; fault 21)."""

import logging
import threading
import time
from contextlib import contextmanager

import pytest
from django.db import connection, transaction

from api.clouds.aws.cloudtrail import load_by_customer
from api.clouds.aws.cloudtrail import pipeline as ingest_module
from api.clouds.aws.provisioning import queues
from api.clouds.aws.provisioning.notifying_buckets import trail_bucket
from api.metering.locking import lock_metering
from api.models import DescribeRun, IngestObject, UserTaskLock
from api.models.locking import lock_users
from tests.api.clouds.aws.testbed import at, events, ingest, make_account, runs
from tests.factories import make_aws_image, make_instance
from tests.generators import cloudtrail as trail
from tests.generators.cloudtrail import launched
from tests.generators.fleet import LogFile
from tests.threads import in_thread

pytestmark = pytest.mark.django_db(transaction=True)

BUSY, OTHER, THIRD = "000000000001", "000000000002", "000000000003"


@pytest.fixture(autouse=True)
def short_lock_waits(monkeypatch):
    monkeypatch.setattr(load_by_customer, "LOCK_SECONDS", 0.3)
    monkeypatch.setattr(load_by_customer, "SHORT_LOCK_SECONDS", 0.1)
    load_by_customer._busy._until.clear()
    yield
    load_by_customer._busy._until.clear()


@pytest.fixture
def accounts():
    """Three customers, each with an instance that is known."""
    made = {number: make_account(number) for number in (BUSY, OTHER, THIRD)}
    for number, account in made.items():
        UserTaskLock.objects.get_or_create(user_id=account.user_id)
        make_instance(account=account, cloud_instance_id=f"i-{number}", image=make_aws_image())
    return made


def task_lock(account):
    return lock_users([account.user_id])


@contextmanager
def metering_lock(account):
    with transaction.atomic():
        lock_metering(account.user_id)
        yield


@contextmanager
def lock_of_user(account):
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SELECT FROM api_user WHERE id = %s FOR UPDATE", [account.user_id])
        yield


@contextmanager
def lock_of_account(account):
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SELECT FROM api_cloudaccount WHERE id = %s FOR UPDATE", [account.id])
        yield


@contextmanager
def lock_of_instances(account):
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(
            "SELECT FROM api_instance WHERE cloud_account_id = %s FOR UPDATE", [account.id]
        )
        yield


LOCKS = {
    "task lock": task_lock,
    "metering lock": metering_lock,
    "user": lock_of_user,
    "account": lock_of_account,
    "instances": lock_of_instances,
}


@contextmanager
def held(lock, account):
    """Another process holds a lock of an account's customer."""
    taken, release = threading.Event(), threading.Event()

    def hold():
        with lock(account):
            taken.set()
            assert release.wait(300)

    holding = in_thread(hold)
    assert taken.wait(60)
    try:
        yield
    finally:
        release.set()
        holding.result(60)


def file_of(*numbers, hour=1):
    records = [
        trail.start_instances(f"i-{number}", account=number, at=at(hour)) for number in numbers
    ]
    key = trail.log_key(account=numbers[0], at=at(hour), name=f"N{time.monotonic_ns()}")
    return LogFile(key, records)


def stored():
    return {event[0] for event in events()}


@pytest.mark.parametrize("lock", LOCKS)
def test_others_are_stored_at_once_and_the_busy_one_later(logs, accounts, lock):
    messages = logs.notified(file_of(number) for number in (OTHER, BUSY, THIRD, BUSY))
    with held(LOCKS[lock], accounts[BUSY]):
        assert ingest(messages) == [messages[0], messages[2]]
        assert stored() == {f"i-{OTHER}", f"i-{THIRD}"}
        assert [run[0] for run in runs()] == [f"i-{OTHER}", f"i-{THIRD}"]
        assert ingest(messages[1:2]) == []
    assert ingest(messages) == messages
    assert stored() == {f"i-{BUSY}", f"i-{OTHER}", f"i-{THIRD}"}
    assert len(events()) == len(runs()) == 3
    assert not IngestObject.objects.exclude(outcome="ok").exists()
    assert {one.stored for one in IngestObject.objects.all()} == {0, 1}


def test_a_file_of_two_customers_waits_for_both(logs, accounts):
    """A file of an organization's trail tells of several accounts."""
    messages = logs.notified([file_of(OTHER, BUSY), file_of(OTHER, hour=2)])
    with held(task_lock, accounts[BUSY]):
        assert ingest(messages) == messages[1:]
        assert len(events()) == 1
    assert ingest(messages[:1]) == messages[:1]
    assert len(events()) == 3


def test_who_is_busy_only_for_a_moment_is_waited_for(logs, accounts, monkeypatch):
    """Workers that store logs of one customer take turns."""
    monkeypatch.setattr(load_by_customer, "LOCK_SECONDS", 60)
    messages = logs.notified([file_of(BUSY), file_of(OTHER)])
    with held(task_lock, accounts[BUSY]):
        working = in_thread(lambda: ingest(messages))
        while f"i-{OTHER}" not in stored():
            assert not working.done()
            time.sleep(0.02)
        time.sleep(0.1)
        assert not working.done()
    assert working.result(60) == messages
    assert stored() == {f"i-{BUSY}", f"i-{OTHER}"}


def test_who_was_busy_is_waited_for_shortly_and_after_all_others(logs, accounts, monkeypatch):
    waits = []
    original = load_by_customer.store_file_results

    def store_file_results(file_results, enrichment, *, wait, lock_seconds):
        waits.append((sorted(e.file.key.account_id for e in file_results), wait, lock_seconds))
        return original(file_results, enrichment, wait=wait, lock_seconds=lock_seconds)

    monkeypatch.setattr(load_by_customer, "store_file_results", store_file_results)
    with held(lock_of_instances, accounts[BUSY]):
        ingest(logs.notified([file_of(BUSY)]))
        assert [wait[1:] for wait in waits] == [(False, 0.3), (True, 0.3)]
        waits.clear()
        ingest(logs.notified([file_of(BUSY), file_of(OTHER)]))
        assert waits == [([OTHER], False, 0.3), ([BUSY], True, 0.1)]
    waits.clear()
    ingest(logs.notified([file_of(BUSY), file_of(OTHER, hour=2)]))
    assert waits == [([OTHER], False, 0.3), ([BUSY], True, 0.1)]
    waits.clear()
    ingest(logs.notified([file_of(BUSY, hour=2), file_of(OTHER, hour=3)]))
    assert waits == [([BUSY, OTHER], False, 0.3)]


def test_what_is_at_fault_is_found_beside_who_is_busy(logs, accounts, monkeypatch, caplog):
    bad = file_of(OTHER)
    messages = logs.notified([file_of(BUSY), bad, file_of(OTHER, hour=2), file_of(THIRD)])
    original = load_by_customer.store_file_results

    def store_file_results(file_results, enrichment, **options):
        if any(file_result.file.notified.key == bad.key for file_result in file_results):
            raise ZeroDivisionError("odd")
        return original(file_results, enrichment, **options)

    monkeypatch.setattr(load_by_customer, "store_file_results", store_file_results)
    with held(task_lock, accounts[BUSY]), caplog.at_level(logging.WARNING):
        assert ingest(messages) == messages[2:]
    assert len(events()) == 2
    (failed,) = IngestObject.objects.exclude(outcome="ok")
    assert (failed.key, failed.outcome) == (bad.key, "rejected")
    assert f"Message {messages[0].id} is put back into the queue" in caplog.text
    assert f"Message {messages[1].id} stays on the queue" in caplog.text


def test_an_account_that_changes_hands_meanwhile_is_left_for_later(logs, accounts, monkeypatch):
    """Its new customer's locks are not held."""
    account, other = accounts[BUSY], accounts[OTHER]
    original = load_by_customer.store_file_results

    def store_file_results(file_results, enrichment, **options):
        type(account).objects.filter(id=account.id).update(user_id=other.user_id)
        return original(file_results, enrichment, **options)

    monkeypatch.setattr(load_by_customer, "store_file_results", store_file_results)
    messages = logs.notified([file_of(BUSY)])
    assert ingest(messages) == messages
    assert [run[0] for run in runs()] == [f"i-{BUSY}"]


def test_a_customer_without_a_lock_row_gets_one(logs, accounts):
    UserTaskLock.objects.all().delete()
    messages = logs.notified([file_of(BUSY), file_of(OTHER)])
    assert ingest(messages) == messages
    assert UserTaskLock.objects.filter(locked=False).count() == 2


def test_questions_to_ec2_are_recorded_with_what_they_were_for(logs, accounts):
    """09 P4: whatever is stored first, each record is stored once."""
    unknown = {
        number: LogFile(
            trail.log_key(account=number, name=f"U{number}"),
            [trail.start_instances(f"i-new-{number}", account=number, at=at(1))],
        )
        for number in (BUSY, OTHER)
    }
    messages = logs.notified(unknown.values())

    def asked():
        return sorted(DescribeRun.objects.values_list("cloud_account__aws_account_id", flat=True))

    with held(task_lock, accounts[BUSY]):
        assert ingest(messages) == messages[1:]
        assert asked() == [OTHER]
    assert ingest(messages[:1]) == messages[:1]
    assert asked() == [BUSY, OTHER]


class TestQueue:
    @pytest.fixture
    def late(self, testbed, monkeypatch, settings):
        monkeypatch.setattr(ingest_module, "PUT_BACK_SECONDS", 0)
        # A message that comes back at once would be taken until so many were.
        settings.AWS_SQS_MAX_YIELD_COUNT = 2
        UserTaskLock.objects.get_or_create(user_id=testbed.account.user_id)
        return testbed

    def test_a_busy_message_is_put_back_as_often_as_it_takes(self, late, queued, caplog):
        """SQS would set it aside after five receives."""
        testbed = late
        testbed.deliver(trail.run_instances(launched("i-1"), at=at(1)))
        other = make_account(OTHER)
        ids = set()
        with held(task_lock, testbed.account):
            for _ in range(7):
                successes, failures = testbed.run()
                assert (successes, testbed.left) == ([], 1)
                ids |= {failure["message_id"] for failure in failures}
            key = trail.log_key(account=OTHER, name="other")
            record = trail.run_instances(launched("i-2"), account=OTHER, at=at(1))
            testbed.put(key=key, body=trail.log_file([record]))
            testbed.announce(key)
            assert testbed.run()[0]
            assert [event[0] for event in events()] == ["i-2"]
            assert other.instances.count() == 1
        assert len(ids) >= 7
        assert queued.named("api.clouds.aws.tasks.analyze_log")[0].countdown == 1
        assert [len(part) for part in testbed.run()] == [1, 0]
        assert {event[0] for event in events()} == {"i-1", "i-2"}
        assert testbed.left == 0
        assert "dead letter" not in caplog.text

    def test_what_is_known_of_it_stays(self, late):
        """When it was sent first, and how often it was moved back (decision 44)."""
        testbed = late
        redrives = {"redrives": {"DataType": "Number", "StringValue": "7"}}
        testbed.sqs.send_message(QueueUrl=testbed.url, MessageBody="x", MessageAttributes=redrives)
        bucket = trail_bucket()
        ((before,),) = queues.receive(bucket, limit=1)
        queues.put_back(bucket, [before], seconds=0)
        ((after,),) = queues.receive(bucket, limit=1)
        assert after.id != before.id
        assert (after.body, after.sent_at, after.receives) == ("x", before.sent_at, 1)
        assert after.attributes["redrives"]["StringValue"] == "7"
        queues.delete(bucket, [after])
        assert testbed.left == 0

    def test_where_sqs_refuses_the_message_stays(self, late, caplog):
        testbed = late
        testbed.deliver(trail.run_instances(launched("i-1"), at=at(1)))
        testbed.aws.refuse("sqs", "SendMessageBatch", "AccessDenied")
        with held(task_lock, testbed.account):
            successes, failures = testbed.run()
        assert (successes, len(failures), testbed.left) == ([], 1, 1)
        assert "shown again when SQS will" in caplog.text
