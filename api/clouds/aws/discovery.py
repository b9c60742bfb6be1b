"""Look at all instances of an account: at first, and regularly again (spec 04 §7).

Get all regions in parallel, with nothing of the database open; compare with what we know; load a
few regions at a time. A region that can not be read spoils no other one, and its instances are
neither switched off nor on. A repeated attempt asks only for what was not read a moment ago.
"""

import logging
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

from botocore.exceptions import BotoCoreError, ClientError
from django.conf import settings
from django.db.models import QuerySet

from api.clouds.aws.arn import parse_arn
from api.clouds.aws.describe import (
    RUNNING,
    DescribedImage,
    describe_all_instances,
    describe_images,
    describe_regions,
)
from api.clouds.aws.describe_requests import DESCRIBE
from api.clouds.aws.errors import is_access_denied, is_transient
from api.clouds.aws.knowledge import Account, load_images, load_metered
from api.clouds.aws.look_store import Survey, store_looks
from api.clouds.aws.looks import Look
from api.clouds.aws.lookup import error_code, outcome_of
from api.clouds.provider import TransientCloudError
from api.models import CloudAccount, CloudType, DescribeRun, Instance, MachineImage
from util import clock
from util.tasks import enqueue

logger = logging.getLogger(__name__)

REGIONS_AT_ONCE = 6
INSTANCES_AT_ONCE = 2000
"""About how many instances are stored in one transaction."""

RESUME_WITHIN = timedelta(minutes=10)
"""A region read this short a time ago is not asked again by a repeated attempt."""

MAX_SPREAD = 3600
"""Seconds over which a round of reconciliation is spread at most."""


def describe_account(*, account_id: int, resume: bool = False) -> None:
    """Describe an account's instances and store what we did not know.

    Nothing happens for an account that does not exist, is disabled or paused. ``resume`` tells a
    repeated attempt. Raises what AWS answers if it tells no regions, or not all can be read; all
    that could be read is stored by then. Trouble that may pass is a ``TransientCloudError``.
    """
    account = load_metered(account_id)
    if account is None:
        logger.info("AWS account with id %s is not to be described", account_id)
        return
    kind = _kind(account)
    regions = _regions(account, kind)
    if regions is None:
        return
    if resume:
        looks = _read_regions(account, _not_read_lately(account, regions))
    else:
        looks = _read_regions(account, regions) + _closed_regions(account, regions)
    images = _read_images(account, looks)
    failed = [look for look in looks if look.problem]
    _record_failures(account, kind, failed)
    running = {
        one.instance_id.lower() for look in looks for one in look.instances if one.state == RUNNING
    }
    survey = Survey(account=account, kind=kind, running=running, images=images)
    for group in _groups(look for look in looks if not look.problem):
        if not store_looks(survey, group):
            return
    _raise_for(failed)


def _kind(account: Account) -> str:
    """Tell whether this is the first look since the account was enabled, or a repeated one."""
    seen = _good_looks(account).exists()
    return str(DescribeRun.Kind.RECONCILE if seen else DescribeRun.Kind.INITIAL)


def _good_looks(account: Account) -> QuerySet[DescribeRun]:
    looks = DescribeRun.objects.filter(
        cloud_account_id=account.id,
        kind__in=(DescribeRun.Kind.INITIAL, DescribeRun.Kind.RECONCILE),
        outcome=DescribeRun.Outcome.OK,
    )
    return looks.filter(finished_at__gte=account.enabled_at) if account.enabled_at else looks


def _regions(account: Account, kind: str) -> list[str] | None:
    """Give the account's enabled regions, or None if the customer does not let us see them."""
    look = Look(region="", started_at=clock.now())
    try:
        return describe_regions(parse_arn(account.arn))
    except (ClientError, BotoCoreError) as error:
        look.problem, look.finished_at = error, clock.now()
    _record_failures(account, kind, [look])
    _raise_for([look])
    return None


def _not_read_lately(account: Account, regions: Iterable[str]) -> list[str]:
    lately = _good_looks(account).filter(finished_at__gte=clock.now() - RESUME_WITHIN)
    read = set(lately.values_list("region", flat=True))
    return [region for region in regions if region not in read]


