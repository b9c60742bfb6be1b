"""Compare the trail bucket with what was processed, and repair what differs (spec 10 §3.3).

Every day the files of the last two days are listed, account by account. What was not processed is
found, and announced to our queue again; what was announced in vain stays a finding, and a gap in
the coverage of its day, until somebody processes it. Where CloudTrail delivers digests, a file that
one lists and the bucket lacks is a finding too, and so is an hour without a digest.

Nothing is concluded while S3 is away. A walk that was interrupted goes on with the account where it
was; what it repeats changes nothing.
"""

import logging
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from itertools import islice

from django.conf import settings
from django.core.cache import cache

from api.clouds.aws.audit import store as audit_store
from api.clouds.aws.audit.digests import check_digests
from api.clouds.aws.audit.requeue import requeue
from api.clouds.aws.audit.store import finding_of
from api.clouds.aws.cloudtrail.listing import Folder, ListedObject, objects_of, regions_of
from api.clouds.aws.cloudtrail.object_keys import ObjectKind
from api.clouds.aws.provisioning.notifying_buckets import trail_bucket
from api.clouds.aws.selectors import real_accounts
from api.models import AuditFinding
from util import postgres

logger = logging.getLogger(__name__)

ACCOUNTS_AT_ONCE = 200
OBJECTS_AT_ONCE = 2000
"""Accounts and listed objects that are compared at once; they bound the memory of the audit."""

LOOK_BACK_DAYS = 14
"""For how long a day is looked at again that could not be audited in time."""

CLOCKS_APART = timedelta(minutes=5)
"""By how much PostgreSQL's clock may be ahead of S3's (decision 41).

What S3 modified since, by its own clock, may not have been listed, so it is not called audited. The
clocks of workers do not matter.
"""

POSITION = "audit-logs-position"
POSITION_SECONDS = 6 * 3600


@dataclass
class Audited:
    """How far an audit came: all accounts up to one, or all that there are."""

    days: list[date]
    listed: int = 0
    unprocessed: int = 0
    is_done: bool = False

    def shown(self) -> dict[str, object]:
        """Return it as the result of a task."""
        return {
            "days": [day.isoformat() for day in self.days],
            "listed": self.listed,
            "unprocessed": self.unprocessed,
            "done": self.is_done,
        }


@dataclass
class _Walk:
    """A walk over all accounts: when it began, how far it came, and what each day held.

    ``since`` is the moment until which all that the bucket held is listed for sure.
    """

    since: datetime
    days: list[date]
    listed: dict[date, int]
    unprocessed: int = 0
    after: str = ""

    @classmethod
    def begin(cls) -> "_Walk":
        """Go on with the walk that was interrupted, or begin a new one."""
        now = postgres.now()
        days = audit_store.days_to_audit(now.date(), most=LOOK_BACK_DAYS)
        kept = cache.get(POSITION)
        if kept and kept["days"] == [day.isoformat() for day in days]:
            return cls(
                since=datetime.fromisoformat(kept["since"]),
                days=days,
                listed=dict(zip(days, kept["listed"], strict=True)),
                unprocessed=kept["unprocessed"],
                after=kept["after"],
            )
        return cls(since=now - CLOCKS_APART, days=days, listed=dict.fromkeys(days, 0))

    def keep(self) -> None:
        """Remember how far it came."""
        kept = {
            "since": self.since.isoformat(),
            "days": [day.isoformat() for day in self.days],
            "listed": list(self.listed.values()),
            "unprocessed": self.unprocessed,
            "after": self.after,
        }
        cache.set(POSITION, kept, POSITION_SECONDS)


def audit_logs(*, seconds: float) -> Audited:
    """Audit all accounts, or as many as there is time for; the next call goes on with the others.

    Raises ``TransientCloudError`` while S3 or SQS is away and ``AwsError`` where one refuses.
    """
    deadline = time.monotonic() + seconds
    walk = _Walk.begin()
    for accounts in _batches(walk.after):
        _audit_accounts(walk, accounts)
        walk.after = accounts[-1]
        walk.keep()
        if time.monotonic() > deadline:
            return _report(walk, is_done=False)
    _close(walk)
    cache.delete(POSITION)
    return _report(walk, is_done=True)


