"""Descriptions of accounts, at first and again (spec 04 §7, §14; 09 P4, P5, P8)."""

import logging
from datetime import timedelta

import pytest
import time_machine
from botocore.exceptions import ClientError, EndpointConnectionError
from django.db import OperationalError

from api.clouds.aws.describe import load, read, sync
from api.clouds.aws.describe.ec2 import RUNNING, DescribedInstance, Page
from api.clouds.aws.describe.sync import describe_account, reconcile_accounts
from api.clouds.aws.errors import AwsError
from api.clouds.provider import TransientCloudError
from api.models import (
    CloudAccount,
    Correction,
    DescribeRun,
    Instance,
    InstanceEvent,
    InstanceFact,
    MachineImage,
)
from tests.api.clouds.aws.testbed import Testbed, at, events, make_account, runs
from tests.deployment.processes import wait_for
from tests.factories import make_aws_account, make_aws_image, make_event, make_instance
from tests.threads import NoThreads
from util import clock, postgres

INSPECT = "api.tasks.start_image_inspections"
NOW = at(12)
STOPPED = 80


@pytest.fixture
def testbed(aws, db, queued):
    """An account, with two regions only: all would take their time."""
    found = Testbed(aws, make_account())
    with time_machine.travel(NOW, tick=False):
        yield found


@pytest.fixture(autouse=True)
def database_clock(monkeypatch):
    """Let PostgreSQL's clock travel in time as the tests do."""
    monkeypatch.setattr(sync, "DatabaseClock", lambda: clock)


@pytest.fixture(autouse=True)
def regions(monkeypatch):
    listed = ["us-east-1", "eu-west-1"]
    original = sync.describe_regions

    def describe(arn):
        return [region for region in original(arn) if region in listed]

    monkeypatch.setattr(sync, "describe_regions", describe)
    return listed


def describe(testbed, **options):
    describe_account(account_id=testbed.account.id, **options)


def ec2(testbed, region="us-east-1"):
    return testbed.aws.client("ec2", account_id=testbed.account.aws_account_id, region=region)


def later(**options):
    return time_machine.travel(NOW + timedelta(**options), tick=False)


def test_scenario_28_five_instances(testbed, queued):
    ami = testbed.image()
    on = [testbed.instance(ami), testbed.instance(ami, "c5.large")]
    off = [testbed.instance(ami), testbed.instance(ami)]
    gone = testbed.instance(ami)
    ec2(testbed).stop_instances(InstanceIds=off)
    ec2(testbed).terminate_instances(InstanceIds=[gone])
    describe(testbed)
    assert set(Instance.objects.values_list("cloud_instance_id", flat=True)) == {*on, *off}
    assert sorted(events()) == sorted(
        [(on[0], "power_on", NOW, "m5.large"), (on[1], "power_on", NOW, "c5.large")]
    )
    assert len(runs()) == 2
    assert [task.args for task in queued.named(INSPECT)] == [
        ([[testbed.account.account_arn, ami, "us-east-1"]],)
    ]
    with later(hours=1):
        describe(testbed)
    assert len(events()) == 2
    ec2(testbed).terminate_instances(InstanceIds=[on[0]])
    with later(hours=2):
        describe(testbed)
    assert events()[2:] == [(on[0], "power_off", NOW + timedelta(hours=2), None)]
    assert [run[2] for run in runs() if run[0] == on[0]] == [NOW + timedelta(hours=2)]
    assert len(queued.named(INSPECT)) == 1


def test_subnets_are_stored(testbed):
    instance_id = testbed.instance(testbed.image())
    described = ec2(testbed).describe_instances(InstanceIds=[instance_id])
    subnet = described["Reservations"][0]["Instances"][0]["SubnetId"]
    describe(testbed)
    assert InstanceEvent.objects.get().subnet == subnet


@pytest.mark.parametrize(
    "columns",
    [{"is_enabled": False}, {"platform_application_is_paused": True}, {"is_synthetic": True}],
)
def test_scenario_29_accounts_that_are_not_described(testbed, columns):
    CloudAccount.objects.update(**columns)
    describe(testbed)
    assert testbed.aws.calls() == []
    assert not DescribeRun.objects.exists()


def test_an_account_that_is_gone(testbed):
    describe_account(account_id=999_999)
    assert testbed.aws.calls() == []


