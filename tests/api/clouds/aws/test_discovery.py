"""Descriptions of accounts, at first and again (spec 04 §7, §14; 09 P4, P5, P8)."""

import logging
from datetime import timedelta

import pytest
import time_machine
from botocore.exceptions import ClientError, EndpointConnectionError

from api.clouds.aws import discovery
from api.clouds.aws.describe import RUNNING, DescribedInstance
from api.clouds.aws.discovery import describe_account, reconcile_accounts
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
from tests.api.clouds.aws.scene import Scene, at, events, make_account, runs
from tests.factories import make_aws_account, make_aws_image, make_event, make_instance

INSPECT = "api.tasks.start_image_inspections"
NOW = at(12)
STOPPED = 80


@pytest.fixture
def scene(aws, db, queued):
    """An account, with two regions only: all would take their time."""
    found = Scene(aws, make_account())
    with time_machine.travel(NOW, tick=False):
        yield found


@pytest.fixture(autouse=True)
def regions(monkeypatch):
    listed = ["us-east-1", "eu-west-1"]
    original = discovery.describe_regions

    def describe(arn):
        return [region for region in original(arn) if region in listed]

    monkeypatch.setattr(discovery, "describe_regions", describe)
    return listed


def describe(scene, **options):
    describe_account(account_id=scene.account.id, **options)


def ec2(scene, region="us-east-1"):
    return scene.aws.client("ec2", account_id=scene.account.aws_account_id, region=region)


def later(**options):
    return time_machine.travel(NOW + timedelta(**options), tick=False)


def test_scenario_28_five_instances(scene, queued):
    ami = scene.image()
    on = [scene.instance(ami), scene.instance(ami, "c5.large")]
    off = [scene.instance(ami), scene.instance(ami)]
    gone = scene.instance(ami)
    ec2(scene).stop_instances(InstanceIds=off)
    ec2(scene).terminate_instances(InstanceIds=[gone])
    describe(scene)
    assert set(Instance.objects.values_list("cloud_instance_id", flat=True)) == {*on, *off}
    assert sorted(events()) == sorted(
        [(on[0], "power_on", NOW, "m5.large"), (on[1], "power_on", NOW, "c5.large")]
    )
    assert len(runs()) == 2
    assert [task.args for task in queued.named(INSPECT)] == [
        ([[scene.account.account_arn, ami, "us-east-1"]],)
    ]
    with later(hours=1):
        describe(scene)
    assert len(events()) == 2
    ec2(scene).terminate_instances(InstanceIds=[on[0]])
    with later(hours=2):
        describe(scene)
    assert events()[2:] == [(on[0], "power_off", NOW + timedelta(hours=2), None)]
    assert [run[2] for run in runs() if run[0] == on[0]] == [NOW + timedelta(hours=2)]
    assert len(queued.named(INSPECT)) == 1


def test_subnets_are_stored(scene):
    instance_id = scene.instance(scene.image())
    described = ec2(scene).describe_instances(InstanceIds=[instance_id])
    subnet = described["Reservations"][0]["Instances"][0]["SubnetId"]
    describe(scene)
    assert InstanceEvent.objects.get().subnet == subnet


@pytest.mark.parametrize(
    "columns",
    [{"is_enabled": False}, {"platform_application_is_paused": True}, {"is_synthetic": True}],
)
def test_scenario_29_accounts_that_are_not_described(scene, columns):
    CloudAccount.objects.update(**columns)
    describe(scene)
    assert scene.aws.calls() == []
    assert not DescribeRun.objects.exists()


def test_an_account_that_is_gone(scene):
    describe_account(account_id=999_999)
    assert scene.aws.calls() == []


@pytest.mark.parametrize("action", ["DescribeRegions", "DescribeInstances"])
def test_scenario_30_throttling_is_retried(scene, action):
    scene.instance(scene.image())
    scene.aws.refuse("ec2", action, "RequestLimitExceeded")
    with pytest.raises(TransientCloudError):
        describe(scene)
    assert not Instance.objects.exists()
    assert {run.outcome for run in DescribeRun.objects.all()} == {"throttled"}


