"""Accounts that sources does not know any more (spec 03 §9.4, §9.5, decision 35)."""

import pytest

from api.accounts import cleanup
from api.accounts.cleanup import delete_accounts_not_in_sources, delete_orphaned_accounts
from api.accounts.lifecycle import enable_account
from api.accounts.states import API
from api.models import CloudAccount, Instance, InstanceEvent, User
from tests.api.accounts.statuses import available, statuses, unavailable
from tests.api.accounts.workers import run
from tests.api.passing_time import account_ages, time_passes
from tests.factories import make_aws_account, make_azure_account, make_event, make_instance
from util import tasks

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("clouds")]

DELETE = "api.tasks.delete_cloud_account"
CHECK = "api.tasks.enable_account"
DAY = 86400
PAGE = "<html>404 page not found</html>"


def make_old(seconds=400, make=make_aws_account, **columns):
    account = make(**columns)
    account_ages(account, seconds)
    return account


def deletions(queued):
    return [task.args[0] for task in queued.named(DELETE)]


def checks(queued):
    return [task.args[0] for task in queued.named(CHECK)]


def clean_up():
    run("api.tasks.delete_cloud_accounts_not_in_sources")


def enabled():
    rows = CloudAccount.objects.filter(is_enabled=True, is_synthetic=False)
    return list(rows.order_by("platform_source_id").values_list("platform_source_id", flat=True))


@pytest.fixture
def kept(sources_api):
    """An account whose source exists, so that not every account is missing."""
    sources_api.add("sources", {"id": "100"})
    return make_old(platform_source_id=100)


def test_scenario_28(sources_api, queued):
    """Decision 52. 08 §26.30 too: what was updated a moment ago is left alone."""
    gone = make_old(platform_source_id=1)
    make_old(platform_source_id=2, make=make_azure_account)
    make_old(platform_source_id=3)
    make_old(seconds=10, platform_source_id=4)
    make_old(platform_source_id=5, is_synthetic=True)
    sources_api.add("sources", {"id": "2"}, {"id": "3"})
    sources_api.fail("/api/sources/v3.0/sources/3", status=500)
    clean_up()
    assert enabled() == [2, 3, 4]
    assert deletions(queued) == []
    asked = [request["path"].rpartition("/")[2] for request in sources_api.received()]
    assert asked == ["1", "2", "3"]
    headers = sources_api.received()[0]["headers"]
    assert headers["x-rh-sources-account-number"] == gone.user.account_number
    assert headers["x-rh-sources-org-id"] == gone.user.org_id