@pytest.mark.parametrize("action", ["DescribeRegions", "DescribeInstances"])
def test_scenario_30_throttling_is_retried(testbed, action):
    testbed.instance(testbed.image())
    testbed.aws.refuse("ec2", action, "RequestLimitExceeded")
    with pytest.raises(TransientCloudError):
        describe(testbed)
    assert not Instance.objects.exists()
    assert {run.outcome for run in DescribeRun.objects.all()} == {"throttled"}


def test_access_denied_ends_quietly(testbed):
    testbed.aws.refuse("ec2", "DescribeRegions", "UnauthorizedOperation")
    known = make_instance(account=testbed.account, cloud_instance_id="i-1")
    make_event(instance=known, occurred_at=at(1))
    describe(testbed)
    (run,) = DescribeRun.objects.all()
    assert (run.outcome, run.region, run.error_code) == ("denied", None, "UnauthorizedOperation")
    assert len(events()) == 1


def test_other_errors_are_raised(testbed):
    testbed.aws.refuse("ec2", "DescribeInstances", "Weird")
    with pytest.raises(AwsError, match=r"us-east-1.*Weird"):
        describe(testbed)


def test_an_account_without_any_region_is_no_answer(testbed, regions):
    """Taken for true, it would end everything that runs."""
    known = make_instance(account=testbed.account, cloud_instance_id="i-1")
    make_event(instance=known, occurred_at=at(1))
    regions.clear()
    with pytest.raises(AwsError, match="no region"):
        describe(testbed)
    assert len(events()) == 1


class Broken:
    """Fails to describe the instances of one region."""

    def __init__(self, monkeypatch, region, error):
        original = sync.describe_all_instances

        def describe(arn, asked):
            if asked == region:
                raise error
            return original(arn, asked)

        monkeypatch.setattr(sync, "describe_all_instances", describe)


def test_a_region_that_fails_spoils_no_other_one(testbed, monkeypatch):
    ami = testbed.image()
    running = testbed.instance(ami)
    for name, region in (("i-there", "eu-west-1"), ("i-here", "us-east-1")):
        known = make_instance(account=testbed.account, cloud_instance_id=name, region=region)
        make_event(instance=known, occurred_at=at(1))
    Broken(monkeypatch, "eu-west-1", EndpointConnectionError(endpoint_url="x"))
    with pytest.raises(TransientCloudError, match="eu-west-1"):
        describe(testbed)
    assert {event[:2] for event in events() if event[2] == NOW} == {
        (running, "power_on"),
        ("i-here", "power_off"),
    }
    assert dict(DescribeRun.objects.values_list("region", "outcome")) == {
        "us-east-1": "ok",
        "eu-west-1": "failed",
    }


def test_a_region_that_cannot_be_stored_spoils_no_other_one(testbed, monkeypatch, caplog):
    """Decision 47: each region is stored by itself."""
    running = testbed.instance(testbed.image())
    known = make_instance(account=testbed.account, cloud_instance_id="i-there", region="eu-west-1")
    make_event(instance=known, occurred_at=at(1))
    original = load.save_events

    def save_events(new):
        if any(event.instance_id == known.id for event in new):
            raise ValueError("odd")
        return original(new)

    monkeypatch.setattr(load, "save_events", save_events)
    with pytest.raises(AwsError, match=r"eu-west-1.*odd"):
        describe(testbed)
    assert [event[:2] for event in events() if event[2] == NOW] == [(running, "power_on")]
    assert dict(DescribeRun.objects.values_list("region", "outcome")) == {
        "us-east-1": "ok",
        "eu-west-1": "failed",
    }


def test_a_database_that_is_busy_is_no_matter_of_one_region(testbed, monkeypatch):
    def store_looks(*_):
        raise OperationalError("lock timeout")

    monkeypatch.setattr(load, "store_looks", store_looks)
    with pytest.raises(OperationalError):
        describe(testbed)


def test_a_region_that_refuses_is_left_out_quietly(testbed, monkeypatch, caplog):
    refusal = ClientError({"Error": {"Code": "AuthFailure"}}, "DescribeInstances")
    Broken(monkeypatch, "eu-west-1", refusal)
    with caplog.at_level(logging.WARNING):
        describe(testbed)
    assert "eu-west-1" in caplog.text


