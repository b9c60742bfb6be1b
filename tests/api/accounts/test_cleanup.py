"""Accounts that sources does not know any more (spec 03 §9.4, §9.5)."""

import datetime

import pytest

from api.accounts import cleanup
from api.accounts.cleanup import delete_accounts_not_in_sources, delete_orphaned_accounts
from api.models import CloudAccount
from tests.factories import make_aws_account, make_azure_account
from util import clock

pytestmark = pytest.mark.django_db

DELETE = "api.tasks.delete_cloud_account"


def make_old(seconds=400, make=make_aws_account, **columns):
    account = make(**columns)
    updated_at = clock.now() - datetime.timedelta(seconds=seconds)
    CloudAccount.objects.filter(id=account.id).update(updated_at=updated_at)
    return account


def deletions(queued):
    return [task.args for task in queued.named(DELETE)]


def test_scenario_28(sources_api, queued):
    """08 §26.30 too: what was updated a moment ago is left alone."""
    gone = make_old(platform_source_id=1)
    make_old(platform_source_id=2, make=make_azure_account)
    make_old(platform_source_id=3)
    make_old(seconds=10, platform_source_id=4)
    make_old(platform_source_id=5, is_synthetic=True)
    sources_api.add("sources", {"id": "2"}, {"id": "3"})
    sources_api.fail("/api/sources/v3.0/sources/3", status=500)
    assert delete_accounts_not_in_sources() == [gone.id]
    assert deletions(queued) == [(gone.id,)]
    asked = [request["path"].rpartition("/")[2] for request in sources_api.received()]
    assert asked == ["1", "2", "3"]
    headers = sources_api.received()[0]["headers"]
    assert headers["x-rh-sources-account-number"] == gone.user.account_number
    assert headers["x-rh-sources-org-id"] == gone.user.org_id


def test_sources_away_deletes_nothing(settings, queued):
    make_old()
    settings.SOURCES_API_EXTERNAL_BASE_URL = "http://127.0.0.1:1"
    assert delete_accounts_not_in_sources() == []
    assert queued == []


@pytest.mark.parametrize("run", [delete_accounts_not_in_sources, delete_orphaned_accounts])
def test_switched_off(settings, sources_api, queued, run):
    make_old()
    settings.SOURCES_ENABLE_DATA_MANAGEMENT = False
    settings.SOURCES_ENABLE_DATA_MANAGEMENT_FROM_KAFKA = True
    assert run() == []
    assert sources_api.received() == []


def test_switch_for_kafka_is_not_looked_at(settings, sources_api, queued):
    account = make_old()
    settings.SOURCES_ENABLE_DATA_MANAGEMENT_FROM_KAFKA = False
    assert delete_accounts_not_in_sources() == [account.id]


def test_brake(sources_api, queued):
    """Sources that has lost everything does not cost us everything."""
    accounts = [make_old(platform_source_id=number) for number in range(1, 21)]
    sources_api.add("sources", *[{"id": str(number)} for number in range(7, 21)])
    before = cleanup.BRAKED._value.get()
    assert delete_accounts_not_in_sources() == []
    assert queued == []
    assert cleanup.BRAKED._value.get() == before + 1
    sources_api.add("sources", {"id": "6"})
    assert delete_accounts_not_in_sources() == [account.id for account in accounts[:5]]


def test_large_enough_crowd_passes_the_brake(sources_api, queued):
    for number in range(1, 31):
        make_old(platform_source_id=number)
    sources_api.add("sources", *[{"id": str(number)} for number in range(7, 31)])
    assert len(delete_accounts_not_in_sources()) == 6


@pytest.mark.parametrize("check", [True, False])
def test_application_that_is_gone(sources_api, settings, queued, check):
    settings.DELETE_CLOUD_ACCOUNTS_NOT_IN_SOURCES_CHECK_APPLICATIONS = check
    account = make_old(platform_source_id=1)
    sources_api.add("sources", {"id": "1"})
    assert delete_accounts_not_in_sources() == ([account.id] if check else [])


def test_accounts_are_read_in_chunks(sources_api, queued, monkeypatch):
    monkeypatch.setattr(cleanup, "ACCOUNTS_AT_ONCE", 2)
    ids = [make_old().id for _ in range(5)]
    assert delete_accounts_not_in_sources() == ids


def test_nothing_is_orphaned(sources_api, queued):
    make_old()
    assert delete_orphaned_accounts() == []
    assert sources_api.received() == []


def test_empty_system(sources_api, queued):
    assert delete_orphaned_accounts() == []
    assert delete_accounts_not_in_sources() == []


def test_orphans_of_a_database_without_its_constraint(sources_api, queued, monkeypatch):
    gone, kept = make_old(platform_source_id=1), make_old(platform_source_id=2)
    sources_api.add("sources", {"id": "2"})
    everything = cleanup.Q(id__in=[gone.id, kept.id])
    monkeypatch.setattr(cleanup, "Q", lambda **_: everything)
    assert delete_orphaned_accounts() == [gone.id]
    assert deletions(queued) == [(gone.id,)]