class TestGrace:
    @pytest.fixture
    def gone(self, kept):
        account = make_old(platform_source_id=1)
        make_event(instance=make_instance(account=account))
        return account

    def test_account_that_is_missed_is_disabled(self, gone, sources_api, queued, aws):
        clean_up()
        gone.refresh_from_db()
        assert (gone.is_enabled, gone.missing_since is not None) == (False, True)
        assert InstanceEvent.objects.filter(event_type="power_off").count() == 1
        assert aws.asked == ["release"]
        assert statuses(queued) == [unavailable(gone.user, gone.platform_application_id)]
        assert deletions(queued) == []

    def test_it_is_deleted_when_it_is_still_missing_after_a_week(
        self, gone, sources_api, queued, aws
    ):
        for _ in range(7):
            clean_up()
            assert deletions(queued) == []
            account_ages(gone, DAY)
        clean_up()
        assert deletions(queued) == [gone.id]
        assert len(statuses(queued)) == 1

    @pytest.mark.parametrize(("days", "deleted"), [(0, True), (0.5, False), (30, False)])
    def test_grace_is_a_setting(self, gone, sources_api, queued, settings, days, deleted):
        settings.CLEANUP_GRACE_DAYS = days
        clean_up()
        assert deletions(queued) == []
        clean_up()
        assert deletions(queued) == ([gone.id] if deleted else [])

    def test_source_that_reappears_enables_it_again(self, gone, sources_api, queued, aws):
        clean_up()
        account_ages(gone, 6 * DAY)
        sources_api.add("sources", {"id": "1"})
        queued.clear()
        clean_up()
        assert checks(queued) == [gone.id]
        run(CHECK, gone.id)
        gone.refresh_from_db()
        assert (gone.is_enabled, gone.missing_since) == (True, None)
        assert Instance.objects.filter(cloud_account=gone).exists()
        assert statuses(queued) == [available(gone.user, gone.platform_application_id)]
        queued.clear()
        clean_up()
        assert list(queued) == []

    def test_grace_begins_anew_when_it_is_missed_again(self, gone, sources_api, queued):
        clean_up()
        account_ages(gone, 6 * DAY)
        sources_api.add("sources", {"id": "1"})
        clean_up()
        sources_api.remove("sources", 1)
        account_ages(gone, 2 * DAY)
        clean_up()
        assert deletions(queued) == []
        gone.refresh_from_db()
        assert not gone.is_enabled

    def test_grace_begins_anew_when_it_was_enabled_meanwhile(self, gone, sources_api, queued):
        """Such as by an event of sources, which knows its source then."""
        clean_up()
        account_ages(gone, 8 * DAY)
        assert enable_account(account_id=gone.id, trigger=API)
        account_ages(gone, 400)
        clean_up()
        gone.refresh_from_db()
        assert not gone.is_enabled
        assert deletions(queued) == []

    @pytest.mark.parametrize("fault", [{"status": 500}, {"status": 404, "body": PAGE}])
    def test_expired_one_stays_while_sources_does_not_say(self, gone, sources_api, queued, fault):
        clean_up()
        account_ages(gone, 8 * DAY)
        sources_api.fail("/api/sources/v3.0/sources/1", **fault)
        clean_up()
        assert deletions(queued) == []
        gone.refresh_from_db()
        assert gone.missing_since is not None

    def test_deletion_that_comes_late_gives_way(self, gone, sources_api, queued, monkeypatch):
        clean_up()
        account_ages(gone, 8 * DAY)
        published = []
        monkeypatch.setattr(
            tasks, "publish", lambda name, **options: published.append((name, options))
        )
        clean_up()
        len(queued)
        ((name, options),) = [found for found in published if found[0] == DELETE]
        enable_account(account_id=gone.id, trigger=API)
        run(name, *options["args"], headers=options["headers"])
        assert CloudAccount.objects.filter(id=gone.id).exists()
        CloudAccount.objects.filter(id=gone.id).update(missing_since="2026-01-01T00:00:00Z")
        run(name, *options["args"], headers=options["headers"])
        assert not CloudAccount.objects.filter(id=gone.id).exists()
        assert not User.objects.filter(id=gone.user_id).exists()

    def test_paused_account_stays_paused(self, kept, sources_api, queued, aws):
        account = make_old(
            platform_source_id=1, is_enabled=False, platform_application_is_paused=True
        )
        clean_up()
        sources_api.add("sources", {"id": "1"})
        clean_up()
        assert checks(queued) == [account.id]
        run(CHECK, account.id)
        account.refresh_from_db()
        assert (account.is_enabled, account.missing_since) == (False, None)
        assert account.platform_application_is_paused

    def test_check_that_redis_loses_is_queued_again(self, gone, sources_api, queued):
        clean_up()
        sources_api.add("sources", {"id": "1"})
        clean_up()
        queued.clear()
        time_passes(120)
        run("api.tasks.sweep_inbox")
        assert checks(queued) == [gone.id]


def test_untrue_answer_disables_nobody(kept, sources_api, queued):
    """Decision 35: an ingress's page is no answer of sources."""
    make_old(platform_source_id=1)
    sources_api.fail("/api/sources/v3.0/sources/1", status=404, body=PAGE)
    clean_up()
    assert enabled() == [1, 100]
    assert list(queued) == []


def test_sources_away_changes_nothing(settings, queued):
    make_old()
    settings.SOURCES_API_EXTERNAL_BASE_URL = "http://127.0.0.1:1"
    found = delete_accounts_not_in_sources()
    assert len(found.unclear) == 1
    assert queued == []


@pytest.mark.parametrize("count", [2, 3])
def test_nothing_is_done_when_every_account_is_missing(sources_api, queued, count):
    """Decision 35: not even to those that have been missing for long."""
    accounts = [make_old(platform_source_id=number) for number in range(1, count + 1)]
    CloudAccount.objects.filter(id=accounts[0].id).update(missing_since="2026-01-01T00:00:00Z")
    before = cleanup.REFUSED._value.get()
    clean_up()
    assert len(enabled()) == count
    assert queued == []
    assert cleanup.REFUSED._value.get() == before + 1


def test_only_account_may_be_missing(sources_api, queued):
    make_old(platform_source_id=1)
    clean_up()
    assert enabled() == []


@pytest.mark.parametrize("clean", [delete_accounts_not_in_sources, delete_orphaned_accounts])
def test_switched_off(settings, sources_api, queued, clean):
    make_old()
    settings.SOURCES_ENABLE_DATA_MANAGEMENT = False
    settings.SOURCES_ENABLE_DATA_MANAGEMENT_FROM_KAFKA = True
    assert clean().looked_up == 0
    assert sources_api.received() == []


