"""Storing a scan: how many statements, and what is remembered (spec 06 §5; 09 P1, P4, P5, P14)."""

import datetime
import re
from uuid import UUID

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from prometheus_client import REGISTRY

from api.clouds.azure.errors import AzureBusyError, AzureRefusedError
from api.clouds.azure.load import Polled, store_scan
from api.clouds.azure.scan import Scan
from api.clouds.azure.transform import ImageKey
from api.models import (
    CloudAccount,
    Correction,
    DescribeRun,
    Instance,
    InstanceEvent,
    InstanceFact,
    MachineImage,
    Run,
    StaleUsage,
)
from deployment.local.azure_resources import RHEL_IMAGE
from tests.api.clouds.azure.conftest import NOW, SUBSCRIPTION, machine, scan
from tests.factories import make_azure_account, make_event, make_instance

pytestmark = pytest.mark.django_db

HOUR = datetime.timedelta(hours=1)
WRITES = re.compile(r"^\s*(WITH|INSERT|UPDATE|DELETE)")


def store(account: CloudAccount, found: Scan, *, started: datetime.datetime | None = None) -> bool:
    moment = started or datetime.datetime.now(datetime.UTC)
    return store_scan(Polled(account.id, UUID(SUBSCRIPTION), moment), found) is not None


def many(number: int, **more) -> list[dict]:
    return [
        machine(f"m{n}", image={**RHEL_IMAGE, "sku": f"sku{n % 10}"}, **more) for n in range(number)
    ]


def queries(action) -> list[str]:
    with CaptureQueriesContext(
        connection,
    ) as captured:
        action()
    return [query["sql"] for query in captured if "SAVEPOINT" not in query["sql"]]


class TestStatements:
    @pytest.mark.parametrize(
        ("first", "second"),
        [([], many), (many, []), (many, many)],
        ids=["first poll", "all vanish", "unchanged"],
    )
    def test_their_number_is_constant(self, account, clock, first, second):
        counts = []
        for number in (10, 1000):
            if first:
                store(account, scan(*first(number)))
            clock.shift(HOUR)
            seen = scan(*second(number)) if second else scan()
            counts.append(len(queries(lambda seen=seen: store(account, seen))))
            account.instances.all().delete()
            MachineImage.objects.all().delete()
            DescribeRun.objects.all().delete()
        assert counts[0] == counts[1] < 40

    @pytest.mark.slow
    def test_ten_thousand_machines(self, account, clock):
        machines = many(10_000)
        assert len(queries(lambda: store(account, scan(*machines)))) < 40 * 10
        assert Run.objects.count() == 10_000
        # PostgreSQL may have planned the checks of foreign keys for empty tables, in this session.
        with connection.cursor() as cursor:
            cursor.execute("ANALYZE api_instance, api_machineimage, api_cloudaccount")
        clock.shift(HOUR)
        assert len(queries(lambda: store(account, scan(*machines)))) < 40

    def test_an_unchanged_poll_writes_its_own_record_only(self, account, clock):
        store(account, scan(*many(10, tags={"cloudigrade-rhel-present": ""})))
        clock.shift(HOUR)
        unchanged = scan(*many(10, tags={"cloudigrade-rhel-present": ""}))
        made = queries(lambda: store(account, unchanged))
        written = {sql.split('"')[1] for sql in made if WRITES.match(sql)}
        assert written == {"api_describerun", "api_usertasklock"}


