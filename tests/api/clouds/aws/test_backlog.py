"""An outage of ingest: nothing is processed while the queue is not empty (spec 10 §2)."""

from datetime import UTC, datetime, time, timedelta

import pytest
import time_machine
from django.core.cache import cache
from redis import RedisError

from api.clouds.aws import backlog
from api.clouds.aws.cloudtrail import read
from api.clouds.aws.provisioning import queues
from api.clouds.freshness import last_ingest, note_ingest
from api.coverage.calculate import calculate_coverage
from api.models import CloudAccount, CoverageDay
from tests.api.clouds.aws.testbed import refusing
from tests.api.metering.notation import at
from tests.generators import cloudtrail as trail
from util import clock

pytestmark = pytest.mark.services


@pytest.fixture(autouse=True)
def nothing_known():
    cache.delete_many(["ingest_last_at_aws", "ingest_last_at_azure", backlog.WAITING_SINCE])
    yield
    cache.delete_many(["ingest_last_at_aws", "ingest_last_at_azure", backlog.WAITING_SINCE])


def on(when, function, *arguments):
    with time_machine.travel(at(when), tick=False):
        return function(*arguments)


def test_acceptance_10_s3_is_down_for_40_minutes():
    on("10T09", note_ingest, "aws")
    on("10T10", backlog.note_queue, 1)
    on("10T10:20", backlog.note_queue, 4)
    assert backlog.outage_since(at("10T10:30")) is None
    assert backlog.outage_since(at("10T10:31")) == at("10T10")
    on("10T10:41", note_ingest, "aws")
    assert backlog.outage_since(at("10T10:45")) is None
    on("10T10:45", backlog.note_queue, 0)
    on("10T12", backlog.note_queue, 2)
    assert backlog.outage_since(at("10T12:05")) is None


def test_a_queue_whose_messages_were_given_up_waits_still():
    on("10T09", note_ingest, "aws")
    on("10T10", backlog.note_queue, 1)
    on("10T10:25", backlog.note_queue, 0, 1)
    assert backlog.outage_since(at("10T10:31")) == at("10T10")
    on("10T10:40", note_ingest, "aws")
    on("10T10:45", backlog.note_queue, 0, 1)
    assert backlog.outage_since(at("10T12")) is None


def test_an_empty_queue_is_no_outage():
    on("10T01", note_ingest, "aws")
    on("10T01:05", backlog.note_queue, 0)
    assert backlog.outage_since(at("10T10")) is None
    assert last_ingest() == {"aws": at("10T01").timestamp()}


def test_files_that_are_processed_are_no_outage_however_many_wait():
    on("10T01", backlog.note_queue, 5000)
    on("10T09:45", note_ingest, "aws")
    assert backlog.outage_since(at("10T10")) is None


def test_without_redis_nothing_is_known_and_ingest_goes_on(monkeypatch):
    def away(*arguments, **options):
        raise RedisError

    monkeypatch.setattr(cache, "set", away)
    monkeypatch.setattr(cache, "get", away)
    note_ingest("aws")
    assert backlog.outage_since(at("10T10")) is None


@pytest.mark.django_db
def test_acceptance_10_with_a_queue_and_a_bucket(testbed, queued, monkeypatch):
    """S3 fails, so the day has a gap; S3 is back, the file is read, and the gap is gone."""

    def gaps_of_today():
        calculate_coverage()
        day = CoverageDay.objects.get(cloud_account=testbed.account, date=clock.today())
        return [gap for gap in day.gaps if gap["reason"] == "ingest_outage"]

    CloudAccount.objects.update(enabled_at=clock.now() - timedelta(hours=2))
    key = testbed.deliver(trail.stop_instances("i-1"))
    with monkeypatch.context() as patched:
        patched.setattr(read, "fetch", refusing("SlowDown"))
        assert testbed.run()[0] == []
    queues.cache_lengths()
    assert "ingest_last_at_aws" not in cache
    began = clock.now() - timedelta(minutes=40)
    assert cache.get(backlog.WAITING_SINCE) > began.timestamp()
    assert gaps_of_today() == []
    cache.set(backlog.WAITING_SINCE, began.timestamp(), None)
    [gap] = gaps_of_today()
    midnight = datetime.combine(clock.today(), time(), UTC)
    assert datetime.fromisoformat(gap["from"]) == max(began, midnight)
    testbed.announce(key)
    assert testbed.run()[1] == []
    assert gaps_of_today() == []
