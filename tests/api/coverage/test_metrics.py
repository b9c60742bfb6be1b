"""Metrics of coverage and of freshness; none names an account (spec 10 §2)."""

from datetime import timedelta

import pytest
from django.core.cache import cache
from prometheus_client import REGISTRY

from api.clouds.aws.describe.health import overdue_accounts
from api.clouds.freshness import count_describe, note_ingest
from api.coverage.overview import accounts_by_state
from api.models import CoverageDay, DescribeRun
from tests import factories
from tests.api.internal.scraping import nothing_remembered, scrape  # noqa: F401
from util import clock

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def nothing_processed(redis_client):
    cache.delete_many(["ingest_last_at_aws", "ingest_last_at_azure"])


def cover(account, state, days_ago=1):
    CoverageDay.objects.create(
        cloud_account=account, date=clock.today() - timedelta(days=days_ago), state=state
    )


def test_accounts_by_the_state_of_yesterday():
    for state in ("complete", "complete", "partial"):
        cover(factories.make_aws_account(), state)
    cover(factories.make_azure_account(), "open")
    cover(factories.make_azure_account(), "partial", days_ago=0)
    told = scrape()["cloudigrade_coverage_accounts"]
    assert {labels: number for labels, number in told.items() if number} == {
        ("aws", "complete"): 2,
        ("aws", "partial"): 1,
        ("azure", "open"): 1,
    }
    assert told["azure", "partial"] == 0
    assert sum(accounts_by_state(clock.today()).values()) == 1


def test_when_something_was_processed_last():
    assert (
        "cloudigrade_last_ingest_timestamp_seconds" not in scrape()
        or not scrape()["cloudigrade_last_ingest_timestamp_seconds"]
    )
    note_ingest("aws")
    told = scrape()["cloudigrade_last_ingest_timestamp_seconds"]
    assert list(told) == [("aws",)]
    assert told["aws",] == pytest.approx(clock.now().timestamp(), abs=60)


def test_accounts_whose_describe_is_overdue(settings):
    """A round of six hours may be spread over another one."""
    long_ago = clock.now() - timedelta(hours=20)
    late, seen, new = (
        factories.make_aws_account(enabled_at=when)
        for when in (long_ago, long_ago, clock.now() - timedelta(hours=3))
    )
    factories.make_aws_account(enabled_at=long_ago, is_enabled=False)
    for account, hours, outcome in ((late, 8, "ok"), (late, 1, "failed"), (seen, 6.5, "ok")):
        at = clock.now() - timedelta(hours=hours)
        DescribeRun.objects.create(
            cloud_account=account,
            kind="reconcile",
            outcome=outcome,
            started_at=at,
            finished_at=at,
        )
    assert overdue_accounts() == 1
    assert scrape()["cloudigrade_reconcile_overdue_accounts"] == {(): 1}
    settings.AWS_RECONCILE_SCHEDULE = 0
    assert overdue_accounts() == 0
    assert new.is_enabled


def test_the_oldest_stale_range():
    factories.make_stale(
        user=factories.make_user(),
        first_day=clock.today(),
        marked_at=clock.now() - timedelta(seconds=700),
    )
    told = scrape()["cloudigrade_usage_oldest_stale_seconds"]
    assert told[()] == pytest.approx(700, abs=60)


def test_describes_are_counted_by_their_outcome():
    labels = {"cloud": "aws", "kind": "reconcile", "outcome": "throttled"}

    def value():
        return REGISTRY.get_sample_value("cloudigrade_describe_total", labels) or 0

    before = value()
    count_describe("aws", DescribeRun.Kind.RECONCILE, DescribeRun.Outcome.THROTTLED)
    assert value() == before + 1
