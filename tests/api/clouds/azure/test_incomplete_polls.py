"""What polls conclude when Azure does not tell everything (fault 5; decisions 33, 51)."""

import datetime
import json
from contextlib import suppress
from pathlib import Path

import pytest
import redis
from celery.exceptions import Retry
from celery.result import EagerResult
from django.core.cache import cache

from api.accounts.lifecycle import pause_application, unpause_application
from api.accounts.states import API
from api.clouds.azure import describe
from api.clouds.azure.discovery import discover_account, poll_subscription
from api.clouds.azure.errors import AzureBusyError, AzureLoginError
from api.models import CloudAccount, Correction, DescribeRun, Instance, InstanceEvent, MachineImage
from api.tasks import azure as tasks
from deployment.local import azure_resources as resources
from tests.api.clouds.azure.conftest import NOW, SUBSCRIPTION, calls, machine, powers

pytestmark = pytest.mark.django_db

HOUR = datetime.timedelta(hours=1)
RHEL_TAG = {"cloudigrade-rhel-present": ""}
INPUT = Path(__file__).with_name("flexible_scale_set.json")


def member(number: int, scale_set: str = "web", **more) -> dict:
    return resources.machine(
        resources.scale_set_machine_id(SUBSCRIPTION, scale_set, number), **more
    )


def poll() -> None:
    """Poll, whatever becomes of it."""
    with suppress(AzureBusyError):
        poll_subscription(subscription_id=SUBSCRIPTION)


def runs() -> list[tuple[str, str]]:
    return list(DescribeRun.objects.order_by("id").values_list("outcome", "error_code"))


@pytest.fixture
def discovered(azure, account, clock):
    """Machines a and b, c that is off, and two machines of each of two scale sets, an hour ago."""
    azure.delegate(
        SUBSCRIPTION,
        machines=[machine("a"), machine("b"), machine("c", power="deallocated")],
        scale_sets=[
            resources.scale_set("web", member(0), member(1)),
            resources.scale_set("db", member(2, "db"), member(3, "db")),
        ],
    )
    discover_account(account_id=account.id)
    clock.shift(HOUR)
    return account


def vanish(azure, *, machines: str = "", web: str = "") -> None:
    """Leave nothing but these machines."""
    azure.delegate(
        SUBSCRIPTION,
        machines=[machine(name) for name in machines],
        scale_sets=[
            resources.scale_set("web", *(member(int(number)) for number in web)),
            resources.scale_set("db"),
        ],
    )


class TestFlexibleScaleSets:
    def test_the_reported_one(self, azure, account, clock):
        """The machines that vanished end at the second poll, with no V4 call ever."""
        story = json.loads(INPUT.read_text())
        for name in ("poll 1", "poll 2"):
            answers = story[name]
            azure.reset()
            azure.delegate(SUBSCRIPTION)
            azure.fail("virtualMachines\\?api[^&]*$", status=200, body={"value": answers["V1"]})
            azure.fail("statusOnly", status=200, body={"value": answers["V2"]})
            azure.fail("ScaleSets\\?", status=200, body={"value": answers["V3"]})
            azure.fail("ScaleSets/flex/", **answers["V4 flex"])
            poll()
            assert "V4" not in calls(azure)
            clock.shift(HOUR)
        assert powers("plain") == powers("flex_1") == ["power_on", "power_off"]
        assert runs() == [("ok", ""), ("ok", "")]