class TestImages:
    def test_a_tag_that_comes_and_goes(self, account, clock):
        store(account, scan(machine("a")))
        image = MachineImage.objects.get()
        facts = image.facts.order_by("id")
        assert [fact.reason for fact in facts] == ["describe"]
        clock.shift(HOUR)
        store(account, scan(machine("a"), machine("b", tags={"cloudigrade-rhel-present": "x"})))
        image.refresh_from_db()
        assert image.is_rhel
        clock.shift(HOUR)
        store(account, scan(machine("a"), machine("b")))
        image.refresh_from_db()
        assert not image.is_rhel
        assert [(fact.reason, fact.is_rhel) for fact in facts.all()] == [
            ("describe", False),
            ("tag", True),
            ("tag", False),
        ]
        runs = DescribeRun.objects.order_by("id").values_list("id", flat=True)
        assert [fact.ref for fact in facts.all()] == [str(run_id) for run_id in runs]
        assert StaleUsage.objects.filter(user=account.user, cause="image_changed").exists()

    def test_an_incomplete_scan_takes_no_tag_away(self, account):
        tagged = machine("a", tags={"cloudigrade-rhel-present": ""})
        store(account, scan(tagged))
        store(account, scan(machine("b"), problem=AzureBusyError("x")))
        assert MachineImage.objects.get().is_rhel

    def test_two_subscriptions_of_one_customer(self, account):
        other = make_azure_account(user=account.user)
        store(account, scan(machine("a", tags={"cloudigrade-rhel-present": ""})))
        elsewhere = machine("a") | {"id": f"/subscriptions/{other.subscription_id}/a"}
        moment = datetime.datetime.now(datetime.UTC)
        store_scan(Polled(other.id, other.subscription_id, moment), scan(elsewhere))
        image = MachineImage.objects.get()
        assert image.is_rhel
        assert image.instances.count() == 2

    def test_customers_do_not_decide_for_each_other(self, account):
        stranger = make_azure_account()
        store(account, scan(machine("a", tags={"cloudigrade-rhel-present": ""})))
        elsewhere = machine("a") | {"id": f"/subscriptions/{stranger.subscription_id}/a"}
        moment = datetime.datetime.now(datetime.UTC)
        store_scan(Polled(stranger.id, stranger.subscription_id, moment), scan(elsewhere))
        by_user = dict(MachineImage.objects.values_list("user_id", "is_rhel"))
        assert by_user == {account.user_id: True, stranger.user_id: False}

    def test_publishers_with_the_same_sku_have_images_of_their_own(self, account):
        other = {**RHEL_IMAGE, "publisher": "canonical"}
        store(account, scan(machine("a"), machine("b", image=other)))
        assert MachineImage.objects.filter(cloud_image_id="82gen2").count() == 2

    @pytest.mark.parametrize(("detection", "is_rhel"), [("license", True), ("tag", False)])
    def test_licences(self, account, settings, detection, is_rhel):
        settings.AZURE_RHEL_DETECTION = detection
        store(account, scan(machine("a", licenseType="RHEL_BYOS")))
        image = MachineImage.objects.get()
        assert image.is_rhel is is_rhel
        assert not image.rhel_detected_by_tag

    def test_a_pay_as_you_go_machine_does_not_count(self, account, settings):
        settings.AZURE_RHEL_DETECTION = "license"
        store(account, scan(machine("a", licenseType="RHEL_BASE")))
        assert not MachineImage.objects.get().is_rhel

    def test_the_detection_is_switched(self, account, settings):
        settings.AZURE_RHEL_DETECTION = "license"
        byos = machine("a", licenseType="RHEL_BYOS")
        store(account, scan(byos))
        settings.AZURE_RHEL_DETECTION = "tag"
        store(account, scan(byos))
        assert not MachineImage.objects.get().is_rhel

    def test_an_architecture_that_is_learnt_later(self, account, clock):
        store(account, scan(machine("a")))
        assert MachineImage.objects.get().architecture is None
        later = scan(machine("a"))
        later.architectures = {ImageKey("redhat", "rhel", "82gen2"): "x64"}
        clock.shift(HOUR)
        store(account, later)
        image = MachineImage.objects.get()
        assert image.architecture == "x64"
        assert [fact.architecture for fact in image.facts.order_by("id")] == [None, "x64"]
        assert StaleUsage.objects.filter(user=account.user, cause="image_changed").exists()

    def test_a_machine_gets_another_image(self, account, clock):
        store(account, scan(machine("a")))
        clock.shift(HOUR)
        store(account, scan(machine("a", image={"id": "/gold"})))
        assert Instance.objects.get().machine_image.cloud_image_id == "/gold"
        assert Run.objects.get().machine_image.cloud_image_id == "82gen2"

    def test_a_first_image_reaches_the_run(self, account, clock):
        store(account, scan(machine("a", image=None)))
        assert Run.objects.get().machine_image is None
        clock.shift(HOUR)
        store(account, scan(machine("a")))
        assert Run.objects.get().machine_image.cloud_image_id == "82gen2"


