"""The acceptance scenarios of spec 06 §13, by their numbers (01 and 02 are in tests/api/public)."""

import datetime
import json

import pytest

from api.accounts.deletion import delete_account
from api.accounts.lifecycle import disable_account, pause_application
from api.accounts.onboarding import onboard
from api.accounts.states import API, KAFKA
from api.clouds.azure import describe
from api.clouds.azure.discovery import discover_account, poll_subscription
from api.clouds.azure.errors import AzureBusyError, AzureLoginError
from api.models import (
    CloudAccount,
    CloudType,
    Instance,
    InstanceEvent,
    MachineImage,
    Run,
)
from api.sources.codes import ErrorCode
from api.sources.messages import Tenant
from api.tasks import azure as tasks
from deployment.local import azure_resources as resources
from tests.api.accounts.statuses import available, statuses, unavailable
from tests.api.clouds.azure.conftest import NOW, SUBSCRIPTION, calls, forget, machine, powers
from tests.factories import make_azure_account, make_user

pytestmark = pytest.mark.django_db

RHEL_TAG = {"cloudigrade-rhel-present": ""}
OPENSHIFT_TAG = {"cloudigrade-ocp-present": ""}
HOUR = datetime.timedelta(hours=1)
DISCOVERY = "api.clouds.azure.tasks.initial_azure_vm_discovery"
POLL = "api.clouds.azure.tasks.update_azure_instance_events_for_account"


def events(name: str | None = None) -> list[tuple]:
    """Type, size and time of all events, or of one machine's, in the order of their storing."""
    found = InstanceEvent.objects.order_by("id")
    if name is not None:
        found = found.filter(instance__cloud_instance_id__endswith=f"/{name}")
    return list(found.values_list("event_type", "instance_type", "occurred_at"))


def discover(account: CloudAccount) -> None:
    tasks.initial_azure_vm_discovery(account.id)


def poll() -> None:
    tasks.update_azure_instance_events_for_account(SUBSCRIPTION)


def a_and_b(**more_of_b) -> list[dict]:
    return [machine("a", tags=RHEL_TAG), machine("b", power="deallocated", **more_of_b)]


def add_account(token: object, *, user, source_id: int = 31) -> str:
    return onboard(
        cloud_type=str(CloudType.AZURE),
        tenant=Tenant(user.account_number, user.org_id),
        token=token,
        authentication_id=22,
        application_id=11,
        source_id=source_id,
        trigger=KAFKA,
    )


class TestOnboarding:
    """Scenarios 3 to 10."""

    @pytest.fixture
    def user(self):
        return make_user(account_number="1337", org_id=None)

    @pytest.mark.parametrize("token", [SUBSCRIPTION, "{D9812B28628645019CD5F43B2A455364}"])
    def test_scenarios_03_and_04_visible(self, azure, user, queued, token):
        azure.delegate(SUBSCRIPTION)
        add_account(token, user=user)
        account = CloudAccount.objects.get()
        assert account.is_enabled
        assert str(account.subscription_id) == SUBSCRIPTION
        assert statuses(queued) == [available(user, 11)]
        assert [task.args for task in queued.named(DISCOVERY)] == [(account.id,)]
        assert calls(azure) == ["login", "S1"]

    def test_scenario_05_no_uuid(self, azure, user, queued):
        add_account("not-a-uuid", user=user)
        assert not CloudAccount.objects.exists()
        assert statuses(queued) == [unavailable(user, 11, ErrorCode.CG1006)]
        assert "CG1006" in statuses(queued)[0][-1]
        assert calls(azure) == []

    def test_scenario_06_taken(self, azure, user, queued):
        azure.delegate(SUBSCRIPTION)
        first = make_azure_account(subscription_id=SUBSCRIPTION)
        add_account(SUBSCRIPTION, user=user)
        assert CloudAccount.objects.get() == first
        assert statuses(queued) == [unavailable(user, 11, ErrorCode.CG1005)]

    def test_scenario_07_invisible(self, azure, user, queued):
        azure.delegate("11111111-1111-4111-8111-111111111111")
        add_account(SUBSCRIPTION, user=user)
        assert not CloudAccount.objects.exists()
        assert statuses(queued) == [unavailable(user, 11, ErrorCode.CG3000)]

    def test_scenario_08_no_user(self, azure, queued):
        nobody = make_user(account_number="1", org_id=None)
        nobody.delete()
        add_account(SUBSCRIPTION, user=nobody)
        assert statuses(queued) == [unavailable(nobody, 11, ErrorCode.CG1000)]
        assert calls(azure) == []

    def test_scenario_09_azure_refuses(self, azure, user, queued):
        azure.fail("GET /subscriptions", status=403, code="AuthorizationFailed")
        add_account(SUBSCRIPTION, user=user)
        assert not CloudAccount.objects.exists()
        assert statuses(queued) == [unavailable(user, 11, ErrorCode.CG3000)]

    def test_scenario_09_the_login_fails(self, azure, user, queued):
        azure.fail("oauth2", status=401, code="invalid_client")
        add_account(SUBSCRIPTION, user=user)
        assert not CloudAccount.objects.exists()
        assert statuses(queued) == [unavailable(user, 11, ErrorCode.CG3000)]

    @pytest.mark.parametrize("fault", [{"status": 503}, {"status": 429, "retry_after": 60}])
    def test_what_may_pass_is_tried_again(self, azure, user, queued, fault):
        azure.fail("GET /subscriptions", **fault)
        with pytest.raises(AzureBusyError):
            add_account(SUBSCRIPTION, user=user)
        assert statuses(queued) == []