def test_switch_for_kafka_is_not_looked_at(settings, sources_api, queued):
    account = make_old()
    settings.SOURCES_ENABLE_DATA_MANAGEMENT_FROM_KAFKA = False
    assert delete_accounts_not_in_sources().missed == [account.id]


class TestBrake:
    """Sources that has lost much does not cost us much (03 §9.5)."""

    def test_too_many_are_missed(self, sources_api, queued):
        accounts = [make_old(platform_source_id=number) for number in range(1, 21)]
        sources_api.add("sources", *[{"id": str(number)} for number in range(7, 21)])
        clean_up()
        assert len(enabled()) == 20
        sources_api.add("sources", {"id": "6"})
        assert delete_accounts_not_in_sources().missed == [account.id for account in accounts[:5]]

    def test_too_many_would_be_deleted(self, sources_api, queued):
        for number in range(1, 21):
            make_old(platform_source_id=number)
        sources_api.add("sources", *[{"id": str(number)} for number in range(7, 21)])
        lost = CloudAccount.objects.filter(platform_source_id__lt=7)
        lost.update(missing_since="2026-01-01T00:00:00Z")
        clean_up()
        assert deletions(queued) == []
        sources_api.add("sources", {"id": "6"})
        clean_up()
        assert len(deletions(queued)) == 5

    def test_those_that_wait_do_not_count(self, sources_api, queued):
        """Or a week's missing accounts would keep a new one from being disabled."""
        for number in range(1, 13):
            make_old(platform_source_id=number)
        sources_api.add("sources", *[{"id": str(number)} for number in range(11, 13)])
        for last in (5, 10):
            sources_api.add("sources", *[{"id": str(n)} for n in range(last + 1, 13)])
            sources_api.remove("sources", *range(1, last + 1))
            clean_up()
        assert enabled() == [11, 12]

    def test_large_enough_crowd_passes(self, sources_api, queued):
        for number in range(1, 31):
            make_old(platform_source_id=number)
        sources_api.add("sources", *[{"id": str(number)} for number in range(7, 31)])
        assert len(delete_accounts_not_in_sources().missed) == 6


@pytest.mark.parametrize("check", [True, False])
def test_application_that_is_gone(kept, sources_api, settings, queued, check):
    settings.DELETE_CLOUD_ACCOUNTS_NOT_IN_SOURCES_CHECK_APPLICATIONS = check
    sources_api.add("applications", {"id": str(kept.platform_application_id)})
    account = make_old(platform_source_id=1)
    sources_api.add("sources", {"id": "1"})
    assert delete_accounts_not_in_sources().missed == ([account.id] if check else [])


def test_accounts_are_read_in_chunks(kept, sources_api, queued, monkeypatch):
    monkeypatch.setattr(cleanup, "ACCOUNTS_AT_ONCE", 2)
    ids = [make_old().id for _ in range(5)]
    assert delete_accounts_not_in_sources().missed == ids


def test_run_that_breaks_off_leaves_no_half_missed_account(kept, sources_api, aws, monkeypatch):
    account = make_old()
    monkeypatch.setattr(cleanup, "tell_unavailable", lambda _: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        delete_accounts_not_in_sources()
    account.refresh_from_db()
    assert (account.is_enabled, account.missing_since) == (True, None)


class TestOrphans:
    @pytest.fixture
    def orphans(self, monkeypatch):
        """The database is without its constraint: all accounts are orphaned."""
        found = make_old(platform_source_id=1), make_old(platform_source_id=2)
        everything = cleanup.Q(id__in=[account.id for account in found])
        plain = cleanup.Q
        monkeypatch.setattr(
            cleanup,
            "Q",
            lambda **which: everything if "cloud_type" in which else plain(**which),
        )
        return found

    def test_nothing_is_orphaned(self, sources_api, queued):
        make_old()
        assert delete_orphaned_accounts().looked_up == 0
        assert sources_api.received() == []

    def test_orphan_without_source(self, orphans, sources_api, queued, caplog):
        gone, other = orphans
        sources_api.add("sources", {"id": "2"})
        assert delete_orphaned_accounts().missed == [gone.id]
        assert f"Account {other.id} lacks its cloud's part but has a source" in caplog.text
        account_ages(gone, 8 * DAY)
        run("api.tasks.delete_orphaned_cloud_accounts")
        assert deletions(queued) == [gone.id]

    def test_every_orphan_is_missing(self, orphans, sources_api, queued):
        assert delete_orphaned_accounts().missed == []


def test_empty_system(sources_api, queued):
    assert delete_orphaned_accounts().looked_up == 0
    assert delete_accounts_not_in_sources().looked_up == 0