class TestScaleSets:
    @pytest.mark.parametrize(
        "fault",
        [
            {"status": 403, "code": "AuthorizationFailed"},
            {"status": 400, "code": "BadRequest"},
            {"status": 404, "code": "ParentResourceNotFound"},
            {"status": 404, "body": "<html>404"},
            {"status": 500},
            {"status": 429, "retry_after": 3600},
        ],
    )
    def test_one_that_stays_refused_exempts_its_own_machines_for_as_long(
        self, azure, discovered, clock, fault
    ):
        vanish(azure)
        azure.fail("ScaleSets/web/", **fault)
        for _ in range(3):
            poll()
            clock.shift(HOUR)
        for ended in ("a", "b", "2", "3"):
            assert powers(ended) == ["power_on", "power_off"]
        assert powers("0") == powers("1") == ["power_on"]
        assert runs()[1:] == [("ok", "")] * 3
        azure.reset()
        vanish(azure, web="1")
        poll()
        assert powers("0") == ["power_on", "power_off"]
        assert powers("1") == ["power_on"]

    def test_the_record_of_the_poll_names_it(self, azure, discovered):
        azure.fail("ScaleSets/web/", status=403)
        poll()
        newest = DescribeRun.objects.latest("id")
        assert newest.unreadable == [member(0)["id"].partition("/virtualMachines/")[0].lower()]
        assert newest.listed == 5

    def test_what_its_first_page_shows_as_stopped_ends(self, azure, discovered):
        azure.set_page_size(1)
        azure.delegate(
            SUBSCRIPTION,
            scale_sets=[resources.scale_set("web", member(0, power="stopped"), member(1))],
        )
        azure.fail("ScaleSets/web/.*skiptoken", status=500)
        poll()
        assert powers("0") == ["power_on", "power_off"]
        assert powers("1") == ["power_on"]

    @pytest.mark.parametrize("code", ["ResourceNotFound", "NotFound", "ResourceGroupNotFound"])
    def test_one_that_is_gone_takes_its_machines_with_it(self, azure, discovered, code):
        azure.fail("ScaleSets/web/", status=404, code=code)
        poll()
        assert powers("0") == powers("1") == ["power_on", "power_off"]
        assert powers("2") == ["power_on"]

    def test_a_subscription_that_is_not_found_ends_nothing(self, azure, discovered):
        vanish(azure)
        azure.fail("ScaleSets/web/", status=404, code="SubscriptionNotFound")
        poll()
        assert InstanceEvent.objects.count() == 7
        assert runs()[-1] == ("denied", "SubscriptionNotFound")

    def test_a_poll_that_one_is_missing_from_is_not_repeated(self, azure, discovered):
        azure.fail("ScaleSets/web/", status=503)
        poll_subscription(subscription_id=SUBSCRIPTION)

    def test_marks_of_its_machines_last_as_long_as_it_fails(self, azure, account, clock):
        """What was tagged there may be tagged still; elsewhere a tag that is gone is gone."""
        other = {**resources.RHEL_IMAGE, "sku": "other"}
        azure.delegate(
            SUBSCRIPTION,
            machines=[machine("a", image=other, tags=RHEL_TAG), machine("b")],
            scale_sets=[resources.scale_set("web", member(0, tags=RHEL_TAG))],
        )
        discover_account(account_id=account.id)
        azure.delegate(
            SUBSCRIPTION,
            machines=[machine("a", image=other), machine("b")],
            scale_sets=[resources.scale_set("web", member(0))],
        )
        azure.fail("ScaleSets/web/", status=403)
        clock.shift(HOUR)
        poll()
        assert dict(MachineImage.objects.values_list("cloud_image_id", "is_rhel")) == {
            "82gen2": True,
            "other": False,
        }
        azure.reset()
        azure.delegate(
            SUBSCRIPTION,
            machines=[machine("a", image=other), machine("b")],
            scale_sets=[resources.scale_set("web", member(0))],
        )
        clock.shift(HOUR)
        poll()
        assert not MachineImage.objects.filter(is_rhel=True).exists()

    def test_its_gap_makes_nothing_unsure(self, azure, discovered, clock):
        """The poll counts for the history of everything else."""
        azure.fail("ScaleSets/web/", status=403)
        poll()
        clock.shift(HOUR)
        vanish(azure, machines="b")
        poll()
        unsure = {row.instance.cloud_instance_id[-1]: row for row in Correction.objects.all()}
        assert (unsure["a"].unsure_from, unsure["a"].unsure_to) == (NOW + HOUR, NOW + 2 * HOUR)