class TestRecords:
    """Spec 09 P1, P4, P5, P14."""

    def test_each_event_has_an_origin(self, account):
        store(account, scan(machine("a")))
        event = InstanceEvent.objects.get()
        run = DescribeRun.objects.get()
        assert (event.origin, event.source_id) == ("azure_poll", str(run.id))
        assert event.cloud_account == account

    def test_a_poll_is_recorded(self, account, clock):
        clock.shift(120)
        store(account, scan(machine("a"), machine("b", power="stopped")), started=NOW)
        run = DescribeRun.objects.get()
        assert (run.kind, run.outcome, run.error_code) == ("azure_poll", "ok", "")
        assert run.unreadable is None
        finished = NOW + datetime.timedelta(minutes=2)
        assert (run.started_at, run.finished_at, run.region) == (NOW, finished, None)
        assert (run.listed, run.running) == (2, 1)

    def test_how_old_new_events_are_is_measured(self, account, clock):
        """Each by the poll that saw it, and by nobody else's (spec 10 §2)."""
        labels = {"cloud": "azure"}

        def measured():
            name = "cloudigrade_ingest_event_age_seconds"
            return [
                REGISTRY.get_sample_value(f"{name}_{part}", labels) or 0
                for part in ("count", "sum")
            ]

        count, total = measured()
        clock.shift(120)
        store(account, scan(machine("a"), machine("b")), started=NOW)
        ages = [
            (DescribeRun.objects.get().finished_at - event.occurred_at).total_seconds()
            for event in InstanceEvent.objects.all()
        ]
        assert len(ages) == 2
        assert measured() == [count + 2, pytest.approx(total + sum(ages))]
        store(account, scan(machine("a"), machine("b")))
        assert measured()[0] == count + 2

    @pytest.mark.parametrize(
        ("status", "outcome"), [(429, "throttled"), (500, "failed"), (None, "failed")]
    )
    def test_an_incomplete_poll_is_recorded(self, account, status, outcome):
        problem = AzureBusyError("Code", status=status)
        store(account, scan(machine("a"), problem=problem))
        run = DescribeRun.objects.get()
        assert (run.outcome, run.error_code, run.listed) == (outcome, "Code", 1)

    def test_nothing_is_corrected_by_the_first_poll(self, account):
        store(account, scan(machine("a"), machine("b", power="stopped")))
        assert not Correction.objects.exists()

    def test_it_is_not_sure_when_a_machine_was_switched(self, account, clock):
        store(account, scan(machine("a"), machine("b", power="stopped")))
        clock.shift(HOUR)
        store(account, scan(machine("a", power="stopped"), machine("b"), machine("c")))
        run = DescribeRun.objects.order_by("-id").first()
        found = {
            row.instance.cloud_instance_id[-1]: row
            for row in Correction.objects.select_related("instance")
        }
        assert {name: row.kind for name, row in found.items()} == {
            "a": "missed_off",
            "b": "missed_on",
            "c": "missed_on",
        }
        for row in found.values():
            assert (row.unsure_from, row.unsure_to) == (NOW, NOW + HOUR)
            assert (row.describe_run, row.cloud_account) == (run, account)
            event = InstanceEvent.objects.get(id=row.event_id)
            assert (event.instance_id, event.occurred_at) == (row.instance_id, NOW + HOUR)

    def test_a_later_event_makes_it_surer(self, account, clock):
        store(account, scan(machine("a")))
        clock.shift(HOUR)
        store(account, scan(machine("a", size="Standard_B4ms"), problem=AzureBusyError("x")))
        clock.shift(HOUR)
        store(account, scan())
        assert Correction.objects.get().unsure_from == NOW + HOUR

    def test_what_we_ended_ourselves_is_not_corrected(self, account, clock):
        store(account, scan(machine("a")))
        clock.shift(HOUR)
        instance = Instance.objects.get()
        make_event(instance=instance, event_type="power_off", origin="pause")
        clock.shift(HOUR)
        CloudAccount.objects.update(enabled_at=NOW + 2 * HOUR)
        account.refresh_from_db()
        store(account, scan(machine("a"), machine("b")))
        assert InstanceEvent.objects.count() == 4
        assert not Correction.objects.exists()

    def test_facts_are_kept_on_change(self, account, clock):
        plan = {"name": "n", "publisher": "p", "product": "o"}
        store(account, scan(machine("a", plan=plan, licenseType="RHEL_BASE")))
        clock.shift(HOUR)
        store(account, scan(machine("a", plan=plan, licenseType="RHEL_BASE")))
        store(account, scan(machine("a", plan=plan, licenseType="RHEL_BYOS")))
        first, second = InstanceFact.objects.order_by("id")
        assert (first.source, first.observed_at) == ("azure_poll", NOW)
        assert (first.instance_type, first.licenses) == ("Standard_B1s", ["RHEL_BASE"])
        assert first.image == {
            "publisher": "RedHat",
            "offer": "RHEL",
            "sku": "82gen2",
            "plan": plan,
        }
        assert (second.licenses, second.observed_at) == (["RHEL_BYOS"], NOW + HOUR)


