"""The hourly passes over all customers (spec 07 §6.1, §14.2 O3)."""

import pytest
import time_machine
from django.db import connection
from django.test.utils import CaptureQueriesContext

from api.metering import missing, recalculate
from api.models import ConcurrentUsage, StaleUsage, User
from tests import factories
from tests.api.metering.notation import at, day


@pytest.fixture
def passes(environment):
    """Run both passes at a moment; gives their statements."""

    def run(now):
        with time_machine.travel(at(now), tick=False), CaptureQueriesContext(connection) as queries:
            recalculate.recalculate_runs_of_all_accounts()
            recalculate.recalculate_usage_of_all_users()
        return [query["sql"] for query in queries]

    return run


def test_customers_without_runs_get_their_rows_together(environment, passes):
    counts = []
    for number in (5, 50):
        ConcurrentUsage.objects.all().delete()
        for _ in range(number):
            factories.make_user(date_joined=at("11T23"), is_active=False)
        counts.append(len(passes("12T01")))
        rows = ConcurrentUsage.objects.exclude(user=environment.user)
        assert rows.filter(date=day(11), maximum_counts=[], revision=1).count() == rows.count() / 2
    assert counts[0] == counts[1]


def test_nothing_to_do_writes_nothing_and_asks_little(environment, passes, monkeypatch):
    monkeypatch.setattr(recalculate, "USERS_AT_ONCE", 20)
    monkeypatch.setattr(recalculate, "ACCOUNTS_AT_ONCE", 20)
    for _ in range(39):
        factories.make_aws_account()
    environment.instance("on 01T01", stored="01T02")
    environment.recalculate("12T01", since="01T00")
    passes("12T02")
    statements = passes("12T03")
    look_back, since_joining = 5, 5
    assert len(statements) == 6 + look_back + since_joining
    assert not [sql for sql in statements if not sql.lstrip().startswith("SELECT")]


def test_customers_with_runs_are_calculated_beside_those_without(environment, passes):
    other = factories.make_user(date_joined=at("10T01"))
    environment.instance("on 10T01, off 11T02")
    passes("12T01")
    assert environment.totals(10, 12) == [1, 1, 0]
    assert environment.totals(10, 12, other) == [0, 0, 0]


def test_customer_whose_runs_are_all_over_is_one_without_runs(environment, passes):
    environment.instance("on 05T01, off 05T02", stored="05T03")
    environment.recalculate("05T04")
    passes("12T01")
    assert environment.totals(10, 12) == [0, 0, 0]


def test_stale_days_are_calculated_by_the_pass_too(environment, passes):
    environment.instance("on 05T01, off 05T02", stored="05T03")
    environment.recalculate("06T04")
    factories.make_stale(user=environment.user, first_day=day(5), last_day=day(5))
    passes("20T01")
    assert not StaleUsage.objects.exists()
    assert environment.total(5) == 1


def test_since_in_the_future_does_nothing(environment):
    with time_machine.travel(at("12T01"), tick=False):
        recalculate.recalculate_usage_of_all_users(since=day(13))
    assert not ConcurrentUsage.objects.exists()


def test_since_reaches_back_to_when_each_customer_joined(environment):
    User.objects.filter(id=environment.user.id).update(date_joined=at("10T23"))
    with time_machine.travel(at("12T01"), tick=False):
        recalculate.recalculate_usage_of_all_users(since=day(1))
    assert ConcurrentUsage.objects.order_by("date").first().date == day(10)


def test_stale_usage_of_several_customers(environment):
    users = [factories.make_user() for _ in range(3)]
    for user in users:
        factories.make_usage(user=user, date=day(10))
        factories.make_stale(user=user, first_day=day(10), last_day=day(10))
    with time_machine.travel(at("12T01"), tick=False):
        assert recalculate.recalculate_stale_usage() == 3
        assert recalculate.recalculate_stale_usage() == 0
    assert not StaleUsage.objects.exists()


def test_one_customers_failure_keeps_its_marks_and_stops_nobody(environment, monkeypatch, caplog):
    other = factories.make_user()
    for user in (environment.user, other):
        factories.make_stale(user=user, first_day=day(10), last_day=day(10))
    original = recalculate.calculate_usage

    def failing(*, user_id, **arguments):
        if user_id == environment.user.id:
            raise ValueError("odd data")
        return original(user_id=user_id, **arguments)

    monkeypatch.setattr(recalculate, "calculate_usage", failing)
    with time_machine.travel(at("12T01"), tick=False):
        assert recalculate.recalculate_stale_usage() == 1
    assert StaleUsage.objects.get().user == environment.user
    assert f"Could not recalculate for user {environment.user.id}" in caplog.text