class TestLists:
    @pytest.mark.parametrize(
        "page", ["virtualMachines\\?api[^&]*$", "virtualMachines\\?.*skiptoken"]
    )
    def test_without_all_machines_nothing_vanishes(self, azure, discovered, page):
        azure.set_page_size(1)
        vanish(azure, machines="yz", web="8")
        azure.fail(page, status=500)
        poll()
        for name in ("a", "b", "0", "1", "2", "3"):
            assert powers(name) == ["power_on"]
        assert powers("8") == ["power_on"]
        assert runs()[-1][0] == "failed"

    @pytest.mark.parametrize("page", ["statusOnly", "statusOnly.*skiptoken"])
    def test_without_all_states_nothing_vanishes(self, azure, discovered, page):
        azure.set_page_size(1)
        vanish(azure, machines="yz", web="8")
        azure.fail(page, status=500)
        poll()
        for name in ("a", "b", "0", "1", "2", "3"):
            assert powers(name) == ["power_on"]
        assert powers("8") == ["power_on"]

    def test_without_scale_sets_their_machines_do_not_vanish(self, azure, discovered):
        vanish(azure)
        azure.fail("ScaleSets\\?", status=500)
        poll()
        assert powers("a") == powers("b") == ["power_on", "power_off"]
        for name in ("0", "1", "2", "3"):
            assert powers(name) == ["power_on"]

    def test_a_page_without_entries_is_not_an_empty_one(self, azure, discovered):
        for page in ("virtualMachines\\?api[^&]*$", "statusOnly", "ScaleSets\\?"):
            azure.fail(page, status=200, body={})
        poll()
        assert InstanceEvent.objects.count() == 7

    @pytest.mark.parametrize(
        "fault",
        [
            {"status": 500},
            {"status": 403},
            {"status": 404, "code": "SubscriptionNotFound"},
            {"status": 429, "retry_after": 3600},
            {"status": 302, "location": "https://localhost/"},
        ],
    )
    @pytest.mark.parametrize(
        "broken",
        [
            ["virtualMachines\\?api[^&]*$"],
            ["ScaleSets"],
            ["virtualMachines\\?api[^&]*$", "ScaleSets/"],
        ],
    )
    def test_what_states_show_as_stopped_ends_whatever_else_failed(
        self, azure, discovered, broken, fault
    ):
        azure.delegate(
            SUBSCRIPTION,
            machines=[machine("a", power="deallocated"), machine("b", power="stopped")],
            scale_sets=[resources.scale_set("web", member(0), member(1))],
        )
        for request in broken:
            azure.fail(request, **fault)
        poll()
        assert powers("a") == powers("b") == ["power_on", "power_off"]

    @pytest.mark.parametrize(
        "broken",
        ["Compute/virtualMachines\\?api[^&]*$", "statusOnly", "Compute/virtualMachines\\?"],
    )
    def test_what_a_scale_set_shows_as_stopped_ends_whatever_else_failed(
        self, azure, discovered, broken
    ):
        azure.delegate(
            SUBSCRIPTION, scale_sets=[resources.scale_set("web", member(0, power="stopped"))]
        )
        azure.fail(broken, status=500)
        poll()
        assert powers("0") == ["power_on", "power_off"]
        assert powers("1") == ["power_on"]

    def test_a_login_that_ends_in_the_middle_undoes_nothing(self, azure, discovered):
        azure.delegate(SUBSCRIPTION, machines=[machine("a", power="stopped")])
        azure.fail("ScaleSets\\?", status=401)
        with pytest.raises(AzureLoginError):
            discover_account(account_id=discovered.id)
        assert powers("a") == ["power_on", "power_off"]
        assert powers("b") == ["power_on"]

    def test_a_machine_that_only_the_states_show_has_not_vanished(self, azure, discovered):
        azure.delegate(SUBSCRIPTION, machines=[machine("a") | {"_only_status": True}])
        poll()
        assert powers("a") == ["power_on"]
        assert powers("b") == ["power_on", "power_off"]

    def test_a_machine_that_only_the_states_show_as_running_is_on(self, azure, discovered):
        azure.delegate(SUBSCRIPTION, machines=[machine("c") | {"_only_status": True}])
        poll()
        assert powers("c") == ["power_off", "power_on"]
        event = InstanceEvent.objects.filter(event_type="power_on").latest("id")
        assert event.instance_type == "Standard_B1s"

    @pytest.mark.parametrize("name", ["a", "c", "new"])
    def test_a_machine_without_power_state_is_unknown(self, azure, discovered, name):
        azure.delegate(SUBSCRIPTION, machines=[machine(name, power=None)])
        before = powers(name)
        poll()
        assert powers(name) == before

    def test_a_mark_ends_only_by_a_whole_list(self, azure, account, clock):
        azure.delegate(SUBSCRIPTION, machines=[machine("a", tags=RHEL_TAG)])
        discover_account(account_id=account.id)
        azure.delegate(SUBSCRIPTION, machines=[machine("a")])
        for page in ("virtualMachines\\?api[^&]*$", "statusOnly"):
            azure.fail(page, status=500, times=4)
            clock.shift(HOUR)
            poll()
            assert MachineImage.objects.get().is_rhel
        clock.shift(HOUR)
        poll()
        assert not MachineImage.objects.get().is_rhel