def _report(walk: _Walk, *, is_done: bool) -> Audited:
    report = Audited(walk.days, sum(walk.listed.values()), walk.unprocessed, is_done)
    logger.info(
        "Audited the log files of %s%s: %s listed, %s of them unprocessed",
        ", ".join(map(str, walk.days)),
        "" if is_done else f", as far as account {walk.after}",
        report.listed,
        report.unprocessed,
    )
    return report


def _batches(after: str) -> Iterator[list[str]]:
    """Yield the AWS accounts that we have, enabled or not, behind one."""
    numbers = real_accounts().order_by("aws_account_id").values_list("aws_account_id", flat=True)
    while batch := [
        number for number in numbers.filter(aws_account_id__gt=after)[:ACCOUNTS_AT_ONCE] if number
    ]:
        yield batch
        after = batch[-1]


def _audit_accounts(walk: _Walk, accounts: Sequence[str]) -> None:
    folders = (
        Folder(account, region, day)
        for account, regions in regions_of(accounts)
        for region in regions
        for day in walk.days
    )
    listed = _counted(walk, objects_of(folders))
    while batch := list(islice(listed, OBJECTS_AT_ONCE)):
        walk.unprocessed += _repair(batch)
    if settings.AWS_TRAIL_LOG_VALIDATION:
        _repair_digests(walk, accounts)
    check_digests(accounts, walk.days, must_be_whole=settings.AWS_TRAIL_LOG_VALIDATION)


def _counted(
    walk: _Walk, folders: Iterable[tuple[Folder, Iterable[ListedObject]]]
) -> Iterator[ListedObject]:
    for folder, objects in folders:
        for one in objects:
            walk.listed[folder.day] += 1
            yield one


def _repair(listed: Sequence[ListedObject]) -> int:
    """Find, and queue again, what was not processed; returns how many objects these are."""
    bucket, reason = trail_bucket().bucket, AuditFinding.Reason.LOG_UNPROCESSED
    unprocessed = audit_store.unprocessed(listed, bucket=bucket)
    if unprocessed:
        audit_store.save_findings(
            finding_of(reason, one.key, bucket, one.key.delivered_at or one.modified_at)
            for one in unprocessed
        )
        keys = {one.key.text for one in unprocessed}
        wanted = audit_store.to_requeue(keys, bucket=bucket)
        for one in unprocessed:
            if one.key.text in wanted:
                logger.warning("%s was not processed and is queued again", one.key.text)
        requeue([one for one in unprocessed if one.key.text in wanted])
        audit_store.note_requeued(wanted, bucket=bucket)
    return len(unprocessed)


def _repair_digests(walk: _Walk, accounts: Sequence[str]) -> None:
    """Queue digests again that were not processed; the chain tells what is missing until then.

    The digest of a day's last hour is delivered on the next day.
    """
    days = sorted({*walk.days, *(day + timedelta(days=1) for day in walk.days)})
    folders = (
        Folder(account, region, day, ObjectKind.DIGEST)
        for account, regions in regions_of(accounts, ObjectKind.DIGEST)
        for region in regions
        for day in days
    )
    listed = (one for _, objects in objects_of(folders) for one in objects)
    while batch := list(islice(listed, OBJECTS_AT_ONCE)):
        requeue(audit_store.unknown_digests(batch, bucket=trail_bucket().bucket))


def _close(walk: _Walk) -> None:
    """Note what was audited. The last two days are looked at again, all others are closed."""
    yesterday = postgres.now().date() - timedelta(days=1)
    for day in walk.days:
        audit_store.note_audited(
            day, listed=walk.listed[day], since=walk.since, close=day < yesterday
        )
