"""An account with two regions, described by a clock that the tests set."""

import pytest
import time_machine

from api.clouds.aws.describe import sync
from tests.api.clouds.aws.describe.scans import NOW
from tests.api.clouds.aws.testbed import Testbed, make_account
from util import clock


@pytest.fixture
def testbed(aws, db, queued):
    """An account, with two regions only: all would take their time."""
    found = Testbed(aws, make_account())
    with time_machine.travel(NOW, tick=False):
        yield found


@pytest.fixture
def database_clock(monkeypatch):
    """Let PostgreSQL's clock travel in time as the tests do."""
    monkeypatch.setattr(sync, "DatabaseClock", lambda: clock)


@pytest.fixture
def regions(monkeypatch):
    listed = ["us-east-1", "eu-west-1"]
    original = sync.describe_regions

    def describe(arn):
        return [region for region in original(arn) if region in listed]

    monkeypatch.setattr(sync, "describe_regions", describe)
    return listed