class TestRetryAfter:
    """Decision 51: the task is repeated after it, an hour at most."""

    @pytest.fixture
    def repetitions(self, monkeypatch) -> list[float]:
        countdowns = []

        def retry(task, args, kwargs, exc, throw, eta, countdown, *_, **__):
            countdowns.append(countdown)
            raise Retry

        monkeypatch.setattr("celery.Task.retry", retry)
        return countdowns

    def run(self, task: str, account: CloudAccount) -> EagerResult:
        if task == "poll":
            return tasks.update_azure_instance_events_for_account.apply(args=[SUBSCRIPTION])
        return tasks.initial_azure_vm_discovery.apply(args=[account.id])

    @pytest.mark.parametrize("task", ["poll", "discovery"])
    @pytest.mark.parametrize(("header", "seconds"), [(3600, 3600), (600, 600), (86_400, 3600)])
    def test_no_more_calls_until_then(self, azure, account, repetitions, task, header, seconds):
        azure.delegate(SUBSCRIPTION, machines=[machine("a")])
        azure.fail("Microsoft.Compute", status=429, retry_after=header)
        self.run(task, account)
        assert repetitions == [seconds]
        assert calls(azure) == ["login", "V1", "V2"]
        assert runs() == [("throttled", "Fault")]

    def test_not_for_a_scale_set_alone(self, azure, account, repetitions):
        azure.delegate(SUBSCRIPTION, scale_sets=[resources.scale_set("web")])
        azure.fail("ScaleSets/web/", status=429, retry_after=3600)
        assert self.run("poll", account).successful()
        assert repetitions == []