def test_a_repeated_attempt_asks_only_what_was_not_read(testbed, monkeypatch):
    with monkeypatch.context() as context:
        Broken(context, "eu-west-1", EndpointConnectionError(endpoint_url="x"))
        with pytest.raises(TransientCloudError):
            describe(testbed)
    before = len(testbed.aws.calls())
    with later(minutes=2):
        describe(testbed, resume=True)
    asked = [
        call["region"]
        for call in testbed.aws.calls()[before:]
        if call["action"] == "DescribeInstances"
    ]
    assert asked == ["eu-west-1"]


def test_but_not_what_was_read_before_the_account_was_enabled_again(testbed):
    describe(testbed)
    with later(minutes=2):
        CloudAccount.objects.update(enabled_at=NOW + timedelta(minutes=1))
        describe(testbed, resume=True)
    assert DescribeRun.objects.filter(outcome="ok").count() == 4


def test_what_is_absent_or_not_running_is_off(testbed):
    ami = testbed.image()
    stopped = testbed.instance(ami)
    ec2(testbed).stop_instances(InstanceIds=[stopped])
    for name in (stopped, "i-absent", "i-off"):
        known = make_instance(account=testbed.account, cloud_instance_id=name)
        make_event(instance=known, occurred_at=at(1))
    make_event(
        instance=Instance.objects.get(cloud_instance_id="i-off"),
        event_type="power_off",
        occurred_at=at(2),
    )
    make_event(
        instance=Instance.objects.get(cloud_instance_id="i-absent"),
        event_type="attribute_change",
        occurred_at=at(2),
    )
    describe(testbed)
    new = {event for event in events() if event[2] == NOW}
    assert new == {(stopped, "power_off", NOW, None), ("i-absent", "power_off", NOW, None)}


def test_instances_of_regions_that_are_closed_are_off(testbed):
    known = make_instance(account=testbed.account, cloud_instance_id="i-1", region="ap-south-1")
    make_event(instance=known, occurred_at=at(1))
    describe(testbed)
    assert events()[1:] == [("i-1", "power_off", NOW, None)]


def test_other_accounts_instances_are_left_alone(testbed):
    other = make_aws_account()
    known = make_instance(account=other, cloud_instance_id="i-1")
    make_event(instance=known, occurred_at=at(1))
    describe(testbed)
    assert len(events()) == 1


def test_an_instance_of_another_account_is_dropped(testbed, caplog):
    instance_id = testbed.instance(testbed.image())
    other = make_aws_account()
    make_instance(account=other, cloud_instance_id=instance_id)
    describe(testbed)
    assert events() == []
    assert "another account" in caplog.text
    assert Instance.objects.get().cloud_account == other


def test_an_attribute_change_makes_no_second_power_on(testbed):
    instance_id = testbed.instance(testbed.image())
    known = make_instance(account=testbed.account, cloud_instance_id=instance_id)
    make_event(instance=known, occurred_at=at(1))
    make_event(instance=known, occurred_at=at(2), event_type="attribute_change")
    describe(testbed)
    assert len(events()) == 2


def test_what_is_newer_than_the_look_wins(testbed, regions, monkeypatch):
    """A log that was stored while the account was being read knows better."""
    # Threads have connections of their own, which do not see what this test stores.
    monkeypatch.setattr(read, "ThreadPoolExecutor", NoThreads)
    known = make_instance(account=testbed.account, cloud_instance_id="i-1")
    make_event(instance=known, occurred_at=at(1))

    def meanwhile(arn, region):
        make_event(instance=known, event_type="power_off", occurred_at=NOW - timedelta(seconds=9))
        make_event(instance=known, occurred_at=NOW + timedelta(seconds=1))
        return iter(())

    monkeypatch.setattr(sync, "describe_all_instances", meanwhile)
    regions.remove("eu-west-1")
    describe(testbed)
    assert NOW not in {event[2] for event in events()}


