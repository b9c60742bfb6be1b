"""Look at all instances of an account: at first, and regularly again (spec 04 §7).

Get all regions in parallel, with nothing of the database open; compare with what we know; load a
few regions at a time. A region that cannot be read, or stored, spoils no other one, and its
instances are neither switched off nor on. A repeated attempt asks only for what was not read a
moment ago.
"""

import logging
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

from botocore.exceptions import BotoCoreError, ClientError
from django.conf import settings
from django.db import OperationalError
from django.db.models import QuerySet

from api.clouds.aws.arn import parse_arn
from api.clouds.aws.describe import (
    DescribedImage,
    describe_all_instances,
    describe_images,
    describe_regions,
)
from api.clouds.aws.describe_requests import DESCRIBE
from api.clouds.aws.errors import AwsError, is_access_denied, is_transient
from api.clouds.aws.knowledge import Account, load_images, load_metered
from api.clouds.aws.look_store import Survey, store_looks
from api.clouds.aws.looks import Look, Rules, Seen, by_name
from api.clouds.aws.lookup import error_code, outcome_of
from api.clouds.provider import TransientCloudError
from api.models import CloudAccount, CloudType, DescribeRun, Instance, MachineImage
from util.postgres import DatabaseClock
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
    kind = _kind(account)
    regions = _regions(account, kind, clock)
    if regions is None:
        return
    if resume:
        looks = _read_regions(account, _not_read_lately(account, regions, clock), clock)
    else:
        looks = _read_regions(account, regions, clock) + _closed_regions(account, regions, clock)
    read = [look for look in looks if not look.problem]
    survey = Survey(
        account=account,
        kind=kind,
        rules=_rules(account, kind),
        seen=by_name(read),
        images=_read_images(account, read),
    )
    _store_all(survey, read)
    failed = [look for look in looks if look.problem]
    _record_failures(account, kind, failed)
    _raise_for(account, failed)


def _kind(account: Account) -> str:
    """Tell whether this is the first look since the account was enabled, or a repeated one."""
    seen = _good_looks(account).exists()
    return str(DescribeRun.Kind.RECONCILE if seen else DescribeRun.Kind.INITIAL)


def _rules(account: Account, kind: str) -> Rules:
    return Rules(
        is_first=kind == DescribeRun.Kind.INITIAL,
        enabled_at=account.enabled_at,
        grace=timedelta(seconds=settings.AWS_DESCRIBE_GRACE),
    )


def _good_looks(account: Account) -> QuerySet[DescribeRun]:
    looks = DescribeRun.objects.filter(
        cloud_account_id=account.id,
        kind__in=(DescribeRun.Kind.INITIAL, DescribeRun.Kind.RECONCILE),
        outcome=DescribeRun.Outcome.OK,
    )
    return looks.filter(finished_at__gte=account.enabled_at) if account.enabled_at else looks


def _regions(account: Account, kind: str, clock: DatabaseClock) -> list[str] | None:
    """Return the account's enabled regions, or None if the customer does not let us see them."""
    look = Look(region="", started_at=clock.now())
    try:
        regions = describe_regions(parse_arn(account.arn))
        if not regions:
            # Taken for true, it would end everything that runs.
            raise AwsError("EC2 tells of no region")
    except (ClientError, BotoCoreError, AwsError) as error:
        look.problem, look.finished_at = error, clock.now()
        _record_failures(account, kind, [look])
        _raise_for(account, [look])
        return None
    return regions


def _not_read_lately(account: Account, regions: Iterable[str], clock: DatabaseClock) -> list[str]:
    lately = _good_looks(account).filter(finished_at__gte=clock.now() - RESUME_WITHIN)
    read = set(lately.values_list("region", flat=True))
    return [region for region in regions if region not in read]


