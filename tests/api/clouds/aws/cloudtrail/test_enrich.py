"""What ingest asks EC2 for is dated by PostgreSQL's clock (README decision 41)."""

from datetime import timedelta

import pytest
import time_machine

from api.clouds.aws.cloudtrail import enrich
from api.clouds.aws.describe.ec2 import RUNNING, DescribedInstance
from api.models import Correction, DescribeRun, InstanceFact
from tests.api.clouds.aws.testbed import at, ingest, make_account
from tests.factories import make_event, make_instance
from tests.generators import cloudtrail as trail
from tests.generators.fleet import LogFile
from util import postgres

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize("minutes", [-5, 0, 5])
def test_a_worker_whose_clock_is_wrong_changes_no_dates(logs, monkeypatch, minutes):
    known = make_instance(account=make_account(trail.ACCOUNT), image=None)
    make_event(instance=known, occurred_at=at(1), instance_type=None)
    shown = DescribedInstance(
        known.cloud_instance_id, "ami-1", "m5.large", None, RUNNING, False, {"tenancy": "default"}
    )
    monkeypatch.setattr(enrich, "describe_instances", lambda *_: iter([shown]))
    record = trail.start_instances(known.cloud_instance_id, at=at(3))
    messages = logs.notified([LogFile(trail.log_key(at=at(3)), [record])])
    before = postgres.now()
    with time_machine.travel(before + timedelta(minutes=minutes)):
        assert ingest(messages) == messages
    run = DescribeRun.objects.get()
    assert before <= run.started_at <= run.finished_at <= postgres.now()
    assert InstanceFact.objects.get().observed_at == run.finished_at
    corrections = Correction.objects.order_by("kind").values_list("kind", "unsure_to")
    assert list(corrections) == [
        ("image_filled", run.finished_at),
        ("type_filled", run.finished_at),
    ]