def test_days_on_which_no_pass_ran_are_made_up_for(environment, passes):
    """Whatever kept the passes from running for longer than the look-back (spec 07 §15.1)."""
    idle = factories.make_user(date_joined=at("2023-01-01T00"))
    late = factories.make_user(date_joined=at("08T00"))
    environment.instance("on 04T01", stored="04T02")
    passes("05T01")
    assert passes("12T01")
    assert environment.totals(3, 12) == [0, 1, 1, 1, 1, 1, 1, 1, 1, 1]
    assert environment.totals(3, 12, idle) == [0] * 10
    assert environment.totals(7, 12, late) == [None, 0, 0, 0, 0, 0]
    for user in (environment.user, idle):
        assert ConcurrentUsage.objects.filter(user=user, date=day(1)).exists()


def test_days_before_what_was_asked_for_are_left_alone(environment):
    factories.make_usage(user=environment.user, date=day(1))
    with time_machine.travel(at("12T01"), tick=False):
        recalculate.recalculate_usage_of_all_users(since=day(12))
        recalculate.recalculate_usage_of_user(user_id=environment.user.id, since=day(12))
        assert environment.totals(10, 12) == [None, None, 0]
        recalculate.recalculate_usage_of_user(user_id=environment.user.id)
    assert environment.totals(10, 12) == [0, 0, 0]


def test_holes_before_the_newest_row_fill_themselves(environment, passes):
    """Decision 39, item 8: of customers with runs, and of those without."""
    User.objects.filter(id=environment.user.id).update(date_joined=at("01T00"))
    environment.instance("on 03T01, off 05T02", stored="05T03")
    environment.recalculate("05T04")
    idle = factories.make_user(date_joined=at("01T05"))
    passes("12T01")
    lost = [day(1), day(4), day(6), day(7), day(11)]
    assert ConcurrentUsage.objects.filter(date__in=lost).delete()[0] == 10
    passes("12T02")
    assert environment.totals(1, 12) == [0, 0, 1, 1, 1, 0, 0, 0, 0, 0, 0, 0]
    assert environment.totals(1, 12, idle) == [0] * 12
    assert not [sql for sql in passes("12T03") if not sql.lstrip().startswith("SELECT")]


@pytest.mark.parametrize("lost", [[1], [12], [5], [3, 4, 9], [1, 2, 12], list(range(1, 13))])
def test_wherever_a_customer_without_runs_lacks_days(environment, lost):
    """Decision 39, in one statement, and with the revision that the day had."""
    user = factories.make_user(date_joined=at("01T05"))
    for number in set(range(1, 13)) - set(lost):
        factories.make_usage(user=user, date=day(number))
    with time_machine.travel(at("12T01"), tick=False):
        assert missing.fill_without_runs([user.id], since=None) == len(lost)
        assert missing.fill_without_runs([user.id], since=None) == 0
    assert environment.totals(1, 12, user) == [0] * 12


def test_who_joined_centuries_ago_is_filled_in_bounded_transactions(environment, monkeypatch):
    """Decision 39: POST users takes any date of joining."""
    monkeypatch.setattr(missing, "ROWS_AT_ONCE", 40_000)
    old = factories.make_user(date_joined=at("1823-03-12T00"))
    young = factories.make_user(date_joined=at("11T00"))
    original, written = recalculate.fill_without_runs, []

    def filling(user_ids, *, since):
        written.append(original(user_ids, since=since))
        return written[-1]

    monkeypatch.setattr(recalculate, "fill_without_runs", filling)
    with time_machine.travel(at("12T01"), tick=False):
        User.objects.filter(id=environment.user.id).update(date_joined=at("12T00"))
        recalculate.recalculate_usage_of_all_users()
    assert written[0] == 3 + 2 + 1, "everybody's last days come first"
    assert max(written) == 40_000
    assert sum(written) == ConcurrentUsage.objects.count()
    days = (day(12) - at("1823-03-12T00").date()).days + 1
    assert ConcurrentUsage.objects.filter(user=old).count() == days
    assert ConcurrentUsage.objects.filter(user=young).count() == 2
