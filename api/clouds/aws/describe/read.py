"""Get: instances and images of an account's regions, as EC2 describes them (spec 04 §7.2, §7.3).

Nothing of the database is open meanwhile. A region, or a region's images, that cannot be read
spoils nothing else.
"""

import logging
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor

from api.clouds.aws.arn import Arn, parse_arn
from api.clouds.aws.cloudtrail.enrich import error_code, outcome_of
from api.clouds.aws.describe.diff import RegionScan, Seen
from api.clouds.aws.describe.ec2 import DescribedPage, describe_images
from api.clouds.aws.errors import AwsError, is_access_denied, is_transient
from api.clouds.aws.images import ShownImage
from api.clouds.aws.selectors import Account, load_images
from api.clouds.freshness import count_describe
from api.clouds.provider import TransientCloudError
from api.models import CloudType, DescribeRun
from util.postgres import DatabaseClock

logger = logging.getLogger(__name__)

REGIONS_AT_ONCE = 6

Pages = Callable[[Arn, str], Iterable[DescribedPage]]
"""Asks a region page by page."""


def read_regions(
    account: Account,
    regions: Sequence[str],
    pages: Pages,
    clock: DatabaseClock,
    *,
    by_ids: bool = False,
) -> list[RegionScan]:
    """Read regions in parallel; returns one scan each, which holds the problem if there was any.

    ``by_ids`` says that the pages list only some instances, which we know.
    """
    arn = parse_arn(account.arn)

    def read(region: str) -> RegionScan:
        scan = RegionScan(region, clock.now(), is_complete=not by_ids, by_ids=by_ids)
        asked_at = scan.started_at
        try:
            for page in pages(arn, region):
                read_at = clock.now()
                scan.seen += [Seen(instance, asked_at, read_at) for instance in page.instances]
                if page.unreadable:
                    scan.is_complete = False
                    _warn_of_unreadable(account, region, page.unreadable)
                asked_at = read_at
        except Exception as error:
            # Whatever it is, other regions have nothing to do with it.
            scan.problem = error
        scan.finished_at = clock.now()
        return scan

    with ThreadPoolExecutor(REGIONS_AT_ONCE, thread_name_prefix="describe") as pool:
        return list(pool.map(read, regions))


def _warn_of_unreadable(account: Account, region: str, count: int) -> None:
    logger.warning(
        "AWS account %s: EC2 describes %s instances in %s that have no id",
        account.aws_account_id,
        count,
        region,
    )


def read_images(
    account: Account, scans: Iterable[RegionScan], clock: DatabaseClock
) -> list[ShownImage]:
    """Describe the images that we do not know, or that AWS did not show us before.

    Others are described to each account once as well, since it may have put tags on them that no
    other account sees (decision 34). A region whose question is not answered costs only its own
    answers: they are asked for again later (decision 47).
    """
    used = {scan.region: scan.ami_ids for scan in scans}
    known = load_images({ami_id for ami_ids in used.values() for ami_id in ami_ids}, [account.id])
    settled = {
        ami_id
        for ami_id, image in known.items()
        if not image.is_undescribed and account.id in image.described_to
    }
    arn = parse_arn(account.arn)
    shown: list[ShownImage] = []
    for region, ami_ids in used.items():
        if missing := ami_ids - settled:
            asked_at = clock.now()
            try:
                found = {one.image_id: one for one in describe_images(arn, region, missing)}
                shown += [
                    ShownImage(account, ami_id, found.get(ami_id), asked_at)
                    for ami_id in sorted(missing)
                ]
            except Exception as error:
                logger.warning(
                    "AWS account %s: images cannot be described in %s and are asked for later: %s",
                    account.aws_account_id,
                    region,
                    error,
                )
    return shown


def record_failures(account: Account, kind: str, scans: Iterable[RegionScan]) -> None:
    """Record the scans that showed nothing (09 P4)."""
    runs = DescribeRun.objects.bulk_create(
        DescribeRun(
            cloud_account_id=account.id,
            region=scan.region or None,
            kind=kind,
            started_at=scan.started_at,
            finished_at=scan.finished_at,
            outcome=outcome_of(scan.problem),
            error_code=error_code(scan.problem),
        )
        for scan in scans
        if scan.problem
    )
    for run in runs:
        count_describe(CloudType.AWS, run.kind, run.outcome)


def raise_for(account: Account, scans: Iterable[RegionScan]) -> None:
    """Raise what keeps regions from being read, unless the customer does not let us.

    Raises ``TransientCloudError`` for trouble that may pass, ``AwsError`` for other trouble.
    """
    problems = [(scan.region or "any", scan.problem) for scan in scans if scan.problem]
    for region, problem in problems:
        logger.warning(
            "AWS account %s cannot be described in %s: %s", account.aws_account_id, region, problem
        )
    transient = [f"{region}: {problem}" for region, problem in problems if is_transient(problem)]
    if transient:
        raise TransientCloudError("; ".join(transient))
    others = [f"{region}: {one!r}" for region, one in problems if not is_access_denied(one)]
    if others:
        raise AwsError("; ".join(others))