def test_access_denied_ends_quietly(scene):
    scene.aws.refuse("ec2", "DescribeRegions", "UnauthorizedOperation")
    known = make_instance(account=scene.account, cloud_instance_id="i-1")
    make_event(instance=known, occurred_at=at(1))
    describe(scene)
    (run,) = DescribeRun.objects.all()
    assert (run.outcome, run.region, run.error_code) == ("denied", None, "UnauthorizedOperation")
    assert len(events()) == 1


def test_other_errors_are_raised(scene):
    scene.aws.refuse("ec2", "DescribeInstances", "Weird")
    with pytest.raises(ClientError):
        describe(scene)


class Broken:
    """Fails to describe the instances of one region."""

    def __init__(self, monkeypatch, region, error):
        original = discovery.describe_all_instances

        def describe(arn, asked):
            if asked == region:
                raise error
            return original(arn, asked)

        monkeypatch.setattr(discovery, "describe_all_instances", describe)


def test_a_region_that_fails_spoils_no_other_one(scene, monkeypatch):
    ami = scene.image()
    running = scene.instance(ami)
    for name, region in (("i-there", "eu-west-1"), ("i-here", "us-east-1")):
        known = make_instance(account=scene.account, cloud_instance_id=name, region=region)
        make_event(instance=known, occurred_at=at(1))
    Broken(monkeypatch, "eu-west-1", EndpointConnectionError(endpoint_url="x"))
    with pytest.raises(TransientCloudError, match="eu-west-1"):
        describe(scene)
    assert {event[:2] for event in events() if event[2] == NOW} == {
        (running, "power_on"),
        ("i-here", "power_off"),
    }
    assert dict(DescribeRun.objects.values_list("region", "outcome")) == {
        "us-east-1": "ok",
        "eu-west-1": "failed",
    }


def test_a_region_that_refuses_is_left_out_quietly(scene, monkeypatch, caplog):
    refusal = ClientError({"Error": {"Code": "AuthFailure"}}, "DescribeInstances")
    Broken(monkeypatch, "eu-west-1", refusal)
    with caplog.at_level(logging.WARNING):
        describe(scene)
    assert "eu-west-1" in caplog.text


def test_a_repeated_attempt_asks_only_what_was_not_read(scene, monkeypatch):
    with monkeypatch.context() as context:
        Broken(context, "eu-west-1", EndpointConnectionError(endpoint_url="x"))
        with pytest.raises(TransientCloudError):
            describe(scene)
    before = len(scene.aws.calls())
    with later(minutes=2):
        describe(scene, resume=True)
    asked = [
        call["region"]
        for call in scene.aws.calls()[before:]
        if call["action"] == "DescribeInstances"
    ]
    assert asked == ["eu-west-1"]


def test_but_not_what_was_read_before_the_account_was_enabled_again(scene):
    describe(scene)
    with later(minutes=2):
        CloudAccount.objects.update(enabled_at=NOW + timedelta(minutes=1))
        describe(scene, resume=True)
    assert DescribeRun.objects.filter(outcome="ok").count() == 4


def test_what_is_absent_or_not_running_is_off(scene):
    ami = scene.image()
    stopped = scene.instance(ami)
    ec2(scene).stop_instances(InstanceIds=[stopped])
    for name in (stopped, "i-absent", "i-off"):
        known = make_instance(account=scene.account, cloud_instance_id=name)
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
    describe(scene)
    new = {event for event in events() if event[2] == NOW}
    assert new == {(stopped, "power_off", NOW, None), ("i-absent", "power_off", NOW, None)}


def test_instances_of_regions_that_are_closed_are_off(scene):
    known = make_instance(account=scene.account, cloud_instance_id="i-1", region="ap-south-1")
    make_event(instance=known, occurred_at=at(1))
    describe(scene)
    assert events()[1:] == [("i-1", "power_off", NOW, None)]


def test_other_accounts_instances_are_left_alone(scene):
    other = make_aws_account()
    known = make_instance(account=other, cloud_instance_id="i-1")
    make_event(instance=known, occurred_at=at(1))
    describe(scene)
    assert len(events()) == 1


def test_an_instance_of_another_account_is_dropped(scene, caplog):
    instance_id = scene.instance(scene.image())
    other = make_aws_account()
    make_instance(account=other, cloud_instance_id=instance_id)
    describe(scene)
    assert events() == []
    assert "another account" in caplog.text
    assert Instance.objects.get().cloud_account == other