class TestImages:
    def image(self, ami):
        return MachineImage.objects.get(cloud_image_id=ami)

    def test_that_aws_does_not_return(self, testbed, queued):
        ami = testbed.image()
        testbed.instance(ami)
        ec2(testbed).deregister_image(ImageId=ami)
        describe(testbed)
        stub = self.image(ami)
        assert (stub.status, stub.region, stub.name) == ("unavailable", "us-east-1", None)
        assert INSPECT not in queued.names

    def test_windows_is_told_by_the_instance(self, testbed, queued):
        ami = testbed.image("Windows")
        testbed.instance(ami)
        describe(testbed)
        assert (self.image(ami).platform, self.image(ami).status) == ("windows", "inspected")
        assert INSPECT not in queued.names

    def test_from_the_marketplace_are_started_all_the_same(self, testbed, queued):
        ami = testbed.image()
        ec2(testbed).modify_image_attribute(ImageId=ami, ProductCodes=["abc"])
        testbed.instance(ami)
        describe(testbed)
        assert (self.image(ami).status, self.image(ami).marketplace) == ("inspected", True)
        assert [task.args[0][0][1] for task in queued.named(INSPECT)] == [ami]

    def test_tags_count(self, testbed):
        ami = testbed.image()
        ec2(testbed).create_tags(
            Resources=[ami], Tags=[{"Key": "cloudigrade-ocp-present", "Value": "x"}]
        )
        testbed.instance(ami)
        describe(testbed)
        assert self.image(ami).openshift_detected

    def test_known_ones_are_described_once_for_the_sake_of_tags(self, testbed, queued):
        """Each account sees tags of its own (README decision 34)."""
        ami = testbed.image()
        known = make_aws_image(cloud_image_id=ami, name="as it was", architecture="arm64")
        testbed.instance(ami)
        describe(testbed)
        assert testbed.asked("DescribeImages") == ["DescribeImages"]
        describe(testbed)
        assert testbed.asked("DescribeImages") == ["DescribeImages"]
        assert INSPECT not in queued.names
        known.refresh_from_db()
        assert (known.name, known.architecture) == ("as it was", "arm64")

    def test_that_were_not_shown_before_are_filled_in(self, testbed, queued):
        ami = testbed.image()
        make_aws_image(cloud_image_id=ami, status="unavailable", name=None)
        testbed.instance(ami)
        describe(testbed)
        assert (self.image(ami).status, self.image(ami).name is None) == ("pending", False)
        assert [task.args[0][0][1] for task in queued.named(INSPECT)] == [ami]

    @pytest.mark.parametrize("code", ["RequestLimitExceeded", "UnauthorizedOperation", "Weird"])
    def test_that_are_not_described_keep_nothing_else_from_being_stored(
        self, testbed, queued, code
    ):
        """Decision 47: they are stored as unavailable, and filled in when AWS answers."""
        ami = testbed.image()
        instance_id = testbed.instance(ami)
        known = make_instance(account=testbed.account, region="eu-west-1")
        make_event(instance=known, occurred_at=at(1))
        testbed.aws.refuse("ec2", "DescribeImages", code, times=1)
        describe(testbed)
        assert [event[1] for event in events()] == ["power_on", "power_off", "power_on"]
        assert self.image(ami).status == "unavailable"
        assert Instance.objects.get(cloud_instance_id=instance_id).machine_image == self.image(ami)
        assert set(DescribeRun.objects.values_list("outcome", flat=True)) == {"ok"}
        with later(hours=6):
            describe(testbed)
        assert self.image(ami).status == "pending"
        assert [task.args[0][0][1] for task in queued.named(INSPECT)] == [ami]

    def test_that_are_disabled_or_deprecated_are_asked_for(self, testbed, requests):
        """Fault 28: instances of a disabled AMI go on running."""
        testbed.instance(testbed.image())
        describe(testbed)
        (asked,) = [one for one in requests if one.action == "DescribeImages"]
        assert asked.parameters["IncludeDisabled"] is asked.parameters["IncludeDeprecated"] is True


