"""What is said of a customer's day (spec 10 §2, §4)."""

import pytest
import time_machine

from api.coverage.quality import Quality, of_days, worst
from api.models import CloudAccount
from tests import factories
from tests.api.coverage.conftest import correct, store_day
from tests.api.metering.notation import at, day

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def accounts_of_february(environment):
    CloudAccount.objects.update(created_at=at("2023-02-01T00"))


def quality(environment, first, last=None, now="12T02"):
    with time_machine.travel(at(now), tick=False):
        days = of_days(environment.user.id, day(first), day(last or first))
    return days if last else days[day(first)]


def test_a_complete_day_has_its_stored_number(environment):
    environment.instance("on 10T01, off 10T05")
    environment.recalculate(since="08T00")
    store_day(environment.account, 10)
    assert quality(environment, 10) == Quality("complete", 1, 1, 0)


def test_acceptance_5_a_missed_off_makes_the_number_unsure(environment):
    """Guest shutdown found at 12:00, last ok describe at 06:00, another instance on at 08:00."""
    stopped = environment.instance("on 10T01, off 10T12")
    environment.instance("on 10T08, off 10T09")
    environment.recalculate(since="08T00")
    correct(stopped, "missed_off", "10T06", "10T12")
    store_day(environment.account, 10, "corrected", ["10T06 10T12 correction"])
    assert quality(environment, 10) == Quality("corrected", 1, 2, 6 * 3600)


def test_an_explained_correction_is_unsure_no_more(environment):
    stopped = environment.instance("on 10T01, off 10T12")
    environment.instance("on 10T08, off 10T09")
    environment.recalculate(since="08T00")
    correct(stopped, "missed_off", "10T06", "10T12", explained_by=1)
    store_day(environment.account, 10)
    assert quality(environment, 10) == Quality("complete", 2, 2, 0)


def test_a_correction_without_a_beginning_reaches_back_over_the_day(environment):
    started = environment.instance("on 11T12, off 11T13")
    environment.recalculate(since="08T00")
    correct(started, "missed_on", None, "11T12")
    store_day(environment.account, 10, "corrected", ["10T00 11T00 correction"])
    store_day(environment.account, 11, "corrected", ["11T00 11T12 correction"])
    days = quality(environment, 10, 11)
    assert days[day(10)][:3] == ("corrected", 0, 1)
    assert days[day(11)][:3] == ("corrected", 1, 1)


def test_acceptance_8_the_worst_account_decides(environment):
    environment.recalculate(since="08T00")
    other = factories.make_azure_account(user=environment.user, created_at=at("2023-02-01T00"))
    store_day(environment.account, 10, "complete", ["10T00 10T02 not_metered"])
    store_day(other, 10, "partial", ["10T03 10T05 poll_missed"])
    assert quality(environment, 10) == Quality("partial", None, None, 2 * 3600)


def test_gaps_of_several_accounts_at_one_time_are_one(environment):
    other = factories.make_aws_account(user=environment.user, created_at=at("2023-02-01T00"))
    store_day(environment.account, 10, "partial", ["10T01 10T04 describe_gap"])
    store_day(other, 10, "partial", ["10T02 10T06 describe_gap", "10T10 10T11 correction"])
    assert quality(environment, 10).gap_seconds == 6 * 3600


def test_a_day_without_a_row_is_not_proved(environment):
    environment.recalculate(since="08T00")
    days = quality(environment, 10, 12)
    assert [one.state for one in days.values()] == ["partial", "open", "open"]


def test_a_customer_without_accounts_is_off(environment):
    CloudAccount.objects.all().delete()
    environment.recalculate(since="08T00")
    assert quality(environment, 10) == Quality("off", 0, 0, 0)


def test_a_day_that_is_not_calculated_has_no_numbers(environment):
    store_day(environment.account, 10)
    assert quality(environment, 10) == Quality("complete", None, None, 0)


def test_accounts_that_came_later_and_synthetic_ones_do_not_matter(environment):
    factories.make_aws_account(user=environment.user, created_at=at("11T00"))
    factories.make_aws_account(
        user=environment.user, created_at=at("2023-02-01T00"), is_synthetic=True
    )
    store_day(environment.account, 10)
    assert quality(environment, 10).state == "complete"


def test_another_customers_corrections_and_days_change_nothing(environment):
    other = factories.make_aws_account(created_at=at("2023-02-01T00"))
    correct(factories.make_instance(account=other), "missed_on", "10T01", "10T05")
    store_day(other, 10, "partial", ["10T01 10T04 describe_gap"])
    environment.recalculate(since="08T00")
    store_day(environment.account, 10)
    assert quality(environment, 10) == Quality("complete", 0, 0, 0)


def test_states_rank():
    assert worst(["off", "complete"]) == "complete"
    assert worst(["complete", "corrected", "open"]) == "open"
    assert worst(["open", "partial"]) == "partial"
    assert worst([]) == "off"


def test_the_number_of_statements_does_not_grow(environment, django_assert_max_num_queries):
    for number in range(1, 11):
        instance = environment.instance(f"on {number:02}T01, off {number:02}T12")
        correct(instance, "missed_off", f"{number:02}T06", f"{number:02}T12")
        gap = f"{number:02}T06 {number:02}T12 correction"
        store_day(environment.account, number, "corrected", [gap])
    environment.recalculate(since="01T00")
    with django_assert_max_num_queries(2):
        assert len(quality(environment, 1, 10)) == 10
