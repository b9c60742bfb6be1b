"""What AWS did not describe to us is asked for again (README decisions 9, 47, 52)."""

from datetime import timedelta

import pytest
import time_machine

from api.clouds.aws.describe import read, sync
from api.clouds.aws.describe.ec2 import TERMINATED, DescribedInstance
from api.clouds.aws.describe.gaps import accounts_with_gaps
from api.clouds.aws.describe.sync import complete_accounts, describe_account, describe_missing
from api.clouds.provider import TransientCloudError
from api.inspection.reinspection import reinspect_image
from api.models import (
    CloudAccount,
    Correction,
    DescribeRun,
    Instance,
    InstanceEvent,
    MachineImage,
    Run,
)
from tests.api.clouds.aws.testbed import Testbed, at, make_account
from tests.factories import make_aws_account, make_aws_image, make_event, make_instance
from tests.generators import cloudtrail as trail
from tests.threads import NoThreads
from util import clock

INSPECT = "api.tasks.start_image_inspections"
NOW = at(12)
TAG = [{"Key": trail.RHEL_TAG, "Value": "x"}]


@pytest.fixture
def testbed(aws, db, queued, monkeypatch, one_clock):
    """An account, of which one region is looked at."""
    monkeypatch.setattr(sync, "DatabaseClock", lambda: clock)
    monkeypatch.setattr(sync, "describe_regions", lambda arn: ["us-east-1"])
    with time_machine.travel(NOW, tick=False):
        yield Testbed(aws, make_account())


def ask_again(testbed, hours=6):
    with time_machine.travel(NOW + timedelta(hours=hours), tick=False):
        assert complete_accounts() == 1
        describe_missing(account_id=testbed.account.id)


def image(ami):
    return MachineImage.objects.get(cloud_image_id=ami)


@pytest.mark.parametrize("code", ["UnauthorizedOperation", "RequestLimitExceeded", "Weird"])
def test_an_image_that_a_look_was_refused(testbed, queued, code):
    ami = testbed.image()
    testbed.instance(ami)
    testbed.aws.refuse("ec2", "DescribeImages", code, times=2)
    describe_account(account_id=testbed.account.id)
    ask_again(testbed)
    assert image(ami).status == "unavailable"
    assert queued.named(INSPECT) == []
    ask_again(testbed, hours=12)
    assert image(ami).status == "pending"
    assert [task.args for task in queued.named(INSPECT)] == [
        ([[testbed.account.account_arn, ami, "us-east-1"]],)
    ]
    assert accounts_with_gaps() == []


def test_an_image_whose_instance_is_gone(testbed, queued):
    """What it was counts for the days on which the instance ran."""
    ami = testbed.image()
    testbed.aws.client("ec2", account_id=testbed.account.aws_account_id).create_tags(
        Resources=[ami], Tags=TAG
    )
    stub = make_aws_image(cloud_image_id=ami, status="unavailable", name=None)
    make_instance(account=testbed.account, image=stub)
    ask_again(testbed)
    assert (image(ami).status, image(ami).is_rhel) == ("pending", True)
    assert not InstanceEvent.objects.exists()
    assert not DescribeRun.objects.exists()


def test_so_does_every_look_at_the_account(testbed, queued):
    ami = testbed.image()
    stub = make_aws_image(cloud_image_id=ami, status="unavailable", name=None)
    make_instance(account=testbed.account, image=stub)
    describe_account(account_id=testbed.account.id)
    assert image(ami).status == "pending"
    assert [task.args[0][0][1] for task in queued.named(INSPECT)] == [ami]


@pytest.mark.parametrize("outcome", ["pending", "error"])
def test_an_image_that_an_operator_had_inspected_again(testbed, queued, outcome):
    """It is pending then (spec 05 §2), or in error, and AWS has told nothing of it all the same."""
    ami = testbed.image()
    stub = make_aws_image(
        cloud_image_id=ami, status="unavailable", name=None, owner_aws_account_id=None
    )
    make_instance(account=testbed.account, image=stub)
    reinspect_image(image_id=stub.id)
    assert image(ami).status == "pending"
    MachineImage.objects.update(status=outcome)
    queued.clear()
    ask_again(testbed)
    assert (image(ami).status, image(ami).name is None) == ("pending", False)
    assert image(ami).owner_aws_account_id
    assert [task.args[0][0][1] for task in queued.named(INSPECT)] == [ami]
    assert accounts_with_gaps() == []


def test_an_image_of_windows(testbed, queued):
    ami = testbed.image("Windows")
    stub = make_aws_image(cloud_image_id=ami, status="unavailable", name=None)
    make_instance(account=testbed.account, image=stub)
    ask_again(testbed)
    assert (image(ami).status, image(ami).platform) == ("inspected", "windows")
    assert queued.named(INSPECT) == []


def test_an_image_that_is_gone_stays_unavailable(testbed, queued):
    stub = make_aws_image(cloud_image_id="ami-00000000", status="unavailable", name=None)
    make_instance(account=testbed.account, image=stub)
    ask_again(testbed)
    assert image("ami-00000000").status == "unavailable"
    assert testbed.asked("DescribeImages", "DescribeInstances") == ["DescribeImages"]