class TestRecords:
    def test_each_region_is_recorded(self, testbed):
        testbed.instance(testbed.image())
        describe(testbed)
        rows = DescribeRun.objects.order_by("region").values_list(
            "region", "kind", "outcome", "listed", "running"
        )
        assert list(rows) == [
            ("eu-west-1", "initial", "ok", 0, 0),
            ("us-east-1", "initial", "ok", 1, 1),
        ]

    def test_origins(self, testbed):
        testbed.instance(testbed.image())
        describe(testbed)
        event = InstanceEvent.objects.get()
        run = DescribeRun.objects.get(region="us-east-1")
        assert (event.origin, event.source_id) == ("describe_initial", str(run.id))
        assert event.source_name == "DescribeInstances"

    def test_the_first_look_corrects_nothing(self, testbed):
        testbed.instance(testbed.image())
        describe(testbed)
        assert not Correction.objects.exists()

    def test_later_looks_do(self, testbed):
        ami = testbed.image()
        first = testbed.instance(ami)
        describe(testbed)
        with later(hours=1):
            second = testbed.instance(ami)
            describe(testbed)
        with later(hours=2):
            ec2(testbed).stop_instances(InstanceIds=[first])
            describe(testbed)
        on, off = Correction.objects.order_by("unsure_to")
        assert (on.kind, off.kind) == ("missed_on", "missed_off")
        assert (on.instance.cloud_instance_id, off.instance.cloud_instance_id) == (second, first)
        assert (on.unsure_from, on.unsure_to) == (NOW, NOW + timedelta(hours=1))
        assert (off.unsure_from, off.unsure_to) == (
            NOW + timedelta(hours=1),
            NOW + timedelta(hours=2),
        )
        assert InstanceEvent.objects.get(id=on.event_id).origin == "describe_reconcile"
        assert off.describe_run.kind == "reconcile"

    def test_an_event_is_a_later_doubt_than_the_last_look(self, testbed):
        instance_id = testbed.instance(testbed.image())
        describe(testbed)
        known = Instance.objects.get(cloud_instance_id=instance_id)
        make_event(instance=known, event_type="power_off", occurred_at=NOW + timedelta(minutes=30))
        with later(hours=1):
            describe(testbed)
        assert Correction.objects.get().unsure_from == NOW + timedelta(minutes=30)

    def test_what_we_switched_off_ourselves_was_not_missed(self, testbed):
        instance_id = testbed.instance(testbed.image())
        known = make_instance(account=testbed.account, cloud_instance_id=instance_id)
        make_event(instance=known, event_type="power_off", occurred_at=at(3), origin="disable")
        describe(testbed)
        assert events()[-1][:2] == (instance_id, "power_on")
        assert [one.kind for one in Correction.objects.all()] == ["image_filled"]

    def test_after_the_account_was_enabled_again_the_look_is_a_first_one(self, testbed):
        describe(testbed)
        CloudAccount.objects.update(enabled_at=NOW + timedelta(minutes=1))
        with later(hours=1):
            testbed.instance(testbed.image())
            describe(testbed)
        assert InstanceEvent.objects.get().origin == "describe_initial"

    def test_facts(self, testbed):
        testbed.instance(testbed.image(), "c5.large")
        describe(testbed)
        with later(hours=1):
            describe(testbed)
        fact = InstanceFact.objects.get()
        assert (fact.instance_type, fact.source) == ("c5.large", "describe_initial")


class TestWhileAwsIsAsked:
    """What the lock shows when all is read (spec 04 §7.1)."""

    def disturbed(self, testbed, monkeypatch, disturb):
        testbed.instance(testbed.image())
        original = sync.read_images

        def read(*args):
            disturb()
            return original(*args)

        monkeypatch.setattr(sync, "read_images", read)
        describe(testbed)
        assert not Instance.objects.exists()

    def test_the_account_may_vanish(self, testbed, monkeypatch):
        self.disturbed(testbed, monkeypatch, lambda: testbed.account.delete())

    def test_the_user_may_vanish(self, testbed, monkeypatch):
        self.disturbed(testbed, monkeypatch, lambda: testbed.account.user.delete())

    def test_the_account_may_be_disabled(self, testbed, monkeypatch):
        change = lambda: CloudAccount.objects.update(is_enabled=False)  # noqa: E731
        self.disturbed(testbed, monkeypatch, change)

    def test_the_account_may_be_disabled_and_enabled_again(self, testbed, monkeypatch):
        change = lambda: CloudAccount.objects.update(enabled_at=NOW)  # noqa: E731
        self.disturbed(testbed, monkeypatch, change)

    def test_the_account_may_get_another_role(self, testbed, monkeypatch):
        change = lambda: CloudAccount.objects.update(account_arn="arn:aws:iam::9:role/x")  # noqa: E731
        self.disturbed(testbed, monkeypatch, change)


