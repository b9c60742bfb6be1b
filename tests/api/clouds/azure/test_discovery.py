"""When subscriptions are polled, and what becomes of failures (spec 06 §4.1, §6)."""

import datetime
import threading

import pytest
from django.db import connection

from api.clouds.azure import describe
from api.clouds.azure.discovery import FAILURES_UNTIL_CHECK, discover_account, poll_subscription
from api.clouds.azure.errors import AzureBusyError
from api.clouds.azure.load import store_scan
from api.clouds.azure.visibility import listing
from api.clouds.provider import (
    AccountRef,
    TransientCloudError,
    VerificationFailedError,
    VerificationProblem,
    provider_for,
)
from api.models import CloudType, DescribeRun, Instance, InstanceEvent
from api.models.locking import lock_users
from api.tasks import azure as tasks
from deployment.local import azure_resources as resources
from tests.api.clouds.azure.conftest import SUBSCRIPTION, calls, machine
from tests.factories import make_aws_account, make_azure_account, make_user
from tests.threads import in_thread

OTHER = "11111111-1111-4111-8111-111111111111"
HOUR = datetime.timedelta(hours=1)
POLL = "api.clouds.azure.tasks.update_azure_instance_events_for_account"
CHECK = "api.tasks.enable_account"


def outcomes() -> list[tuple[str, str]]:
    return list(DescribeRun.objects.order_by("id").values_list("outcome", "error_code"))


@pytest.mark.django_db
class TestCallLog:
    """What Azure is asked, from the beginning to the first refresh."""

    def test_onboarding_and_refresh(self, azure, account, clock):
        one = resources.machine(resources.scale_set_machine_id(SUBSCRIPTION, "web", 0))
        azure.delegate(
            SUBSCRIPTION,
            machines=[machine(name) for name in "abc"],
            scale_sets=[resources.scale_set("web", one)],
        )
        azure.set_page_size(2)
        provider_for(account.cloud_type).verify(AccountRef.of(account))
        assert calls(azure) == ["login", "S1"]
        discover_account(account_id=account.id)
        assert calls(azure)[2:] == ["V1", "V1", "V2", "V2", "V3", "V4", "I1"]
        clock.shift(HOUR / 2)
        poll_subscription(subscription_id=SUBSCRIPTION)
        assert calls(azure)[9:] == ["V1", "V1", "V2", "V2", "V3", "V4"]
        assert Instance.objects.count() == 4

    def test_versions_of_the_interface(self, azure, account):
        one = resources.machine(resources.scale_set_machine_id(SUBSCRIPTION, "web", 0))
        azure.delegate(SUBSCRIPTION, scale_sets=[resources.scale_set("web", one)])
        provider_for(account.cloud_type).verify(AccountRef.of(account))
        discover_account(account_id=account.id)
        versions = {
            request["path"].split("/")[-1].lower(): request["query"]["api-version"]
            for request in azure.requests()
            if "api-version" in request["query"]
        }
        assert versions == {
            "subscriptions": "2021-01-01",
            "virtualmachines": "2022-08-01",
            "virtualmachinescalesets": "2022-08-01",
            "versions": "2022-08-01",
        }


