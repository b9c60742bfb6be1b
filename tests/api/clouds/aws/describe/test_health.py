"""Accounts that scans cannot read are told (fault 25)."""

from datetime import timedelta

import pytest
from botocore.exceptions import ClientError
from prometheus_client import REGISTRY

from api.clouds.aws.describe import read, sync
from api.clouds.aws.describe.ec2 import DescribedPage
from api.clouds.aws.describe.health import MOST_ACCOUNTS, failing_accounts, unseen_accounts
from api.clouds.aws.errors import AwsError
from api.clouds.provider import TransientCloudError
from api.internal import gauges, metrics
from api.models import CloudAccount, DescribeRun
from tests.api.clouds.aws.testbed import ACCOUNT, make_account
from tests.api.internal.scraping import scrape
from tests.factories import make_aws_account
from tests.threads import NoThreads
from util import clock

pytestmark = pytest.mark.django_db

REGIONS = ["us-east-1", "eu-west-1"]
DENIED = ClientError({"Error": {"Code": "UnauthorizedOperation"}}, "DescribeInstances")
THROTTLED = ClientError({"Error": {"Code": "RequestLimitExceeded"}}, "DescribeInstances")


@pytest.fixture
def account():
    return make_account()


@pytest.fixture
def scan(account, monkeypatch):
    """Scan the account; a region may raise something, and so may the question for regions."""

    def scan(problems=None, regions=REGIONS):
        def listed(arn):
            if isinstance(regions, Exception):
                raise regions
            return regions

        def pages(arn, region):
            if region in (problems or {}):
                raise problems[region]
            return iter([DescribedPage([], 0)])

        monkeypatch.setattr(sync, "describe_regions", listed)
        monkeypatch.setattr(sync, "describe_all_instances", pages)
        monkeypatch.setattr(read, "ThreadPoolExecutor", NoThreads)
        try:
            sync.describe_account(account_id=account.id)
        except (AwsError, TransientCloudError):
            return False
        return True

    return scan


def ran(account, outcome, *, hours=0, region="us-east-1", kind="reconcile"):
    at = clock.now() - timedelta(hours=hours)
    DescribeRun.objects.create(
        cloud_account=account,
        region=region,
        kind=kind,
        outcome=outcome,
        started_at=at,
        finished_at=at,
    )


def test_describes_are_counted_by_their_outcome(scan):
    """Metric cloudigrade_describe_total of spec 10 §2."""

    def counted():
        return {
            outcome: REGISTRY.get_sample_value(
                "cloudigrade_describe_total",
                {"cloud": "aws", "kind": kind, "outcome": outcome},
            )
            or 0
            for kind, outcome in (("initial", "ok"), ("initial", "throttled"))
        }

    before = counted()
    scan({"eu-west-1": THROTTLED})
    after = counted()
    assert {name: after[name] - before[name] for name in after} == {"ok": 1, "throttled": 1}


class TestFailingAccounts:
    def test_of_which_a_region_fails(self, scan):
        assert not scan({"eu-west-1": ValueError("odd")})
        assert failing_accounts() == [(ACCOUNT, 1)]
        assert not scan({"eu-west-1": THROTTLED, "us-east-1": THROTTLED})
        assert failing_accounts() == [(ACCOUNT, 2)]
        assert scan()
        assert failing_accounts() == []

    def test_of_which_aws_tells_no_regions(self, scan):
        assert not scan(regions=THROTTLED)
        assert failing_accounts() == [(ACCOUNT, 1)]
        assert scan()
        assert failing_accounts() == []

    def test_a_region_that_the_customer_closes_is_not_told(self, scan):
        assert scan({"eu-west-1": DENIED})
        assert failing_accounts() == []

    @pytest.mark.parametrize(
        "columns",
        [{"is_enabled": False}, {"platform_application_is_paused": True}, {"is_synthetic": True}],
    )
    def test_of_accounts_that_are_not_looked_at_nothing_is_told(self, account, scan, columns):
        scan({"eu-west-1": THROTTLED})
        CloudAccount.objects.update(**columns, enabled_at=clock.now() - timedelta(days=3))
        assert failing_accounts() == unseen_accounts() == []

    def test_what_was_before_it_was_enabled_again_is_past(self, account):
        ran(account, "failed", hours=2)
        CloudAccount.objects.update(enabled_at=clock.now() - timedelta(hours=1))
        assert failing_accounts() == []


class TestUnseenAccounts:
    def test_of_which_no_region_was_good_for_long(self, account):
        ran(account, "ok", hours=30)
        ran(account, "denied", hours=24, region=None)
        ran(account, "ok", hours=1, kind="on_demand")
        [(name, seconds)] = unseen_accounts()
        assert (name, round(seconds / 3600)) == (ACCOUNT, 30)

    def test_one_region_is_enough(self, account):
        ran(account, "denied", hours=1)
        ran(account, "ok", hours=1, region="eu-west-1")
        assert unseen_accounts() == []

    def test_since_it_was_enabled(self, account):
        ran(account, "ok", hours=100)
        CloudAccount.objects.update(enabled_at=clock.now() - timedelta(hours=20))
        [(_, seconds)] = unseen_accounts()
        assert round(seconds / 3600) == 20
        CloudAccount.objects.update(enabled_at=clock.now() - timedelta(hours=10))
        assert unseen_accounts() == []

    def test_not_before_two_reconciliations_have_passed(self, account, settings):
        ran(account, "ok", hours=30)
        settings.AWS_RECONCILE_SCHEDULE = 86400
        assert unseen_accounts() == []
        settings.AWS_RECONCILE_SCHEDULE = 0
        assert unseen_accounts() == []

    def test_of_many_only_some_are_told(self):
        long_ago = clock.now() - timedelta(days=2)
        for hour in range(MOST_ACCOUNTS + 2):
            make_aws_account(enabled_at=long_ago - timedelta(hours=hour))
        told = unseen_accounts()
        assert len(told) == MOST_ACCOUNTS
        assert [one.number for one in told] == sorted((one.number for one in told), reverse=True)


def test_metrics_name_the_accounts(account, scan, monkeypatch):
    monkeypatch.setattr(metrics, "_system", gauges.SystemCollector())
    scan({"eu-west-1": THROTTLED})
    before_registration = make_aws_account(enabled_at=clock.now() - timedelta(hours=50))
    told = scrape()
    assert told["cloudigrade_aws_failing_regions"] == {(ACCOUNT,): 1}
    [((name,), seconds)] = told["cloudigrade_aws_unseen_seconds"].items()
    assert (name, round(seconds / 3600)) == (before_registration.aws_account_id, 50)