class TestDates:
    """When what was missed happened (README decisions 31 and 41)."""

    @pytest.fixture
    def ec2_shows(self, testbed, regions, monkeypatch):
        """Show pages of us-east-1, each of which takes some minutes to be read."""
        regions.remove("eu-west-1")
        passed = timedelta()

        class Clock:
            def now(self):
                return clock.now() + passed

        def show(*pages, minutes=0):
            def describe(arn, region):
                nonlocal passed
                for page in pages:
                    passed += timedelta(minutes=minutes)
                    yield Page(list(page), 0)

            monkeypatch.setattr(sync, "describe_all_instances", describe)

        monkeypatch.setattr(sync, "DatabaseClock", Clock)

        monkeypatch.setattr(read, "ThreadPoolExecutor", NoThreads)
        return show

    def instance(self, name, state=RUNNING, **times):
        return DescribedInstance(name, None, "m5.large", None, state, False, {}, **times)

    def unsure(self):
        return list(Correction.objects.order_by("id").values_list("unsure_from", "unsure_to"))

    def test_what_aws_tells_is_exact(self, testbed, ec2_shows):
        ec2_shows([])
        describe(testbed)
        known = make_instance(account=testbed.account, cloud_instance_id="i-2")
        make_event(instance=known, occurred_at=at(13))
        ec2_shows(
            [
                self.instance("i-1", launched_at=at(14)),
                self.instance("i-2", STOPPED, ended_at=at(15)),
            ]
        )
        with later(hours=6):
            describe(testbed)
        assert events()[1:] == [
            ("i-2", "power_off", at(15), None),
            ("i-1", "power_on", at(14), "m5.large"),
        ]
        assert self.unsure() == [(at(15), at(15)), (at(14), at(14))]
        assert [run[:3] for run in runs()] == [("i-1", at(14), None), ("i-2", at(13), at(15))]

    def test_what_ec2_itself_tells(self, aws, db, queued, regions):
        """Without anything in the place of EC2's answers."""
        regions.remove("eu-west-1")
        testbed = Testbed(aws, make_account(enabled_at=clock.now() - timedelta(hours=1)))
        describe(testbed)
        instance_id = testbed.instance(testbed.image())
        describe(testbed)
        shown = ec2(testbed).describe_instances()["Reservations"][0]["Instances"][0]
        assert events() == [(instance_id, "power_on", shown["LaunchTime"], "m5.large")]
        # EC2 tells whole seconds, and so an end within the second of the start is none.
        assert wait_for(lambda: clock.now() > shown["LaunchTime"] + timedelta(seconds=1))
        ec2(testbed).stop_instances(InstanceIds=[instance_id])
        stopped_at = clock.now()
        describe(testbed)
        (end,) = events()[1:]
        assert end[1] == "power_off"
        assert stopped_at - timedelta(seconds=2) < end[2] <= stopped_at
        assert end[2].microsecond == 0
        assert self.unsure()[-2:] == [(shown["LaunchTime"],) * 2, (end[2], end[2])]

    def test_what_it_does_not_tell_was_when_the_page_had_been_read(self, testbed, ec2_shows):
        """A scan that begins at 23:59 sees things of the next day."""
        ec2_shows([])
        with time_machine.travel(at(12), tick=False):
            describe(testbed)
        for name in ("i-2", "i-3"):
            known = make_instance(account=testbed.account, cloud_instance_id=name)
            make_event(instance=known, occurred_at=at(13))
        ec2_shows([self.instance("i-1")], [self.instance("i-2", STOPPED)], [], minutes=2)
        with time_machine.travel(at(23, 59), tick=False):
            describe(testbed)
        assert events()[2:] == [
            ("i-2", "power_off", at(0, 3, day=3), None),
            ("i-3", "power_off", at(0, 5, day=3), None),
            ("i-1", "power_on", at(0, 1, day=3), "m5.large"),
        ]
        assert self.unsure() == [
            (at(13), at(0, 3, day=3)),
            (at(13), at(0, 5, day=3)),
            (at(12), at(0, 1, day=3)),
        ]

    def test_a_look_that_did_not_know_of_an_event_confirmed_nothing(self, testbed, ec2_shows):
        known = make_instance(account=testbed.account, cloud_instance_id="i-2")
        ec2_shows([])
        with time_machine.travel(at(6), tick=False):
            describe(testbed)
        with time_machine.travel(at(9), tick=False):
            make_event(instance=known, occurred_at=at(5))
        with time_machine.travel(at(12), tick=False):
            describe(testbed)
        assert self.unsure() == [(at(5), at(12))]

    def test_nothing_is_unsure_before_the_account_was_enabled(self, testbed, ec2_shows):
        known = make_instance(account=testbed.account, cloud_instance_id="i-2")
        make_event(instance=known, occurred_at=at(5))
        CloudAccount.objects.update(enabled_at=at(6))
        ec2_shows([])
        describe(testbed)
        assert self.unsure() == [(at(6), NOW)]

    def test_facts_and_images_are_dated_by_the_page(self, testbed, ec2_shows):
        known = make_instance(account=testbed.account, cloud_instance_id="i-1")
        make_event(instance=known, occurred_at=at(5))
        shown = self.instance("i-1")._replace(image_id="ami-1", facts={"instance_type": "m5.large"})
        ec2_shows([], [shown], minutes=2)
        describe(testbed)
        assert InstanceFact.objects.get().observed_at == NOW + timedelta(minutes=4)
        assert self.unsure() == [(at(5), NOW + timedelta(minutes=4))]

    def test_instances_that_are_not_listed_yet_stay_on(self, testbed, ec2_shows, settings):
        """Decision 32."""
        known = make_instance(account=testbed.account, cloud_instance_id="i-2")
        make_event(instance=known, occurred_at=NOW - timedelta(minutes=9))
        ec2_shows([])
        describe(testbed)
        assert len(events()) == 1
        settings.AWS_DESCRIBE_GRACE = 60
        describe(testbed)
        assert events()[1:] == [("i-2", "power_off", NOW, None)]

    @pytest.mark.parametrize("minutes", [-5, 5])
    def test_a_worker_whose_clock_is_wrong_changes_no_dates(
        self, testbed, ec2_shows, monkeypatch, minutes
    ):
        """Decision 41: dates go by PostgreSQL's clock, whatever the worker's says."""
        monkeypatch.setattr(sync, "DatabaseClock", postgres.DatabaseClock)
        monkeypatch.setattr(
            sync, "describe_all_instances", lambda *_: iter([Page([self.instance("i-1")], 0)])
        )
        before = postgres.now()
        with time_machine.travel(before + timedelta(minutes=minutes)):
            describe(testbed)
        (event,) = events()
        assert before <= event[2] <= postgres.now()
        run = DescribeRun.objects.get()
        assert before <= run.started_at <= event[2] <= run.finished_at <= postgres.now()


