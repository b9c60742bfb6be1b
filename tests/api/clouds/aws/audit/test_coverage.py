"""What the audit finds, and repairs, in the coverage of a day (spec 10 §2, §3.3)."""

from datetime import timedelta

import pytest
import time_machine
from django.core.cache import cache

from api.clouds.aws.audit.walk import audit_logs
from api.coverage.calculate import calculate_coverage
from api.models import CloudAccount, CoverageDay, DescribeRun
from tests.api.clouds.aws.testbed import ACCOUNT, at
from tests.generators import cloudtrail as trail

pytestmark = pytest.mark.usefixtures("queued", "one_clock")


@pytest.fixture
def described(testbed):
    """The customer's account, metered since New Year and described every six hours."""
    cache.clear()
    CloudAccount.objects.update(created_at=at(0, day=1), enabled_at=at(0, day=1))
    for number in range(12):
        began = at(0, 1, day=1) + timedelta(hours=6 * number)
        DescribeRun.objects.create(
            cloud_account=testbed.account,
            region="us-east-1",
            kind="reconcile",
            outcome="ok",
            started_at=began,
            finished_at=began + timedelta(minutes=1),
        )
    return testbed


def covered(day=2, *, audit=False, now=(3, 12)):
    """Return state and gaps of a day of January 2020, calculated at a later hour."""
    number, hour = now
    with time_machine.travel(at(hour, day=number), tick=False):
        if audit:
            audit_logs(seconds=60)
        calculate_coverage()
    row = CoverageDay.objects.get(date=f"2020-01-{day:02}")
    return row.state, [
        f"{one['from'][11:16]}-{one['to'][11:16]} {one['reason']}" for one in row.gaps
    ]


def test_acceptance_1_a_day_whose_files_were_all_processed(described):
    key = trail.log_key(account=ACCOUNT, name="Good", at=at(12, day=2))
    described.ingest(trail.terminate_instances("i-1", at=at(3)), key=key)
    assert covered() == ("open", [])
    assert covered(audit=True) == ("complete", [])
    assert CoverageDay.objects.get(date="2020-01-02").log_files == 1


def test_acceptance_2_a_lost_message_is_found_and_repaired(described):
    key = trail.log_key(account=ACCOUNT, name="Lost", at=at(12, day=2))
    described.put(trail.terminate_instances("i-1", at=at(11, 55)), key=key)
    assert covered(audit=True) == ("partial", ["11:45-12:00 log_unprocessed"])
    with time_machine.travel(at(13, day=3), tick=False):
        described.run()
    assert covered(now=(3, 14)) == ("complete", [])


def test_acceptance_2_what_the_audit_finds_is_a_gap_at_once(described):
    """No 24 hours pass first: a gap that is repaired closes by itself (spec 10 §2, §3.3)."""
    key = trail.log_key(account=ACCOUNT, name="Lost", at=at(23, day=2))
    described.put(trail.terminate_instances("i-1", at=at(22, 55)), key=key)
    assert covered(audit=True, now=(3, 1)) == ("partial", ["22:45-23:00 log_unprocessed"])
    with time_machine.travel(at(2, day=3), tick=False):
        described.run()
    assert covered(now=(3, 3))[1] == []


def test_a_day_that_is_audited_late_is_proved_late(described):
    with time_machine.travel(at(12, day=2), tick=False):
        audit_logs(seconds=60)
    assert covered(now=(6, 12)) == ("partial", [])
    assert covered(now=(6, 13), audit=True) == ("complete", [])


def test_the_audit_of_a_running_day_proves_nothing(described):
    with time_machine.travel(at(20, day=2), tick=False):
        audit_logs(seconds=60)
    assert covered() == ("open", [])


def test_the_audit_of_a_worker_whose_clock_is_ahead_proves_no_day_that_is_running(described):
    """Its midnight may be five minutes early; the next audit proves the day (decision 41)."""
    with time_machine.travel(at(0, 4, day=3), tick=False):
        audit_logs(seconds=60)
    assert covered() == ("open", [])
    assert covered(now=(4, 0), audit=True) == ("complete", [])
