"""Subscriptions and scale sets that stay out of reach are told (decision 33, fault 25)."""

import datetime
from contextlib import suppress

import pytest

from api.clouds.azure.discovery import discover_account, poll_subscription
from api.clouds.azure.errors import AzureBusyError
from api.clouds.azure.health import (
    MOST_SUBSCRIPTIONS,
    refused_subscriptions,
    unreadable_scale_sets,
    unseen_subscriptions,
)
from api.internal import gauges, metrics
from api.models import CloudAccount, DescribeRun
from deployment.local import azure_resources as resources
from tests.api.clouds.azure.conftest import SUBSCRIPTION, machine
from tests.api.internal.scraping import scrape
from tests.factories import make_azure_account
from util import postgres

pytestmark = pytest.mark.django_db

HOUR = datetime.timedelta(hours=1)


@pytest.fixture
def poll(azure, account, clock):
    """Poll once an hour."""

    def poll(times: int = 1) -> None:
        for _ in range(times):
            clock.shift(HOUR)
            with suppress(AzureBusyError):
                poll_subscription(subscription_id=SUBSCRIPTION)

    return poll


class TestRefusedSubscriptions:
    def test_polls_since_the_last_good_one(self, azure, poll):
        azure.delegate(SUBSCRIPTION)
        poll()
        assert refused_subscriptions() == []
        azure.withdraw(SUBSCRIPTION)
        poll(3)
        assert refused_subscriptions() == [(SUBSCRIPTION, 3)]
        azure.delegate(SUBSCRIPTION)
        poll()
        assert refused_subscriptions() == []

    def test_one_that_was_never_good(self, poll):
        poll(2)
        assert refused_subscriptions() == [(SUBSCRIPTION, 2)]

    def test_a_failure_between_is_neither_good_nor_refused(self, azure, poll):
        poll(2)
        azure.fail("Microsoft.Compute", status=500, times=12)
        poll()
        poll()
        assert refused_subscriptions() == [(SUBSCRIPTION, 3)]

    @pytest.mark.parametrize(
        "change",
        [
            {"is_enabled": False},
            {"platform_application_is_paused": True},
            {"is_synthetic": True},
        ],
    )
    def test_one_that_is_not_polled_is_not_told(self, poll, change):
        poll(3)
        CloudAccount.objects.update(**change)
        assert refused_subscriptions() == []

    def test_what_was_before_the_account_was_enabled_again_is_over(self, poll, clock):
        poll(3)
        clock.shift(HOUR)
        CloudAccount.objects.update(enabled_at=datetime.datetime.now(datetime.UTC))
        assert refused_subscriptions() == []

    def test_their_number_is_bounded(self, db, clock):
        accounts = [make_azure_account() for _ in range(MOST_SUBSCRIPTIONS + 5)]
        DescribeRun.objects.bulk_create(
            DescribeRun(
                cloud_account=account,
                kind="azure_poll",
                outcome="denied",
                started_at=account.enabled_at + HOUR * poll,
            )
            for number, account in enumerate(accounts)
            for poll in range(1 + number % 2)
        )
        told = refused_subscriptions()
        assert len(told) == MOST_SUBSCRIPTIONS
        assert [number for _, number in told][:27] == [2] * 27


class TestScaleSets:
    @pytest.fixture(autouse=True)
    def two_of_them(self, azure, account):
        azure.delegate(
            SUBSCRIPTION,
            machines=[machine("a")],
            scale_sets=[resources.scale_set("web"), resources.scale_set("db")],
        )
        discover_account(account_id=account.id)

    def test_after_three_polls(self, azure, poll):
        azure.fail("ScaleSets/web/", status=403)
        poll(2)
        assert unreadable_scale_sets() == []
        poll()
        assert unreadable_scale_sets() == [(SUBSCRIPTION, 1)]
        azure.fail("ScaleSets/db/", status=500)
        poll(3)
        assert unreadable_scale_sets() == [(SUBSCRIPTION, 2)]

    def test_until_it_can_be_read_again(self, azure, poll):
        azure.fail("ScaleSets/web/", status=403, times=3)
        poll(3)
        assert unreadable_scale_sets() == [(SUBSCRIPTION, 1)]
        poll()
        assert unreadable_scale_sets() == []

    def test_until_it_is_gone(self, azure, poll):
        azure.fail("ScaleSets/web/", status=403)
        poll(3)
        azure.delegate(SUBSCRIPTION, scale_sets=[resources.scale_set("db")])
        poll()
        assert unreadable_scale_sets() == []

    def test_not_one_after_the_other(self, azure, poll):
        for name in ("web", "db", "web"):
            azure.fail(f"ScaleSets/{name}/", status=403, times=1)
            poll()
        assert unreadable_scale_sets() == []

    def test_a_poll_that_fails_between_says_nothing_of_them(self, azure, poll):
        azure.fail("ScaleSets/web/", status=403)
        poll(2)
        azure.fail("ScaleSets\\?", status=403, times=1)
        poll(2)
        assert unreadable_scale_sets() == [(SUBSCRIPTION, 1)]


class TestUnseenSubscriptions:
    """PostgreSQL's clock goes on as it does, so the records are of the past."""

    @pytest.fixture
    def seen(self, db):
        """Have an account enabled some hours ago, and polled, with what came of it, since then."""

        def seen(enabled: float, *polls: tuple[float, str]) -> str:
            now = postgres.now()
            account = make_azure_account(enabled_at=now - HOUR * enabled)
            for hours, outcome in polls:
                moment = now - HOUR * hours
                DescribeRun.objects.create(
                    cloud_account=account,
                    kind="azure_poll",
                    outcome=outcome,
                    started_at=moment,
                    finished_at=moment,
                )
            return str(account.subscription_id)

        return seen

    def told(self) -> list[tuple[str, int]]:
        return [(name, round(seconds / 3600)) for name, seconds in unseen_subscriptions()]

    def test_since_the_last_good_poll(self, seen):
        failing = seen(100, (30, "ok"), (5, "failed"), (1, "throttled"), (0.5, "denied"))
        older = seen(50)
        seen(100, (2, "ok"), (1, "failed"))
        seen(2)
        ancient = seen(24 * 365)
        assert self.told() == [(ancient, 24 * 30), (older, 50), (failing, 30)]

    def test_not_where_nothing_is_polled(self, seen, settings):
        seen(50)
        settings.UPDATE_AZURE_INSTANCE_EVENTS_SCHEDULE = 0
        assert self.told() == []
        settings.UPDATE_AZURE_INSTANCE_EVENTS_SCHEDULE = 3600
        settings.ENABLE_AZURE_VM_DISCOVERY = False
        assert self.told() == []
        settings.ENABLE_AZURE_VM_DISCOVERY = True
        CloudAccount.objects.update(is_enabled=False)
        assert self.told() == []


def test_metrics_name_the_subscription(azure, account, poll, monkeypatch):
    monkeypatch.setattr(metrics, "_system", gauges.SystemCollector())
    azure.delegate(SUBSCRIPTION, scale_sets=[resources.scale_set("web")])
    azure.fail("ScaleSets/web/", status=403)
    poll(3)
    azure.reset()
    poll(3)
    told = scrape()
    assert told["cloudigrade_azure_refused_polls"] == {(SUBSCRIPTION,): 3}
    assert told["cloudigrade_azure_unseen_seconds"][(SUBSCRIPTION,)] > 86400
    assert told["cloudigrade_azure_unreadable_scale_sets"] == {(SUBSCRIPTION,): 1}
    assert told["cloudigrade_azure_scale_set_failures_total"][("Fault",)] >= 3
