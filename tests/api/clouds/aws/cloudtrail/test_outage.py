"""A database that goes away while messages are worked on (decision 44).

With real processes, and before messages are taken: tests/e2e/test_database_outage.py.
"""

from contextlib import contextmanager

import pytest
from django.db import OperationalError

from api.clouds.aws.cloudtrail import load_by_customer
from api.models import IngestObject
from tests.api.clouds.aws.testbed import events
from tests.generators import cloudtrail as trail
from tests.generators.cloudtrail import launched
from util import postgres

GONE = OperationalError("server closed the connection unexpectedly")


def fail(*_arguments, **_options):
    raise GONE


@contextmanager
def database_that_goes_away(monkeypatch):
    """Let the database fail from the moment when something is to be stored."""

    def go_away(*_arguments, **_options):
        patch.setattr(postgres, "require_writable", fail)
        fail()

    with monkeypatch.context() as patch:
        patch.setattr(load_by_customer, "store_file_results", go_away)
        yield


def deliver(testbed, *instances):
    for name in instances:
        testbed.deliver(trail.run_instances(launched(name, image=testbed.image())))


def test_messages_in_hand_are_given_back(testbed, monkeypatch, queued):
    deliver(testbed, "i-1", "i-2", "i-3")
    with database_that_goes_away(monkeypatch), pytest.raises(OperationalError):
        testbed.run()
    assert not IngestObject.objects.exists(), "it is no fault of a file"
    successes, failures = testbed.run()
    assert (len(successes), failures) == (3, [])
    assert {instance for instance, *_ in events()} == {"i-1", "i-2", "i-3"}
    assert testbed.left == 0


def test_one_lost_connection_is_no_outage(testbed, monkeypatch, queued):
    deliver(testbed, "i-1", "i-2")
    store, lost = load_by_customer.store_file_results, []

    def lose_a_connection(*arguments, **options):
        if not lost:
            lost.append(1)
            fail()
        return store(*arguments, **options)

    monkeypatch.setattr(load_by_customer, "store_file_results", lose_a_connection)
    successes, failures = testbed.run()
    assert (len(successes), failures) == (2, [])
    assert {instance for instance, *_ in events()} == {"i-1", "i-2"}
