"""Inspections go by PostgreSQL's clock, whatever their workers' clocks show (decision 41)."""

from datetime import timedelta

import pytest

from api.inspection import slots
from api.models import SnapshotShare
from tests.api.inspection import testbed as names
from tests.api.inspection.testbed import REGION, attempts, fresh
from util import clock, postgres

HOURS = timedelta(hours=1)


@pytest.fixture
def set_clocks(monkeypatch):
    """Set by how much PostgreSQL's clock is later than now, and a worker's than PostgreSQL's."""
    begun = clock.now()

    def set_clocks(*, later=timedelta(), ahead=timedelta()):
        monkeypatch.setattr(postgres, "now", lambda: begun + later)
        monkeypatch.setattr(clock, "now", lambda: begun + later + ahead)

    return set_clocks


@pytest.mark.parametrize("ahead", [-30 * HOURS, 30 * HOURS])
def test_a_worker_whose_clock_is_wrong(testbed, image, set_clocks, settings, ahead):
    """It neither takes what is young for old, nor what is old for young."""
    settings.MAX_CONCURRENT_INSPECTIONS = 5
    set_clocks(ahead=ahead)
    testbed.run(names.COPY, testbed.arn, image.cloud_image_id, REGION)
    other = testbed.image()
    testbed.start(other)
    testbed.queued.clear()

    set_clocks()
    assert slots.free() == 3
    set_clocks(ahead=-ahead)
    assert slots.free() == 3
    assert testbed.run(names.SWEEP) == 0
    testbed.run(names.RESTART)
    assert [len(attempts(one)) for one in (image, other)] == [1, 1]
    assert SnapshotShare.objects.count() == 1

    set_clocks(later=3 * HOURS, ahead=ahead)
    assert slots.free() == 5
    assert testbed.run(names.SWEEP) == 1
    assert SnapshotShare.objects.count() == 0
    set_clocks(later=20 * HOURS, ahead=ahead)
    testbed.run(names.RESTART)
    assert [len(attempts(one)) for one in (image, other)] == [2, 2]
    assert {fresh(one).status for one in (image, other)} == {"preparing"}
