"""Work again on logs that are in the bucket, whether or not a queue tells of them (10 §3.2, DR-12).

For what was lost: messages, or what happened between a back-up of the database and its loss. The
files of an account, region and day lie in one folder; they are ingested as if they had just been
notified, so all of it may be repeated. But accounts are judged by what they were at the time.
"""

import itertools
import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import date, timedelta
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from api.clouds.aws.audit import store as audit_store
from api.clouds.aws.cloudtrail.listing import (
    Folder,
    ListedObject,
    OtherObject,
    everything,
    regions_of,
)
from api.clouds.aws.cloudtrail.pipeline import store_deliveries
from api.clouds.aws.cloudtrail.read import Delivery, LogFile, read_files
from api.clouds.aws.cloudtrail.s3_notifications import NotifiedObject
from api.clouds.aws.errors import code_of, is_transient, reachable
from api.clouds.aws.provisioning.notifying_buckets import trail_bucket
from api.clouds.aws.provisioning.queues import Message
from api.clouds.aws.selectors import real_accounts
from api.clouds.aws.session import s3
from api.clouds.provider import TransientCloudError
from api.models import CloudAccount, CloudType, IngestObject
from util import clock

logger = logging.getLogger(__name__)

BATCH = 10
"""Files that are in memory, and stored, at once."""

LISTED_AT_ONCE = 1000
"""Files that are compared at once with what was processed."""

ARCHIVES = frozenset({"GLACIER", "DEEP_ARCHIVE"})
"""Storage classes from which a file has to be restored before it can be read."""

RESTORED_DAYS = 7
RESTORE_TIER = "Bulk"
"""For how long a file is restored, and how fast: within half a day, at the lowest price."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is to be replayed: days of delivery (UTC), both included; empty texts stand for all."""

    since: date
    until: date
    aws_account_id: str = ""
    region: str = ""
    missing_only: bool = False
    restore: bool = False

    def __post_init__(self) -> None:
        """Refuse days that are in no order. Raises ValueError."""
        if self.until < self.since:
            raise ValueError("The last day is before the first one.")

    @property
    def days(self) -> list[date]:
        """All days, in their order."""
        number = (self.until - self.since).days + 1
        return [self.since + timedelta(days=one) for one in range(number)]


@dataclass(slots=True)
class ReplayReport:
    """How many files were found, and what became of them; ``no_logs`` are objects beside them."""

    found: int = 0
    known: int = 0
    replayed: int = 0
    archived: int = 0
    restoring: int = 0
    failed: int = 0
    no_logs: int = 0

    def add(self, other: "ReplayReport") -> None:
        """Add the files of another report."""
        for name, number in asdict(other).items():
            setattr(self, name, getattr(self, name) + number)


def aws_account_ids() -> list[str]:
    """Return the ids of all accounts that we have; logs of others would not be stored."""
    accounts = real_accounts()
    numbers = accounts.order_by("aws_account_id").values_list("aws_account_id", flat=True)
    return [number for number in numbers if number is not None]


def wanted(
    *,
    account_id: int | None,
    region: str | None,
    since: date | None,
    until: date | None,
    missing_only: bool,
    restore: bool,
) -> Wanted:
    """Return what a request means; without ``until`` it is until today.

    Raises ValueError for an account that there is not, and for days that make no sense.
    """
    if since is None:
        raise ValueError("since is required")
    number = "" if account_id is None else _number_of(account_id)
    return Wanted(since, until or clock.today(), number, region or "", missing_only, restore)


def _number_of(account_id: int) -> str:
    rows = CloudAccount.objects.filter(id=account_id, cloud_type=CloudType.AWS)
    number = rows.values_list("aws_account_id", flat=True).first()
    if number is None:
        raise ValueError(f"There is no AWS account with id {account_id}.")
    return str(number)


def folders(wanted: Wanted, *, after: str = "") -> Iterator[Folder]:
    """Yield the folders of a replay in the order of their prefixes, from the one of a key on."""
    accounts = [wanted.aws_account_id] if wanted.aws_account_id else aws_account_ids()
    later = (one for one in accounts if not after or one >= _account_of(after))
    for account, found in regions_of(later):
        for region in sorted(found, key=lambda one: f"{one}/"):
            if wanted.region in ("", region):
                for day in wanted.days:
                    folder = Folder(account, region, day)
                    if not _is_behind(folder, after):
                        yield folder


def _account_of(key: str) -> str:
    return key.split("/")[1]