@pytest.mark.django_db
class TestRounds:
    def test_one_poll_for_each_subscription_that_is_metered(self, queued, clock):
        metered = [make_azure_account() for _ in range(2)]
        make_azure_account(is_enabled=False)
        make_azure_account(platform_application_is_paused=True)
        make_azure_account(is_synthetic=True)
        make_aws_account()
        tasks.update_azure_instance_events()
        assert [task[:2] for task in queued.named(POLL)] == [
            (POLL, (str(account.subscription_id),)) for account in metered
        ]

    def test_a_round_is_spread_but_ends_before_the_next(self, queued, settings):
        for _ in range(5):
            make_azure_account()
        tasks.update_azure_instance_events()
        assert [task.countdown for task in queued.named(POLL)] == [0, 0.25, 0.5, 0.75, 1]
        queued.clear()
        settings.UPDATE_AZURE_INSTANCE_EVENTS_SCHEDULE = 1
        tasks.update_azure_instance_events()
        assert [task.countdown for task in queued.named(POLL)] == pytest.approx(
            [0, 0.1, 0.2, 0.3, 0.4]
        )

    def test_discovery_can_be_switched_off(self, azure, account, queued, settings):
        settings.ENABLE_AZURE_VM_DISCOVERY = False
        tasks.update_azure_instance_events()
        tasks.update_azure_instance_events_for_account(SUBSCRIPTION)
        tasks.initial_azure_vm_discovery(account.id)
        assert queued == []
        assert calls(azure) == []

    def test_an_id_in_another_spelling(self, azure, account):
        azure.delegate(SUBSCRIPTION, machines=[machine("a")])
        poll_subscription(subscription_id=SUBSCRIPTION.upper().replace("-", ""))
        assert InstanceEvent.objects.count() == 1

    @pytest.mark.parametrize("account_id", [0, 10**9])
    def test_no_such_account(self, azure, db, account_id):
        tasks.initial_azure_vm_discovery(account_id)
        assert calls(azure) == []

    def test_an_account_of_another_cloud(self, azure, db):
        tasks.initial_azure_vm_discovery(make_aws_account().id)
        assert calls(azure) == []


@pytest.mark.django_db
class TestFailures:
    def test_what_may_pass_is_raised_for_the_task_to_repeat(self, azure, account):
        azure.fail("virtualMachines", status=429, retry_after=100, code="TooManyRequests")
        with pytest.raises(TransientCloudError):
            poll_subscription(subscription_id=SUBSCRIPTION)
        assert outcomes() == [("throttled", "TooManyRequests")]
        assert TransientCloudError in tasks.update_azure_instance_events_for_account.autoretry_for

    @pytest.mark.parametrize("function", [tasks.initial_azure_vm_discovery, None])
    def test_a_refusal_is_recorded_and_ends_quietly(self, azure, account, function):
        if function is not None:
            function(account.id)
        else:
            tasks.update_azure_instance_events_for_account(SUBSCRIPTION)
        assert outcomes() == [("denied", "SubscriptionNotFound")]

    def test_a_failed_login_is_recorded(self, azure, account):
        azure.fail("oauth2", status=401, code="invalid_client")
        tasks.update_azure_instance_events_for_account(SUBSCRIPTION)
        assert outcomes() == [("denied", "ClientAuthenticationError")]

    def test_what_was_seen_of_a_broken_list_is_stored(self, azure, account):
        azure.delegate(
            SUBSCRIPTION, machines=[machine("a")], scale_sets=[resources.scale_set("web")]
        )
        azure.fail("ScaleSets\\?", status=503, code="Busy")
        with pytest.raises(AzureBusyError):
            poll_subscription(subscription_id=SUBSCRIPTION)
        assert outcomes() == [("failed", "Busy")]
        assert InstanceEvent.objects.count() == 1

    def test_nothing_is_recorded_for_an_account_that_is_gone(self, azure, account, monkeypatch):
        machines = describe.machines

        def list_machines(subscription_id):
            account.delete()
            return machines(subscription_id)

        monkeypatch.setattr(describe, "machines", list_machines)
        poll_subscription(subscription_id=SUBSCRIPTION)
        assert outcomes() == []

    def test_an_account_that_fails_for_a_day_is_checked(self, azure, account, clock, queued):
        def poll(times: int) -> None:
            for _ in range(times):
                clock.shift(HOUR)
                poll_subscription(subscription_id=SUBSCRIPTION)

        poll(FAILURES_UNTIL_CHECK - 1)
        assert queued.named(CHECK) == []
        poll(1)
        assert [task.args for task in queued.named(CHECK)] == [(account.id,)]
        azure.delegate(SUBSCRIPTION)
        poll(1)
        azure.withdraw(SUBSCRIPTION)
        poll(FAILURES_UNTIL_CHECK - 1)
        assert len(queued.named(CHECK)) == 1
        poll(1)
        assert len(queued.named(CHECK)) == 2


