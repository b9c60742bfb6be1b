"""What descriptions of accounts write down, and how it is dated (spec 04 §7; 09 P4, P5)."""

from datetime import timedelta

import pytest
import time_machine

from api.clouds.aws.describe import read, sync
from api.clouds.aws.describe.ec2 import RUNNING, DescribedInstance, DescribedPage
from api.models import CloudAccount, Correction, DescribeRun, Instance, InstanceEvent, InstanceFact
from tests.api.clouds.aws.describe.scans import NOW, describe, ec2, later
from tests.api.clouds.aws.testbed import Testbed, at, events, make_account, runs
from tests.deployment.processes import wait_for
from tests.factories import make_event, make_instance
from tests.threads import NoThreads
from util import clock, postgres

pytestmark = pytest.mark.usefixtures("database_clock", "regions")

STOPPED = 80


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
                    yield DescribedPage(list(page), 0)

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
            sync,
            "describe_all_instances",
            lambda *_: iter([DescribedPage([self.instance("i-1")], 0)]),
        )
        before = postgres.now()
        with time_machine.travel(before + timedelta(minutes=minutes)):
            describe(testbed)
        (event,) = events()
        assert before <= event[2] <= postgres.now()
        run = DescribeRun.objects.get()
        assert before <= run.started_at <= event[2] <= run.finished_at <= postgres.now()