def test_many_instances_are_read_in_pages_and_stored_in_groups(testbed, monkeypatch):
    made = [
        DescribedInstance(f"i-{place}", None, "m5.large", None, RUNNING, False, {})
        for place in range(50)
    ]
    pages = {"us-east-1": [made[:25]], "eu-west-1": [made[25:30], made[30:]]}
    monkeypatch.setattr(load, "INSTANCES_AT_ONCE", 20)
    monkeypatch.setattr(
        sync,
        "describe_all_instances",
        lambda arn, region: (Page(page, 0) for page in pages[region]),
    )
    describe(testbed)
    assert Instance.objects.count() == len(runs()) == 50


def test_reconciliation_is_spread_over_time(db, queued, settings):
    settings.AWS_RECONCILE_SCHEDULE = 4000
    accounts = [make_aws_account() for _ in range(4)]
    make_aws_account(is_enabled=False)
    make_aws_account(platform_application_is_paused=True)
    make_aws_account(is_synthetic=True)
    assert reconcile_accounts() == 4
    assert [(task.args, task.countdown) for task in queued] == [
        ((account.id,), 500.0 * place) for place, account in enumerate(accounts)
    ]
    assert set(queued.names) == {sync.DESCRIBE}


def test_the_spread_has_an_end(db, queued, settings):
    settings.AWS_RECONCILE_SCHEDULE = 1_000_000
    for _ in range(2):
        make_aws_account()
    reconcile_accounts()
    assert queued[1].countdown == 1800
