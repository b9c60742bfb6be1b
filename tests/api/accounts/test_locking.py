"""The lock of a user (spec 03 §11)."""

import time
from datetime import timedelta

import pytest
import time_machine

from api.accounts import locking
from api.accounts.locking import locked_account
from api.accounts.power_off import switch_off_instances
from api.metering.runs import recalculate_runs
from api.models import CloudAccount, InstanceEvent, UserTaskLock
from api.models.locking import lock_users
from tests.factories import make_account, make_event, make_instance, make_user
from tests.threads import in_thread, in_threads
from util import clock, postgres

pytestmark = pytest.mark.django_db(transaction=True)


def test_scenario_32_same_user_waits_other_user_does_not():
    user = make_user()
    first, second, other = (
        make_account(user=user),
        make_account(user=user),
        make_account(),
    )
    order = []

    def work(account, name):
        with locked_account(account.id):
            order.append(name)

    with locked_account(first.id):
        waiting = in_thread(lambda: work(second, "same user"))
        in_threads(lambda: work(other, "other user"))
        time.sleep(0.2)
        assert not waiting.done()
        order.append("holder")
    waiting.result(60)
    assert order == ["other user", "holder", "same user"]


def test_locked_shows_only_inside():
    account = make_account()
    with locked_account(account.id):
        assert UserTaskLock.objects.get(user=account.user).locked
    assert not UserTaskLock.objects.get(user=account.user).locked


def test_exception_releases_and_rolls_back():
    account = make_account()

    def disable_and_fail():
        with locked_account(account.id) as locked:
            locked.is_enabled = False
            locked.save()
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        disable_and_fail()
    account.refresh_from_db()
    assert account.is_enabled
    assert not UserTaskLock.objects.get(user=account.user).locked


def test_account_and_user_may_be_deleted_inside():
    account = make_account()
    with locked_account(account.id) as locked:
        locked.user.delete()
    assert not UserTaskLock.objects.filter(user_id=account.user_id).exists()


def test_gone_account():
    with locked_account(4711) as account:
        assert account is None


def test_account_whose_user_was_merged_a_moment_ago(monkeypatch):
    account, newer = make_account(), make_user()
    locked_ids = []

    def merge_first(user_ids):
        ids = list(user_ids)
        locked_ids.append(ids)
        if len(locked_ids) == 1:
            CloudAccount.objects.filter(id=account.id).update(user=newer)
            account.user.delete()
        return lock_users(ids)

    monkeypatch.setattr(locking, "lock_users", merge_first)
    with locked_account(account.id) as locked:
        assert locked.user == newer
        assert UserTaskLock.objects.get(user=newer).locked
    assert locked_ids == [[account.user_id], [newer.id]]


def test_switching_off_is_idempotent_at_one_instant():
    account = make_account()
    make_event(instance=make_instance(account=account))
    with locked_account(account.id) as locked:
        assert switch_off_instances(locked, origin="pause") == 1
        assert switch_off_instances(locked, origin="pause") == 0


class TestSwitchingOff:
    """Decision 41: our own events are never before an instance's newest one, nor too late."""

    @pytest.mark.parametrize("seconds", [-300, 300])
    def test_a_worker_whose_clock_is_off_dates_by_postgresqls(self, seconds):
        account = make_account()
        instance = make_instance(account=account)
        make_event(instance=instance, occurred_at=clock.now() - timedelta(seconds=60))
        before = postgres.now()
        with time_machine.travel(clock.now() + timedelta(seconds=seconds)):
            assert switch_off_instances(account, origin="pause") == 1
        event = InstanceEvent.objects.get(event_type="power_off")
        assert before <= event.occurred_at <= postgres.now()
        assert instance.runs.get().end_time == event.occurred_at

    def test_what_a_cloud_ahead_of_us_told_is_not_overtaken(self):
        """Again and again at the same moment, which is the newest one."""
        account = make_account()
        instance = make_instance(account=account)
        moment = clock.now() + timedelta(seconds=300)
        for number in range(3):
            make_event(instance=instance, occurred_at=moment, source_id=f"on {number}")
            assert switch_off_instances(account, origin="pause") == 1
            assert switch_off_instances(account, origin="disable") == 0
            recalculate_runs(user_id=account.user_id, instance_ids=[instance.id])
            run = instance.runs.get()
            assert (run.start_time, run.end_time) == (moment, moment)
        offs = InstanceEvent.objects.filter(event_type="power_off")
        assert set(offs.values_list("occurred_at", flat=True)) == {moment}
        assert offs.count() == 3

    def test_a_termination_of_the_future_needs_no_other_end(self):
        account = make_account()
        instance = make_instance(account=account)
        moment = clock.now() + timedelta(seconds=300)
        for event_type, name in (
            ("power_off", "TerminateInstances"),
            ("power_on", "RunInstances"),
        ):
            make_event(
                instance=instance, occurred_at=moment, event_type=event_type, source_name=name
            )
        assert switch_off_instances(account, origin="pause") == 0