class TestDiscovery:
    """Scenarios 11 to 24."""

    def test_scenario_11_first_poll(self, azure, account):
        azure.delegate(SUBSCRIPTION, machines=a_and_b())
        discover(account)
        image = MachineImage.objects.get()
        assert (image.cloud_image_id, image.name, image.status) == ("82gen2", "82gen2", "pending")
        assert (image.publisher, image.offer, image.region) == ("RedHat", "RHEL", "eastus")
        assert (image.architecture, image.user) == ("x64", account.user)
        assert (image.rhel_detected_by_tag, image.is_rhel) == (True, True)
        assert (image.openshift_detected, image.is_marketplace) == (False, False)
        assert list(json.loads(image.inspection_json)["image_reference"].items()) == [
            ("additional_properties", {}),
            ("id", None),
            ("publisher", "RedHat"),
            ("offer", "RHEL"),
            ("sku", "82gen2"),
            ("version", "latest"),
            ("exact_version", "8.2.2022031402"),
            ("shared_gallery_image_id", None),
            ("community_gallery_image_id", None),
        ]
        instances = Instance.objects.order_by("id")
        assert [instance.cloud_instance_id for instance in instances] == [
            resources.machine_id(SUBSCRIPTION, name) for name in "ab"
        ]
        assert {instance.machine_image for instance in instances} == {image}
        assert {instance.region for instance in instances} == {"eastus"}
        assert events("a") == [("power_on", "Standard_B1s", NOW)]
        assert events("b") == [("power_off", "Standard_B1s", NOW)]
        run = Run.objects.get()
        assert (run.start_time, run.end_time, run.machine_image) == (NOW, None, image)

    def test_scenario_12_nothing_changed(self, azure, account, clock):
        azure.delegate(SUBSCRIPTION, machines=a_and_b())
        discover(account)
        clock.shift(HOUR)
        poll()
        assert (len(events()), Instance.objects.count(), MachineImage.objects.count()) == (2, 2, 1)

    def test_scenario_13_stopped(self, azure, account, clock):
        azure.delegate(SUBSCRIPTION, machines=a_and_b())
        discover(account)
        clock.shift(HOUR)
        azure.delegate(
            SUBSCRIPTION, machines=[machine("a", power="deallocated", size="Standard_B2s")]
        )
        poll()
        assert events("a")[1:] == [("power_off", "Standard_B2s", NOW + HOUR)]
        assert Run.objects.get().end_time == NOW + HOUR

    @pytest.mark.parametrize("names", ["ab", "abcdefg"])
    def test_scenario_14_states_in_another_order(self, azure, account, names):
        stopped = {"b", "e"}
        machines = [
            machine(name, power="stopped" if name in stopped else "running") for name in names
        ]
        azure.delegate(SUBSCRIPTION, machines=machines, reverse_statuses=True)
        azure.set_page_size(2)
        discover(account)
        assert {name for name in names if powers(name) == ["power_off"]} == stopped & set(names)
        assert len(events()) == len(names)

    def test_scenario_15_a_state_is_missing(self, azure, account, clock):
        machines = a_and_b()
        azure.delegate(SUBSCRIPTION, machines=[machines[0], machines[1] | {"_no_status": True}])
        discover(account)
        assert events() == [("power_on", "Standard_B1s", NOW)]
        assert Instance.objects.count() == 2
        clock.shift(HOUR)
        azure.delegate(SUBSCRIPTION, machines=[machines[0] | {"_no_status": True}, machines[1]])
        poll()
        assert powers("a") == ["power_on"]
        assert powers("b") == ["power_off"]

    def test_scenario_16_custom_image(self, azure, account):
        image_id = "/subscriptions/x/resourceGroups/RG/providers/Microsoft.Compute/images/gold"
        azure.delegate(SUBSCRIPTION, machines=[machine("a"), machine("c", image={"id": image_id})])
        discover(account)
        assert powers("a") == powers("c") == ["power_on"]
        image = MachineImage.objects.get(instances__cloud_instance_id__endswith="/c")
        assert (image.cloud_image_id, image.name, image.architecture) == (image_id, "gold", None)
        assert MachineImage.objects.count() == 2

    def test_a_machine_without_image(self, azure, account, clock):
        azure.delegate(SUBSCRIPTION, machines=[machine("a", image=None), machine("b")])
        discover(account)
        assert powers("a") == powers("b") == ["power_on"]
        assert Instance.objects.get(cloud_instance_id__endswith="/a").machine_image is None

    def test_scenario_17_openshift_tag(self, azure, account):
        image = resources.RHEL_IMAGE | {"sku": "9-gen2"}
        azure.delegate(SUBSCRIPTION, machines=[machine("d", image=image, tags=OPENSHIFT_TAG)])
        discover(account)
        found = MachineImage.objects.get()
        assert (found.openshift_detected, found.is_rhel) == (True, False)
        assert found.architecture is None

    def test_scenario_18_plan(self, azure, account):
        plan = {"name": "82gen2", "publisher": "redhat", "product": "rhel"}
        azure.delegate(SUBSCRIPTION, machines=[machine("e", plan=plan)])
        discover(account)
        assert MachineImage.objects.get().is_marketplace

    def test_scenario_19_scale_set(self, azure, account):
        one = resources.machine(
            resources.scale_set_machine_id(SUBSCRIPTION, "web", 0), size=None
        ) | {"sku": {"name": "Standard_D2s_v3"}}
        azure.delegate(SUBSCRIPTION, scale_sets=[resources.scale_set("web", one)])
        discover(account)
        (asked,) = [
            request
            for request in azure.requests()
            if request["path"].endswith("/virtualMachineScaleSets/web/virtualMachines")
        ]
        assert "/resourceGroups/RG1/" in asked["path"]
        assert asked["query"]["$expand"] == "instanceView"
        instance = Instance.objects.get()
        assert instance.cloud_instance_id.endswith("virtualMachineScaleSets/web/virtualMachines/0")
        assert events() == [("power_on", "Standard_D2s_v3", NOW)]

    def test_scenario_20_an_image_is_asked_for_once(self, azure, account, clock):
        azure.delegate(SUBSCRIPTION, machines=[machine("a"), machine("b")])
        discover(account)
        assert calls(azure) == ["login", "V1", "V2", "V3", "I1"]
        clock.shift(HOUR)
        poll()
        assert calls(azure)[5:] == ["V1", "V2", "V3"]

    def test_scenario_21_paused(self, azure, account):
        azure.delegate(SUBSCRIPTION, machines=a_and_b())
        discover(account)
        before = calls(azure)
        pause_application(application_id=account.platform_application_id, trigger=API)
        seen = events()
        discover(account)
        poll()
        assert calls(azure) == before
        assert events() == seen

    def test_scenario_22_disabled(self, azure, account):
        azure.delegate(SUBSCRIPTION, machines=a_and_b())
        disable_account(account_id=account.id, trigger=API)
        discover(account)
        poll()
        assert calls(azure) == []

    def test_synthetic(self, azure, clock):
        account = make_azure_account(subscription_id=SUBSCRIPTION, is_synthetic=True)
        discover(account)
        poll()
        assert calls(azure) == []

    def test_scenario_23_deleted_while_azure_answers(self, azure, account, monkeypatch):
        azure.delegate(SUBSCRIPTION, machines=a_and_b())
        _meanwhile(monkeypatch, lambda: delete_account(account_id=account.id, trigger=API))
        discover(account)
        assert not Instance.objects.exists()
        assert not MachineImage.objects.exists()

    @pytest.mark.parametrize(
        "change",
        [{"is_enabled": False}, {"subscription_id": "11111111-1111-4111-8111-111111111111"}],
    )
    def test_changed_while_azure_answers(self, azure, account, monkeypatch, change):
        azure.delegate(SUBSCRIPTION, machines=a_and_b())
        accounts = CloudAccount.objects.filter(id=account.id)
        _meanwhile(monkeypatch, lambda: accounts.update(**change))
        discover(account)
        assert not Instance.objects.exists()

    def test_scenario_24_the_login_fails(self, azure, account):
        azure.delegate(SUBSCRIPTION, machines=a_and_b())
        azure.fail("oauth2", status=401, code="invalid_client")
        with pytest.raises(AzureLoginError):
            discover_account(account_id=account.id)
        assert AzureLoginError in tasks.initial_azure_vm_discovery.autoretry_for
        assert events() == []