def test_an_attribute_change_makes_no_second_power_on(scene):
    instance_id = scene.instance(scene.image())
    known = make_instance(account=scene.account, cloud_instance_id=instance_id)
    make_event(instance=known, occurred_at=at(1))
    make_event(instance=known, occurred_at=at(2), event_type="attribute_change")
    describe(scene)
    assert len(events()) == 2


def test_what_is_newer_than_the_look_wins(scene, monkeypatch):
    """A log that was stored while the account was being read knows better."""
    known = make_instance(account=scene.account, cloud_instance_id="i-1")
    make_event(instance=known, occurred_at=at(1))

    def meanwhile(arn, region):
        make_event(instance=known, event_type="power_off", occurred_at=NOW - timedelta(seconds=9))
        make_event(instance=known, occurred_at=NOW + timedelta(seconds=1))
        return iter(())

    monkeypatch.setattr(discovery, "REGIONS_AT_ONCE", 1)
    monkeypatch.setattr(discovery, "_read_regions", _reading(meanwhile))
    describe(scene)
    assert NOW not in {event[2] for event in events()}


def _reading(listed):
    def read(account, regions):
        look = discovery.Look("us-east-1", NOW, NOW)
        look.instances = list(listed(None, "us-east-1"))
        return [look]

    return read


class TestImages:
    def image(self, ami):
        return MachineImage.objects.get(cloud_image_id=ami)

    def test_that_aws_does_not_return(self, scene, queued):
        ami = scene.image()
        scene.instance(ami)
        ec2(scene).deregister_image(ImageId=ami)
        describe(scene)
        stub = self.image(ami)
        assert (stub.status, stub.region, stub.name) == ("unavailable", "us-east-1", None)
        assert INSPECT not in queued.names

    def test_windows_is_told_by_the_instance(self, scene, queued):
        ami = scene.image("Windows")
        scene.instance(ami)
        describe(scene)
        assert (self.image(ami).platform, self.image(ami).status) == ("windows", "inspected")
        assert INSPECT not in queued.names

    def test_from_the_marketplace_are_started_all_the_same(self, scene, queued):
        ami = scene.image()
        ec2(scene).modify_image_attribute(ImageId=ami, ProductCodes=["abc"])
        scene.instance(ami)
        describe(scene)
        assert (self.image(ami).status, self.image(ami).marketplace) == ("inspected", True)
        assert [task.args[0][0][1] for task in queued.named(INSPECT)] == [ami]

    def test_tags_count(self, scene):
        ami = scene.image()
        ec2(scene).create_tags(
            Resources=[ami], Tags=[{"Key": "cloudigrade-ocp-present", "Value": "x"}]
        )
        scene.instance(ami)
        describe(scene)
        assert self.image(ami).openshift_detected

    def test_known_ones_are_not_described(self, scene, queued):
        ami = scene.image()
        make_aws_image(cloud_image_id=ami)
        scene.instance(ami)
        describe(scene)
        assert scene.asked("DescribeImages") == []
        assert INSPECT not in queued.names

    def test_that_were_not_shown_before_are_filled_in(self, scene, queued):
        ami = scene.image()
        make_aws_image(cloud_image_id=ami, status="unavailable", name=None)
        scene.instance(ami)
        describe(scene)
        assert (self.image(ami).status, self.image(ami).name is None) == ("pending", False)
        assert [task.args[0][0][1] for task in queued.named(INSPECT)] == [ami]

    def test_a_failure_fails_their_region_only(self, scene):
        scene.instance(scene.image())
        known = make_instance(account=scene.account, region="eu-west-1")
        make_event(instance=known, occurred_at=at(1))
        scene.aws.refuse("ec2", "DescribeImages", "RequestLimitExceeded")
        with pytest.raises(TransientCloudError):
            describe(scene)
        assert [event[1] for event in events()] == ["power_on", "power_off"]