def _read_regions(account: Account, regions: Sequence[str]) -> list[Look]:
    arn = parse_arn(account.arn)

    def read(region: str) -> Look:
        look = Look(region=region, started_at=clock.now())
        try:
            look.instances = list(describe_all_instances(arn, region))
        except (ClientError, BotoCoreError) as error:
            look.problem = error
        look.finished_at = clock.now()
        return look

    with ThreadPoolExecutor(REGIONS_AT_ONCE, thread_name_prefix="describe") as pool:
        return list(pool.map(read, regions))


def _closed_regions(account: Account, listed: list[str]) -> list[Look]:
    """Look at regions that were enabled once: what is there is as absent as what is terminated."""
    known = Instance.objects.filter(cloud_account_id=account.id).exclude(region__in=listed)
    now = clock.now()
    return [
        Look(region=region, started_at=now, finished_at=now)
        for region in known.values_list("region", flat=True).distinct().order_by("region")
    ]


def _read_images(account: Account, looks: Iterable[Look]) -> dict[str, DescribedImage]:
    """Describe the images that we do not know, or that AWS did not show us before."""
    used = {
        look.region: (look, {one.image_id for one in look.instances if one.image_id})
        for look in looks
        if not look.problem
    }
    known = load_images({ami_id for _, ami_ids in used.values() for ami_id in ami_ids})
    settled = {
        ami_id for ami_id, image in known.items() if image.status != MachineImage.Status.UNAVAILABLE
    }
    arn = parse_arn(account.arn)
    found: dict[str, DescribedImage] = {}
    for region, (look, ami_ids) in used.items():
        if missing := ami_ids - settled:
            try:
                found |= {one.image_id: one for one in describe_images(arn, region, missing)}
            except (ClientError, BotoCoreError) as error:
                look.problem = error
    return found


def _groups(looks: Iterable[Look]) -> Iterator[list[Look]]:
    """Put small regions together, so that they share a transaction."""
    group: list[Look] = []
    size = 0
    for look in looks:
        if group and size + len(look.instances) > INSTANCES_AT_ONCE:
            yield group
            group, size = [], 0
        group.append(look)
        size += len(look.instances)
    if group:
        yield group


def _record_failures(account: Account, kind: str, looks: Iterable[Look]) -> None:
    """Record the looks that showed nothing (09 P4)."""
    DescribeRun.objects.bulk_create(
        DescribeRun(
            cloud_account_id=account.id,
            region=look.region or None,
            kind=kind,
            started_at=look.started_at,
            finished_at=look.finished_at,
            outcome=outcome_of(look.problem),
            error_code=error_code(look.problem),
        )
        for look in looks
        if look.problem
    )


def _raise_for(failed: Sequence[Look]) -> None:
    """Raise what keeps a region from being read, unless the customer does not let us."""
    problems = [(look.region, look.problem) for look in failed if look.problem]
    for region, problem in problems:
        logger.warning("An AWS account can not be described in %s: %s", region or "any", problem)
    transient = [f"{region}: {problem}" for region, problem in problems if is_transient(problem)]
    if transient:
        raise TransientCloudError("; ".join(transient))
    for _, problem in problems:
        if not is_access_denied(problem):
            raise problem


def reconcile_accounts() -> int:
    """Queue a look at every account that is metered, spread over time; gives how many.

    Stopping from inside, failing hosts and the like leave no trace in logs (spec 04 §7.5).
    """
    accounts = CloudAccount.objects.filter(
        cloud_type=CloudType.AWS,
        is_enabled=True,
        platform_application_is_paused=False,
        is_synthetic=False,
    )
    account_ids = list(accounts.order_by("id").values_list("id", flat=True))
    spread = min(settings.AWS_RECONCILE_SCHEDULE / 2, MAX_SPREAD)
    for number, account_id in enumerate(account_ids):
        enqueue(DESCRIBE, account_id, countdown=spread * number / len(account_ids))
    return len(account_ids)