def test_an_instance_that_was_not_described(testbed, queued):
    """Its image and its type are filled in, with the runs that had neither."""
    ami = testbed.image()
    instance_id = testbed.instance(ami, "c5.large")
    known = make_instance(account=testbed.account, cloud_instance_id=instance_id, image=None)
    make_event(instance=known, occurred_at=at(3), instance_type=None)
    ask_again(testbed)
    assert Instance.objects.get().machine_image.cloud_image_id == ami
    assert [(run.start_time, run.instance_type) for run in Run.objects.all()] == [
        (at(3), "c5.large")
    ]
    (run,) = DescribeRun.objects.all()
    assert (run.kind, run.outcome, run.listed) == ("on_demand", "ok", 1)
    assert {(one.kind, one.describe_run_id) for one in Correction.objects.all()} == {
        ("image_filled", run.id),
        ("type_filled", run.id),
    }
    assert [task.args[0][0][1] for task in queued.named(INSPECT)] == [ami]
    assert accounts_with_gaps() == []


def test_an_instance_that_was_never_on_needs_no_type(testbed, queued):
    instance_id = testbed.instance(testbed.image())
    known = make_instance(account=testbed.account, cloud_instance_id=instance_id, image=None)
    make_event(instance=known, event_type="power_off", occurred_at=at(3), instance_type=None)
    ask_again(testbed)
    assert set(InstanceEvent.objects.values_list("event_type", flat=True)) == {
        "power_off",
        "power_on",
    }


def test_an_instance_that_was_terminated_meanwhile(testbed, queued, monkeypatch):
    """EC2 knows it for an hour: which image it had, and when it ended."""
    ami = testbed.image()
    known = make_instance(account=testbed.account, cloud_instance_id="i-1", image=None)
    make_event(instance=known, occurred_at=at(11, 30), instance_type="m5.large")
    DescribeRun.objects.create(
        cloud_account=testbed.account,
        kind="initial",
        outcome="ok",
        region="us-east-1",
        started_at=at(1),
        finished_at=at(1),
    )
    gone = DescribedInstance(
        "i-1", ami, "m5.large", None, TERMINATED, False, {}, ended_at=at(11, 45)
    )
    monkeypatch.setattr(sync, "describe_instances", lambda *_: iter([gone]))
    ask_again(testbed, hours=0)
    assert Instance.objects.get().machine_image.cloud_image_id == ami
    assert [(run.start_time, run.end_time) for run in Run.objects.all()] == [
        (at(11, 30), at(11, 45))
    ]


def test_nothing_is_concluded_from_what_is_not_listed(testbed, queued):
    for name in ("i-1", "i-2"):
        known = make_instance(account=testbed.account, cloud_instance_id=name, image=None)
        make_event(instance=known, occurred_at=at(3))
    ask_again(testbed)
    assert set(InstanceEvent.objects.values_list("event_type", flat=True)) == {"power_on"}


def test_a_region_that_fails_spoils_no_other_one(testbed, queued, monkeypatch):
    ami = testbed.image()
    instance_id = testbed.instance(ami)
    make_instance(account=testbed.account, cloud_instance_id=instance_id, image=None)
    make_instance(account=testbed.account, cloud_instance_id="i-2", image=None, region="eu-west-1")
    original = sync.describe_instances

    def describe(arn, region, ids):
        if region == "eu-west-1":
            raise TransientCloudError("later")
        return original(arn, region, ids)

    monkeypatch.setattr(sync, "describe_instances", describe)
    monkeypatch.setattr(read, "ThreadPoolExecutor", NoThreads)
    with pytest.raises(TransientCloudError, match="eu-west-1: later"):
        describe_missing(account_id=testbed.account.id)
    filled = Instance.objects.get(cloud_instance_id=instance_id)
    assert filled.machine_image.cloud_image_id == ami
    assert DescribeRun.objects.get(outcome="failed").region == "eu-west-1"


def test_only_accounts_that_miss_something_are_asked(db, queued, settings):
    settings.AWS_DESCRIBE_MISSING_SCHEDULE = 4000
    stub = make_aws_image(status="unavailable")
    missing_image, missing_instance, disabled, complete, old = (
        make_aws_account() for _ in range(5)
    )
    make_instance(account=missing_image, image=stub)
    make_instance(account=missing_instance, image=None)
    make_instance(account=disabled, image=None)
    CloudAccount.objects.filter(id=disabled.id).update(is_enabled=False)
    make_instance(account=complete, image=make_aws_image())
    make_instance(account=old, image=None, created_at=clock.now() - timedelta(days=3))
    assert complete_accounts() == 2
    assert [(task.name, task.args, task.countdown) for task in queued] == [
        (sync.DESCRIBE_MISSING, (missing_image.id,), 0),
        (sync.DESCRIBE_MISSING, (missing_instance.id,), 1000.0),
    ]


def test_an_account_that_is_disabled_meanwhile(testbed):
    make_instance(account=testbed.account, image=None)
    CloudAccount.objects.update(is_enabled=False)
    describe_missing(account_id=testbed.account.id)
    assert testbed.aws.calls() == []