class TestRecords:
    def test_each_region_is_recorded(self, scene):
        scene.instance(scene.image())
        describe(scene)
        rows = DescribeRun.objects.order_by("region").values_list(
            "region", "kind", "outcome", "listed", "running"
        )
        assert list(rows) == [
            ("eu-west-1", "initial", "ok", 0, 0),
            ("us-east-1", "initial", "ok", 1, 1),
        ]

    def test_origins(self, scene):
        scene.instance(scene.image())
        describe(scene)
        event = InstanceEvent.objects.get()
        run = DescribeRun.objects.get(region="us-east-1")
        assert (event.origin, event.source_id) == ("describe_initial", str(run.id))
        assert event.source_name == "DescribeInstances"

    def test_the_first_look_corrects_nothing(self, scene):
        scene.instance(scene.image())
        describe(scene)
        assert not Correction.objects.exists()

    def test_later_looks_do(self, scene):
        ami = scene.image()
        first = scene.instance(ami)
        describe(scene)
        with later(hours=1):
            second = scene.instance(ami)
            describe(scene)
        with later(hours=2):
            ec2(scene).stop_instances(InstanceIds=[first])
            describe(scene)
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

    def test_an_event_is_a_later_doubt_than_the_last_look(self, scene):
        instance_id = scene.instance(scene.image())
        describe(scene)
        known = Instance.objects.get(cloud_instance_id=instance_id)
        make_event(instance=known, event_type="power_off", occurred_at=NOW + timedelta(minutes=30))
        with later(hours=1):
            describe(scene)
        assert Correction.objects.get().unsure_from == NOW + timedelta(minutes=30)

    def test_what_we_switched_off_ourselves_was_not_missed(self, scene):
        instance_id = scene.instance(scene.image())
        known = make_instance(account=scene.account, cloud_instance_id=instance_id)
        make_event(instance=known, event_type="power_off", occurred_at=at(3), origin="disable")
        describe(scene)
        assert events()[-1][:2] == (instance_id, "power_on")
        assert [one.kind for one in Correction.objects.all()] == ["image_filled"]

    def test_after_the_account_was_enabled_again_the_look_is_a_first_one(self, scene):
        describe(scene)
        CloudAccount.objects.update(enabled_at=NOW + timedelta(minutes=1))
        with later(hours=1):
            scene.instance(scene.image())
            describe(scene)
        assert InstanceEvent.objects.get().origin == "describe_initial"

    def test_facts(self, scene):
        scene.instance(scene.image(), "c5.large")
        describe(scene)
        with later(hours=1):
            describe(scene)
        fact = InstanceFact.objects.get()
        assert (fact.instance_type, fact.source) == ("c5.large", "describe_initial")


class TestWhileAwsIsAsked:
    """What the lock shows when all is read (spec 04 §7.1)."""

    def disturbed(self, scene, monkeypatch, disturb):
        scene.instance(scene.image())
        original = discovery._read_images

        def read(*args):
            disturb()
            return original(*args)

        monkeypatch.setattr(discovery, "_read_images", read)
        describe(scene)
        assert not Instance.objects.exists()

    def test_the_account_may_vanish(self, scene, monkeypatch):
        self.disturbed(scene, monkeypatch, lambda: scene.account.delete())

    def test_the_user_may_vanish(self, scene, monkeypatch):
        self.disturbed(scene, monkeypatch, lambda: scene.account.user.delete())

    def test_the_account_may_be_disabled(self, scene, monkeypatch):
        change = lambda: CloudAccount.objects.update(is_enabled=False)  # noqa: E731
        self.disturbed(scene, monkeypatch, change)

    def test_the_account_may_get_another_role(self, scene, monkeypatch):
        change = lambda: CloudAccount.objects.update(account_arn="arn:aws:iam::9:role/x")  # noqa: E731
        self.disturbed(scene, monkeypatch, change)


def test_many_instances_are_read_in_pages_and_stored_in_groups(scene, monkeypatch):
    made = [
        DescribedInstance(f"i-{place}", None, "m5.large", None, RUNNING, False, {})
        for place in range(50)
    ]
    monkeypatch.setattr(discovery, "INSTANCES_AT_ONCE", 20)
    monkeypatch.setattr(
        discovery,
        "describe_all_instances",
        lambda arn, region: iter(made[:25] if region == "us-east-1" else made[25:]),
    )
    describe(scene)
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
    assert set(queued.names) == {discovery.DESCRIBE}


def test_the_spread_has_an_end(db, queued, settings):
    settings.AWS_RECONCILE_SCHEDULE = 1_000_000
    for _ in range(2):
        make_aws_account()
    reconcile_accounts()
    assert queued[1].countdown == 1800
