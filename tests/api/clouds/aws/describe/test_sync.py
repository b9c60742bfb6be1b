"""Descriptions of accounts, at first and again (spec 04 §7, §14; 09 P8)."""

import logging
from datetime import timedelta

import pytest
from botocore.exceptions import ClientError, EndpointConnectionError
from django.db import OperationalError, connection, transaction

from api.accounts.erasure import erase_instances
from api.clouds.aws.describe import load, read, sync
from api.clouds.aws.describe.ec2 import RUNNING, DescribedInstance, DescribedPage
from api.clouds.aws.describe.sync import reconcile_accounts
from api.clouds.aws.errors import AwsError
from api.clouds.provider import TransientCloudError
from api.models import CloudAccount, DescribeRun, Instance, InstanceEvent
from tests.api.clouds.aws.describe.scans import INSPECT, NOW, describe, ec2, later
from tests.api.clouds.aws.testbed import at, events, runs
from tests.factories import make_aws_account, make_aws_image, make_event, make_instance
from tests.threads import NoThreads, in_threads

pytestmark = pytest.mark.usefixtures("database_clock", "regions")


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
    sync.describe_account(account_id=999_999)
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


@pytest.mark.django_db(transaction=True)
def test_an_image_that_is_erased_meanwhile(transactional_db, testbed, monkeypatch):
    """It goes with the last customer who used it, between two statements of the scan."""
    ami_id = testbed.image()
    running = testbed.instance(ami_id)
    other = make_aws_account()
    make_instance(account=other, image=make_aws_image(cloud_image_id=ami_id))
    original, attempts = load.save_images, []

    def save_images(wanted):
        saved = original(wanted)
        attempts.append(saved.known[ami_id].id)
        if len(attempts) == 1:
            in_threads(erase)
        return saved

    def erase():
        with transaction.atomic():
            erase_instances(other)

    monkeypatch.setattr(load, "save_images", save_images)
    describe(testbed)
    assert len(set(attempts)) == len(attempts) == 2
    assert [event[:2] for event in events()] == [(running, "power_on")]
    assert Instance.objects.get().machine_image_id == attempts[1]
    assert set(DescribeRun.objects.values_list("outcome", flat=True)) == {"ok"}


def test_another_violated_constraint_is_an_error_of_its_region(testbed, regions, monkeypatch):
    """Only what is known to pass is tried again."""
    attempts = []

    def save_facts(_):
        attempts.append(1)
        DescribeRun.objects.create(cloud_account_id=-1, started_at=NOW)
        with connection.cursor() as cursor:
            cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")

    monkeypatch.setattr(load, "save_facts", save_facts)
    with pytest.raises(AwsError):
        describe(testbed)
    # All regions at once, then each of them alone.
    assert len(attempts) == 1 + len(regions)


def test_a_database_that_is_busy_is_no_matter_of_one_region(testbed, monkeypatch):
    def store_region_scans(*_):
        raise OperationalError("lock timeout")

    monkeypatch.setattr(load, "store_region_scans", store_region_scans)
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
        lambda arn, region: (DescribedPage(page, 0) for page in pages[region]),
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
