"""Scan all instances of an account: at first, and regularly again (spec 04 §7).

Get all regions in parallel, with nothing of the database open; compare with what we know; load a
few regions at a time. A region that cannot be read, or stored, spoils no other one, and its
instances are neither switched off nor on. A repeated attempt asks only for what was not read a
moment ago. What AWS did not describe to us is asked for again (decision 47).
"""

import logging
from collections.abc import Iterable, Iterator
from datetime import timedelta

from botocore.exceptions import BotoCoreError, ClientError
from django.conf import settings
from django.db.models import QuerySet

from api.clouds.aws.arn import Arn, parse_arn
from api.clouds.aws.describe.diff import DatingRules, RegionScan, by_name
from api.clouds.aws.describe.ec2 import (
    DescribedPage,
    describe_all_instances,
    describe_instances,
    describe_regions,
)
from api.clouds.aws.describe.gaps import accounts_with_gaps, missing_images, missing_instances
from api.clouds.aws.describe.load import store_all
from api.clouds.aws.describe.read import raise_for, read_images, read_regions, record_failures
from api.clouds.aws.describe.records import AccountScan
from api.clouds.aws.describe.requests import DESCRIBE
from api.clouds.aws.errors import AwsError
from api.clouds.aws.selectors import Account, load_metered, metered_accounts
from api.models import DescribeRun, Instance
from util.postgres import DatabaseClock
from util.tasks import enqueue

logger = logging.getLogger(__name__)

DESCRIBE_MISSING = "api.clouds.aws.tasks.describe_missing_for_account"

RESUME_WITHIN = timedelta(minutes=10)
"""A region read this short a time ago is not asked again by a repeated attempt."""

MAX_SPREAD = 3600
"""Seconds over which a round of reconciliation is spread at most."""


def describe_account(*, account_id: int, resume: bool = False) -> None:
    """Describe an account's instances and store what we did not know.

    Nothing happens for an account that does not exist, is disabled or paused. ``resume`` tells a
    repeated attempt. Images that AWS does not describe to us keep nothing else from being stored
    (decision 47); they are asked for again later. If AWS tells no regions, or not all can be read
    and stored, all else is stored by then: raises ``TransientCloudError`` for trouble that may
    pass, ``AwsError`` for other trouble. What the customer does not let us see is only logged.
    """
    account = load_metered(account_id)
    if account is None:
        logger.info("AWS account with id %s is not to be described", account_id)
        return
    clock = DatabaseClock()
    kind = DescribeRun.Kind.RECONCILE if _was_described(account) else DescribeRun.Kind.INITIAL
    regions = _regions(account, kind, clock)
    if regions is None:
        return
    asked = _not_read_lately(account, regions, clock) if resume else regions
    scans = read_regions(account, asked, describe_all_instances, clock)
    if not resume:
        scans += _closed_regions(account, regions, clock)
    ami_ids = missing_images(account.id)
    for scan in scans:
        scan.asked_images = ami_ids.get(scan.region, set())
    _finish(account, kind, scans, clock)


def describe_missing(*, account_id: int) -> None:
    """Ask again for an account's instances and images that AWS did not describe to us.

    Nothing is concluded from what EC2 does not list. Raises what ``describe_account`` raises.
    """
    account = load_metered(account_id)
    if account is None:
        logger.info("AWS account with id %s is not to be described", account_id)
        return
    clock = DatabaseClock()
    ami_ids, instance_ids = missing_images(account.id), missing_instances(account.id)

    def pages(arn: Arn, region: str) -> Iterator[DescribedPage]:
        if wanted := instance_ids.get(region):
            yield DescribedPage(list(describe_instances(arn, region, wanted)), 0)

    regions = sorted(ami_ids.keys() | instance_ids.keys())
    scans = read_regions(account, regions, pages, clock, by_ids=True)
    for scan in scans:
        scan.asked_images = ami_ids.get(scan.region, set())
    _finish(account, DescribeRun.Kind.ON_DEMAND, scans, clock)


def _finish(account: Account, kind: str, scans: list[RegionScan], clock: DatabaseClock) -> None:
    """Describe the images of what was read, store all, and raise for what could not be read."""
    read = [scan for scan in scans if not scan.problem]
    shown = read_images(account, read, clock)
    account_scan = AccountScan(
        account=account,
        kind=str(kind),
        rules=DatingRules(
            is_first=not _was_described(account),
            enabled_at=account.enabled_at,
            grace=timedelta(seconds=settings.AWS_DESCRIBE_GRACE),
        ),
        seen=by_name(read),
        shown=shown,
        images={one.image_id: one.described for one in shown if one.described},
    )
    store_all(account_scan, read)
    failed = [scan for scan in scans if scan.problem]
    record_failures(account, str(kind), failed)
    raise_for(account, failed)


def _was_described(account: Account) -> bool:
    """Check whether there was a scan since the account was enabled."""
    return _successful_scans(account).exists()


def _successful_scans(account: Account) -> QuerySet[DescribeRun]:
    scans = DescribeRun.objects.filter(
        cloud_account_id=account.id,
        kind__in=(DescribeRun.Kind.INITIAL, DescribeRun.Kind.RECONCILE),
        outcome=DescribeRun.Outcome.OK,
    )
    return scans.filter(finished_at__gte=account.enabled_at) if account.enabled_at else scans


def _regions(account: Account, kind: str, clock: DatabaseClock) -> list[str] | None:
    """Return the account's enabled regions, or None if the customer does not let us see them."""
    scan = RegionScan(region="", started_at=clock.now())
    try:
        regions = describe_regions(parse_arn(account.arn))
        if not regions:
            # Taken for true, it would end everything that runs.
            raise AwsError("EC2 tells of no region")
    except (ClientError, BotoCoreError, AwsError) as error:
        scan.problem, scan.finished_at = error, clock.now()
        record_failures(account, str(kind), [scan])
        raise_for(account, [scan])
        return None
    return regions


def _not_read_lately(account: Account, regions: Iterable[str], clock: DatabaseClock) -> list[str]:
    lately = _successful_scans(account).filter(finished_at__gte=clock.now() - RESUME_WITHIN)
    read = set(lately.values_list("region", flat=True))
    return [region for region in regions if region not in read]


def _closed_regions(account: Account, listed: list[str], clock: DatabaseClock) -> list[RegionScan]:
    """Return scans of regions that were enabled once: what is there counts as terminated."""
    known = Instance.objects.filter(cloud_account_id=account.id).exclude(region__in=listed)
    now = clock.now()
    return [
        RegionScan(region=region, started_at=now, finished_at=now)
        for region in known.values_list("region", flat=True).distinct().order_by("region")
    ]


def reconcile_accounts() -> int:
    """Queue a scan of every account that is metered, spread over time; returns how many.

    Stopping from inside, failing hosts and the like leave no trace in logs (spec 04 §7.5).
    """
    account_ids = list(metered_accounts().order_by("id").values_list("id", flat=True))
    _queue(DESCRIBE, account_ids, settings.AWS_RECONCILE_SCHEDULE)
    return len(account_ids)


def complete_accounts() -> int:
    """Queue the questions that AWS did not answer, for each account; returns for how many."""
    account_ids = accounts_with_gaps()
    _queue(DESCRIBE_MISSING, account_ids, settings.AWS_DESCRIBE_MISSING_SCHEDULE)
    return len(account_ids)


def _queue(task: str, account_ids: list[int], period: float) -> None:
    spread = min(period / 2, MAX_SPREAD)
    for number, account_id in enumerate(account_ids):
        enqueue(task, account_id, countdown=spread * number / len(account_ids))