class TestRepetitions:
    """A task that failed gives way to one that began later, so that they never add up."""

    def test_of_the_newest_task(self, azure, account):
        azure.delegate(SUBSCRIPTION)
        poll_subscription(subscription_id=SUBSCRIPTION, task_id="1")
        poll_subscription(subscription_id=SUBSCRIPTION, task_id="1", again=True)
        assert calls(azure).count("V1") == 2

    @pytest.mark.parametrize("newer", ["poll", "discovery"])
    def test_of_an_older_task(self, azure, account, newer):
        azure.delegate(SUBSCRIPTION)
        poll_subscription(subscription_id=SUBSCRIPTION, task_id="1")
        if newer == "poll":
            poll_subscription(subscription_id=SUBSCRIPTION, task_id="2")
        else:
            discover_account(account_id=account.id, task_id="2")
        poll_subscription(subscription_id=SUBSCRIPTION, task_id="1", again=True)
        discover_account(account_id=account.id, task_id="1", again=True)
        assert calls(azure).count("V1") == 2

    def test_without_a_cache(self, azure, account, monkeypatch):
        def away(*_, **__):
            raise redis.RedisError

        azure.delegate(SUBSCRIPTION)
        for name in ("get", "set"):
            monkeypatch.setattr(cache, name, away)
        poll_subscription(subscription_id=SUBSCRIPTION, task_id="1")
        poll_subscription(subscription_id=SUBSCRIPTION, task_id="2", again=True)
        assert calls(azure).count("V1") == 2

    def test_the_tasks_tell_who_they_are(self, azure, account, monkeypatch):
        seen = []
        for name in ("discover_account", "poll_subscription"):
            monkeypatch.setattr(tasks, name, lambda **options: seen.append(options))
        tasks.initial_azure_vm_discovery.apply(args=[1], task_id="x")
        tasks.update_azure_instance_events_for_account.apply(args=["s"], task_id="y", retries=2)
        assert seen == [
            {"account_id": 1, "task_id": "x", "again": False},
            {"subscription_id": "s", "task_id": "y", "again": True},
        ]


def test_a_poll_of_before_a_pause_changes_nothing_after_it(azure, account, clock, monkeypatch):
    """Decision 33: the pause came and went while Azure answered."""
    azure.delegate(SUBSCRIPTION, machines=[machine("a")])
    discover_account(account_id=account.id)
    states = describe.machine_states

    def list_states(subscription_id):
        yield from states(subscription_id)
        clock.shift(60)
        pause_application(application_id=account.platform_application_id, trigger=API)
        azure.delegate(SUBSCRIPTION, machines=[])
        clock.shift(60)
        unpause_application(application_id=account.platform_application_id, trigger=API)

    clock.shift(HOUR)
    monkeypatch.setattr(describe, "machine_states", list_states)
    poll()
    monkeypatch.undo()
    assert powers("a") == ["power_on", "power_off"]
    assert DescribeRun.objects.count() == 1
    assert Instance.objects.count() == 1


class TestMachinesThatWereMoved:
    """To another resource group, or renamed: ``vmId`` tells that it is the same machine."""

    LATER_PAGES = "Compute/virtualMachines\\?.*skiptoken"
    OTHER = "stays-off"

    def moved(self, azure) -> None:
        azure.set_page_size(1)
        others = machine("b", vmId="1111"), machine(self.OTHER, power="stopped")
        azure.delegate(SUBSCRIPTION, machines=list(others))

    @pytest.fixture
    def known(self, azure, account, clock):
        azure.delegate(SUBSCRIPTION, machines=[machine("a", vmId="1111")])
        discover_account(account_id=account.id)
        clock.shift(HOUR)

    def test_the_old_name_ends_although_the_lists_break_off(self, azure, known):
        self.moved(azure)
        azure.fail(self.LATER_PAGES, status=403, code="AuthorizationFailed")
        poll()
        assert (powers("a"), powers("b")) == (["power_on", "power_off"], ["power_on"])
        assert runs()[-1][0] != "ok"

    def test_not_while_the_list_of_states_shows_it(self, azure, known):
        states = machine("a"), machine("b")
        self.moved(azure)
        azure.fail("statusOnly", status=200, body={"value": list(states)})
        poll()
        assert (powers("a"), powers("b")) == (["power_on"], [])
        azure.reset()
        self.moved(azure)
        poll()
        assert (powers("a"), powers("b")) == (["power_on", "power_off"], ["power_on"])

    def test_another_machine_ends_nothing(self, azure, known):
        azure.set_page_size(1)
        azure.delegate(SUBSCRIPTION, machines=[machine("b"), machine(self.OTHER)])
        azure.fail(self.LATER_PAGES, status=403, code="AuthorizationFailed")
        poll()
        assert powers("a") == ["power_on"]