@pytest.mark.django_db
class TestVerification:
    """Spec 06 §2.3, §9.12."""

    def verify(self, account) -> None:
        provider_for(str(CloudType.AZURE)).verify(AccountRef.of(account))

    def test_visible(self, azure, account):
        azure.delegate(OTHER)
        azure.delegate(SUBSCRIPTION.upper())
        azure.set_page_size(1)
        self.verify(account)

    @pytest.mark.parametrize(
        ("fault", "finding"),
        [(None, VerificationProblem.NOT_VISIBLE), (403, VerificationProblem.UNKNOWN)],
    )
    def test_not_visible(self, azure, account, fault, finding):
        if fault:
            azure.fail("/subscriptions", status=fault)
        with pytest.raises(VerificationFailedError) as raised:
            self.verify(account)
        assert raised.value.finding is finding

    def test_a_token_that_was_revoked_is_renewed(self, azure, account):
        """The customer would be told that we cannot see what they have granted (CG3000)."""
        azure.delegate(SUBSCRIPTION)
        azure.fail("/subscriptions", status=401, times=1)
        self.verify(account)
        assert calls(azure) == ["login", "S1", "login", "S1"]

    def test_many_checks_ask_once(self, azure, clock):
        accounts = [make_azure_account() for _ in range(5)]
        for account in accounts:
            azure.delegate(account.subscription_id)
        for account in accounts:
            self.verify(account)
        assert calls(azure).count("S1") == 1

    def test_who_asks_again_has_azure_asked_again(self, azure, account):
        azure.delegate(SUBSCRIPTION)
        self.verify(account)
        azure.withdraw(SUBSCRIPTION)
        with pytest.raises(VerificationFailedError):
            self.verify(account)
        azure.delegate(SUBSCRIPTION)
        self.verify(account)

    def test_an_old_list_is_not_used(self, azure, account, clock):
        other = make_azure_account()
        azure.delegate(SUBSCRIPTION)
        azure.delegate(other.subscription_id)
        self.verify(account)
        clock.shift(61)
        self.verify(other)
        assert calls(azure).count("S1") == 2
        assert listing.contains(account.subscription_id)

    def test_set_up_and_release_need_nothing(self, azure, account, queued):
        provider = provider_for(str(CloudType.AZURE))
        provider.configure(AccountRef.of(account))
        provider.release(AccountRef.of(account))
        assert calls(azure) == []
        assert queued == []


@pytest.mark.django_db(transaction=True)
def test_scenario_34_writing_waits_for_the_customers_other_subscription(azure, monkeypatch):
    """The second poll asks Azure while the first one's customer is locked, and stores after it."""
    user = make_user()
    accounts = [
        make_azure_account(user=user, subscription_id=SUBSCRIPTION),
        make_azure_account(user=user, subscription_id=OTHER),
    ]
    azure.delegate(SUBSCRIPTION, machines=[machine("a")])
    elsewhere = machine("b") | {"id": f"/subscriptions/{OTHER}/virtualMachines/b"}
    azure.delegate(OTHER, machines=[elsewhere])
    scanned = threading.Event()
    stored: list[bool] = []

    def noticed(polled, scan):
        assert not connection.in_atomic_block
        scanned.set()
        changes = store_scan(polled, scan)
        stored.append(changes is not None)
        return changes

    monkeypatch.setattr("api.clouds.azure.discovery.store_scan", noticed)

    with lock_users([user.id]):
        other = in_thread(lambda: discover_account(account_id=accounts[1].id))
        assert scanned.wait(30)
        with pytest.raises(TimeoutError):
            other.result(0.2)
        assert stored == []
        monkeypatch.undo()
        discover_account(account_id=accounts[0].id)
    other.result(30)
    assert stored == [True]
    assert InstanceEvent.objects.count() == 2