def _is_behind(folder: Folder, key: str) -> bool:
    """Check whether all files of a folder come before a key."""
    return folder.prefix < key and not key.startswith(folder.prefix)


def count(folder: Folder, wanted: Wanted) -> ReplayReport:
    """Return how many files of a folder there are, and would be worked on; changes nothing."""
    report = ReplayReport()
    for page in _pages(everything(folder)):
        new = _to_replay(page, wanted)
        report.add(_passed(page, worked_on=len(new)))
        report.archived += sum(one.storage_class in ARCHIVES for one in new)
    return report


def replay_folder(
    folder: Folder,
    wanted: Wanted,
    *,
    after: str,
    done: Callable[[str, ReplayReport, list[str]], None],
) -> None:
    """Work on the files of a folder behind a key, batch by batch; each is stored for good.

    ``done`` is told of each batch: the last key that is behind us, what became of the files, and
    the keys of those that failed. Raises ``TransientCloudError`` while S3 is away.
    """
    after = after if after.startswith(folder.prefix) else ""
    for page in _pages(everything(folder, after=after)):
        behind = 0
        for batch in _batches(_to_replay(page, wanted), BATCH):
            report, failed = replay_files(batch, restore=wanted.restore)
            end = page.index(batch[-1]) + 1
            report.add(_passed(page[behind:end], worked_on=len(batch)))
            behind = end
            done(batch[-1].name, report, failed)
        if rest := page[behind:]:
            done(rest[-1].name, _passed(rest, worked_on=0), [])


def replay_files(
    listed: Sequence[ListedObject], *, restore: bool = False
) -> tuple[ReplayReport, list[str]]:
    """Work on a few files; return what became of them, and the keys of those that failed.

    Raises ``TransientCloudError`` if S3 gave none of them.
    """
    deliveries = [_delivery(one) for one in listed]
    read_files(deliveries)
    files = [delivery.files[0] for delivery in deliveries]
    if all(one.problem and is_transient(one.problem) for one in files):
        raise TransientCloudError(str(files[0].problem))
    store_deliveries(deliveries)
    report, failed = ReplayReport(), []
    for file in files:
        if file.problem:
            logger.error("%s was not replayed: %r", file.notified, file.problem)
            failed.append(file.notified.key)
            report.failed += 1
        elif file.outcome == IngestObject.Outcome.ARCHIVED:
            report.archived += 1
            report.restoring += restore and _restore(file.notified)
        else:
            report.replayed += 1
    return report, failed


def _passed(listed: Sequence[ListedObject | OtherObject], *, worked_on: int) -> ReplayReport:
    """Return the numbers of objects that were looked at, before what became of those worked on."""
    logs = sum(isinstance(one, ListedObject) for one in listed)
    return ReplayReport(found=logs, known=logs - worked_on, no_logs=len(listed) - logs)


def _pages(
    listed: Iterable[ListedObject | OtherObject],
) -> Iterator[list[ListedObject | OtherObject]]:
    files = iter(listed)
    while page := list(itertools.islice(files, LISTED_AT_ONCE)):
        yield page


def _batches(listed: Sequence[ListedObject], size: int) -> Iterator[Sequence[ListedObject]]:
    for first in range(0, len(listed), size):
        yield listed[first : first + size]


def _to_replay(
    page: Iterable[ListedObject | OtherObject], wanted: Wanted
) -> Sequence[ListedObject]:
    logs = [one for one in page if isinstance(one, ListedObject)]
    if not wanted.missing_only:
        return logs
    return audit_store.unprocessed(logs, bucket=trail_bucket().bucket)


def _delivery(one: ListedObject) -> Delivery:
    notified = NotifiedObject(
        bucket=trail_bucket().bucket,
        key=one.key.text,
        etag=one.etag,
        size=one.size,
        announced_at=one.modified_at,
    )
    # It stands in for the message that would announce the file.
    message = Message(id=notified.key, receipt="", body="", sent_at=None, receives=1)
    return Delivery(message, files=[LogFile(notified, one.key, is_replayed=True)])


def _restore(notified: NotifiedObject) -> bool:
    """Have a file restored from the archive; returns whether it will be."""
    request: dict[str, Any] = {
        "Days": RESTORED_DAYS,
        "GlacierJobParameters": {"Tier": RESTORE_TIER},
    }
    try:
        s3().restore_object(Bucket=notified.bucket, Key=notified.key, RestoreRequest=request)
    except (ClientError, BotoCoreError) as error:
        if code_of(error) == "RestoreAlreadyInProgress":
            return True
        with reachable():
            raise
    return True