def _meanwhile(monkeypatch, happening) -> None:
    """Have something happen while Azure answers V1."""
    machines = describe.machines

    def list_machines(subscription_id):
        yield from machines(subscription_id)
        happening()

    monkeypatch.setattr(describe, "machines", list_machines)


class TestRefresh:
    """Scenarios 25 to 29."""

    @pytest.fixture(autouse=True)
    def discovered(self, azure, account, clock):
        azure.delegate(SUBSCRIPTION, machines=a_and_b())
        discover(account)
        clock.shift(HOUR)

    def test_scenario_25_the_login_fails(self, azure):
        forget()
        azure.fail("oauth2", status=401, code="invalid_client")
        before = events()
        poll()
        assert events() == before

    def test_scenario_25_the_token_is_not_accepted(self, azure):
        azure.fail("virtualMachines", status=401, code="ExpiredAuthenticationToken")
        before = events()
        poll()
        assert events() == before

    def test_scenario_26_vanished(self, azure):
        azure.delegate(SUBSCRIPTION, machines=a_and_b()[1:])
        poll()
        assert events("a")[1:] == [("power_off", None, NOW + HOUR)]
        assert powers("b") == ["power_off"]
        assert Run.objects.get().end_time == NOW + HOUR

    @pytest.mark.parametrize("list_", ["virtualMachines\\?api[^&]*$", "statusOnly"])
    @pytest.mark.parametrize("status", [500, 429])
    def test_scenario_26_azure_fails(self, azure, list_, status):
        azure.delegate(SUBSCRIPTION, machines=[])
        azure.fail(list_, status=status, retry_after=100)
        before = events()
        with pytest.raises(AzureBusyError):
            poll_subscription(subscription_id=SUBSCRIPTION)
        assert events() == before

    def test_scenario_26_the_second_page_fails(self, azure):
        azure.set_page_size(1)
        azure.fail("skiptoken", status=500)
        before = events()
        with pytest.raises(AzureBusyError):
            poll_subscription(subscription_id=SUBSCRIPTION)
        assert events() == before

    def test_scenario_27_another_size(self, azure, clock):
        azure.delegate(SUBSCRIPTION, machines=[machine("a", size="Standard_B4ms"), a_and_b()[1]])
        poll()
        assert events("a")[1:] == [("attribute_change", "Standard_B4ms", NOW + HOUR)]
        clock.shift(HOUR)
        poll()
        assert len(events("a")) == 2
        assert Run.objects.get().end_time is None

    def test_scenario_28_unknown_subscription(self, azure):
        before = calls(azure)
        for subscription_id in ("11111111-1111-4111-8111-111111111111", "no uuid"):
            tasks.update_azure_instance_events_for_account(subscription_id)
        assert calls(azure) == before

    def test_scenario_29_new_image(self, azure):
        azure.add_images(resources.image_versions("Arm64", "x64", sku="9-gen2"))
        image = resources.RHEL_IMAGE | {"sku": "9-gen2"}
        azure.delegate(
            SUBSCRIPTION, machines=[*a_and_b(), machine("f", image=image, tags=RHEL_TAG)]
        )
        poll()
        found = MachineImage.objects.get(cloud_image_id="9-gen2")
        assert (found.status, found.is_rhel, found.architecture) == ("pending", True, "Arm64")
        assert powers("f") == ["power_on"]


def test_scenario_33_disabled_while_running(azure, account, clock, queued):
    azure.delegate(SUBSCRIPTION, machines=a_and_b())
    discover(account)
    clock.shift(HOUR)
    before = calls(azure)
    disable_account(account_id=account.id, trigger=API)
    assert events("a")[1:] == [("power_off", None, NOW + HOUR)]
    assert powers("b") == ["power_off"]
    assert calls(azure) == before