def _read_regions(account: Account, regions: Sequence[str], clock: DatabaseClock) -> list[Look]:
    arn = parse_arn(account.arn)

    def read(region: str) -> Look:
        look = Look(region=region, started_at=clock.now())
        asked_at = look.started_at
        try:
            for page in describe_all_instances(arn, region):
                read_at = clock.now()
                look.seen += [Seen(instance, asked_at, read_at) for instance in page.instances]
                look.unreadable += page.unreadable
                asked_at = read_at
        except Exception as error:
            # Whatever it is, other regions have nothing to do with it.
            look.problem = error
        look.finished_at = clock.now()
        return look

    with ThreadPoolExecutor(REGIONS_AT_ONCE, thread_name_prefix="describe") as pool:
        looks = list(pool.map(read, regions))
    for look in looks:
        if look.unreadable:
            logger.warning(
                "AWS account %s: EC2 describes %s instances in %s that have no id",
                account.aws_account_id,
                look.unreadable,
                look.region,
            )
    return looks


def _closed_regions(account: Account, listed: list[str], clock: DatabaseClock) -> list[Look]:
    """Look at regions that were enabled once: what is there is as absent as what is terminated."""
    known = Instance.objects.filter(cloud_account_id=account.id).exclude(region__in=listed)
    now = clock.now()
    return [
        Look(region=region, started_at=now, finished_at=now)
        for region in known.values_list("region", flat=True).distinct().order_by("region")
    ]


def _read_images(account: Account, looks: Iterable[Look]) -> dict[str, DescribedImage]:
    """Describe the images that we do not know, or that AWS did not show us before.

    A region whose question is not answered costs only its own answers (decision 47).
    """
    used = {
        look.region: {one.instance.image_id for one in look.listed if one.instance.image_id}
        for look in looks
    }
    known = load_images({ami_id for ami_ids in used.values() for ami_id in ami_ids})
    settled = {
        ami_id for ami_id, image in known.items() if image.status != MachineImage.Status.UNAVAILABLE
    }
    arn = parse_arn(account.arn)
    found: dict[str, DescribedImage] = {}
    for region, ami_ids in used.items():
        if missing := ami_ids - settled:
            try:
                found |= {one.image_id: one for one in describe_images(arn, region, missing)}
            except (ClientError, BotoCoreError) as error:
                logger.warning(
                    "AWS account %s: images cannot be described in %s and are asked for later: %s",
                    account.aws_account_id,
                    region,
                    error,
                )
    return found


def _store_all(survey: Survey, looks: Sequence[Look]) -> None:
    """Store what was read, as long as the account is metered; a failure is noted in its look."""
    for group in _groups(looks):
        if not _store_together_or_apart(survey, group):
            return


def _groups(looks: Iterable[Look]) -> Iterator[list[Look]]:
    """Put small regions together, so that they share a transaction."""
    group: list[Look] = []
    size = 0
    for look in looks:
        if group and size + len(look.seen) > INSTANCES_AT_ONCE:
            yield group
            group, size = [], 0
        group.append(look)
        size += len(look.seen)
    if group:
        yield group


def _store_together_or_apart(survey: Survey, group: Sequence[Look]) -> bool:
    """Store regions at once or, if that fails, each for itself; returns whether to go on.

    Raises what a database raises that is away or busy: that concerns all of them.
    """
    try:
        return store_looks(survey, group)
    except OperationalError:
        raise
    except Exception as error:
        if len(group) == 1:
            logger.exception(
                "AWS account %s: what was read in %s cannot be stored",
                survey.account.aws_account_id,
                group[0].region,
            )
            group[0].problem = error
            return True
    return all(_store_together_or_apart(survey, [look]) for look in group)


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


def _raise_for(account: Account, failed: Sequence[Look]) -> None:
    """Raise what keeps regions from being read, unless the customer does not let us."""
    problems = [(look.region or "any", look.problem) for look in failed if look.problem]
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


def reconcile_accounts() -> int:
    """Queue a look at every account that is metered, spread over time; returns how many.

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