class TestTurns:
    @pytest.mark.parametrize("problem", [None, AzureBusyError("x"), AzureRefusedError("x")])
    def test_a_poll_that_was_overtaken_is_dropped(self, account, clock, problem):
        """Decision 33: whatever came of the newer one."""
        clock.shift(HOUR)
        store(account, scan(machine("a"), problem=problem))
        overtaken = NOW + HOUR - datetime.timedelta(seconds=1)
        assert not store(account, scan(), started=overtaken)
        assert InstanceEvent.objects.count() == DescribeRun.objects.count() == 1

    def test_a_poll_that_was_dropped_overtakes_nothing(self, account, clock):
        """Decision 51: a skipped poll is no poll."""
        CloudAccount.objects.update(platform_application_is_paused=True)
        clock.shift(HOUR)
        assert not store(account, scan())
        CloudAccount.objects.update(platform_application_is_paused=False)
        assert store(account, scan(machine("a")), started=NOW + HOUR / 2)

    def test_a_poll_of_before_the_account_was_enabled_is_dropped(self, account, clock):
        """Decision 33: as when it was paused and went on while Azure answered."""
        CloudAccount.objects.update(enabled_at=NOW + HOUR)
        clock.shift(2 * HOUR)
        just_before = NOW + HOUR - datetime.timedelta(microseconds=1)
        assert not store(account, scan(machine("a")), started=just_before)
        assert not DescribeRun.objects.exists()
        assert store(account, scan(machine("a")), started=NOW + HOUR)

    def test_a_record_from_the_future_overtakes_nothing(self, account):
        """As a fast worker of an older version wrote it."""
        future = datetime.datetime(2100, 1, 1, tzinfo=datetime.UTC)
        DescribeRun.objects.create(
            cloud_account=account, kind="azure_poll", outcome="ok", started_at=future
        )
        assert store(account, scan(machine("a")))

    @pytest.mark.parametrize(
        "column", ["is_synthetic", "platform_application_is_paused", "is_enabled"]
    )
    def test_an_account_that_is_not_polled_any_more(self, account, column):
        setattr(account, column, column != "is_enabled")
        account.save()
        assert not store(account, scan(machine("a")))
        assert not DescribeRun.objects.exists()

    def test_the_lock_is_given_back(self, account):
        store(account, scan(machine("a")))
        assert not account.user.task_lock.locked

    def test_a_machine_that_another_account_has_is_left_out(self, account, caplog):
        make_instance(account=make_azure_account(), cloud_instance_id=machine("a")["id"].upper())
        store(account, scan(machine("a"), machine("b")))
        assert [event.instance.cloud_instance_id[-1] for event in InstanceEvent.objects.all()] == [
            "b"
        ]
        assert account.instances.count() == 1

    def test_a_long_id_is_stored_in_full(self, account):
        name = "a" * 900
        store(account, scan(machine(name)))
        assert Instance.objects.get().cloud_instance_id.endswith(name)
