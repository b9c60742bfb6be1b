"""Work again on logs that are in the bucket, whether or not a queue tells of them (08 DR-12).

For what happened between a back-up of the database and its loss. CloudTrail's files lie in a folder
for each account, region and day of delivery; they are ingested as if they had just been notified,
so all of it may be repeated. Files that the ledger knows are left out: an interrupted replay goes
on where it was.
"""

import itertools
import logging
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

from api.clouds.aws.cloudtrail.object_keys import ROOT, parse_key
from api.clouds.aws.cloudtrail.pipeline import store_deliveries
from api.clouds.aws.cloudtrail.read import Delivery, LogFile, read_files
from api.clouds.aws.cloudtrail.s3_notifications import NotifiedObject
from api.clouds.aws.provisioning.notifying_buckets import trail_bucket
from api.clouds.aws.provisioning.queues import Message
from api.clouds.aws.session import s3
from api.models import CloudAccount, CloudType, IngestHour, IngestObject
from util.progress import progress

logger = logging.getLogger(__name__)

BATCH = 10
"""Files that are in memory, and stored, at once."""


@dataclass(frozen=True, slots=True)
class Folder:
    """What CloudTrail delivered of one account and region on one day (UTC)."""

    aws_account_id: str
    region: str
    day: date

    @property
    def prefix(self) -> str:
        """What the keys of its files begin with."""
        return f"{_trail(self.aws_account_id)}{self.region}/{self.day:%Y/%m/%d}/"


@dataclass(slots=True)
class Report:
    """How many files a replay found, and what became of them."""

    found: int = 0
    known: int = 0
    replayed: int = 0
    archived: int = 0
    failed: int = 0

    @property
    def left(self) -> int:
        """How many are not known and have not been worked on."""
        return self.found - self.known - self.replayed - self.archived - self.failed


def aws_account_ids() -> list[str]:
    """Return the ids of all accounts that we have; logs of others would not be stored."""
    accounts = CloudAccount.objects.filter(cloud_type=CloudType.AWS, is_synthetic=False)
    return list(accounts.order_by("aws_account_id").values_list("aws_account_id", flat=True))


def days_between(since: date, until: date) -> list[date]:
    """Return all days from the one to the other, both included."""
    return [since + timedelta(days=number) for number in range((until - since).days + 1)]


class Replay:
    """The replay of some accounts' logs.

    With ``force`` it is of all files, also of those that were worked on before; a ``dry_run`` only
    counts. Raises what S3 answers to the question for files.
    """

    def __init__(
        self, account_ids: Iterable[str], *, force: bool = False, dry_run: bool = False
    ) -> None:
        self._bucket = trail_bucket().bucket
        self._force = force
        self._dry_run = dry_run
        self._places = [
            (account_id, region)
            for account_id in account_ids
            for region in self._regions(account_id)
        ]

    def replay(self, day: date) -> Report:
        """Work on all that was delivered on one day, batch by batch; each is stored for good."""
        report = Report()
        folders = (Folder(account_id, region, day) for account_id, region in self._places)
        wanted = itertools.chain.from_iterable(self._wanted(one, report) for one in folders)
        files = progress(wanted, f"Logs of {day}")
        while batch := list(itertools.islice(files, BATCH)):
            if not self._dry_run:
                _work_on(batch, report)
        return report

    def _regions(self, account_id: str) -> list[str]:
        trail = _trail(account_id)
        return [
            folder["Prefix"].removeprefix(trail).rstrip("/")
            for page in self._pages(Prefix=trail, Delimiter="/")
            for folder in page.get("CommonPrefixes", ())
        ]

    def _pages(self, **options: Any) -> Iterator[dict[str, Any]]:
        yield from s3().get_paginator("list_objects_v2").paginate(Bucket=self._bucket, **options)

    def _wanted(self, folder: Folder, report: Report) -> Iterator[LogFile]:
        """Return the files of a folder that are to be worked on; counts all of them."""
        done = set() if self._force else _done(self._bucket, folder)
        for page in self._pages(Prefix=folder.prefix):
            for listed in page.get("Contents", ()):
                file = self._file(listed)
                report.found += 1
                if _name(file) in done:
                    report.known += 1
                else:
                    yield file

    def _file(self, listed: dict[str, Any]) -> LogFile:
        notified = NotifiedObject(
            bucket=self._bucket,
            key=listed["Key"],
            etag=listed["ETag"].strip('"'),
            size=listed["Size"],
            announced_at=listed["LastModified"],
        )
        return LogFile(notified, parse_key(notified.key))


def _trail(account_id: str) -> str:
    return f"{ROOT}/{account_id}/CloudTrail/"


def _done(bucket: str, folder: Folder) -> set[tuple[datetime | None, str]]:
    """Return the names of the files that were stored or found to be of no use, with their hours."""
    midnight = datetime.combine(folder.day, time(), UTC)
    hours = IngestHour.objects.filter(
        aws_account_id=folder.aws_account_id,
        region=folder.region,
        hour__gte=midnight,
        hour__lt=midnight + timedelta(days=1),
    )
    seen = {
        (hour, name)
        for hour, names in hours.values_list("hour", "seen")
        for name in names.splitlines()
    }
    unread = IngestObject.objects.filter(
        bucket=bucket, aws_account_id=folder.aws_account_id, key__startswith=folder.prefix
    ).exclude(outcome=IngestObject.Outcome.OK)
    return seen - {_name_of(key) for key in unread.values_list("key", flat=True)}


def _name(file: LogFile) -> tuple[datetime | None, str]:
    return _name_of(file.notified.key)


def _name_of(text: str) -> tuple[datetime | None, str]:
    """Tell under which hour and name the ledger counts a file."""
    key = parse_key(text)
    if key is None or key.delivered_at is None:
        return None, text
    return key.delivered_at.replace(minute=0), key.packed_name


def _work_on(files: Iterable[LogFile], report: Report) -> None:
    deliveries = [Delivery(_message(file), files=[file]) for file in files]
    read_files(deliveries)
    store_deliveries(deliveries)
    for delivery in deliveries:
        [file] = delivery.files
        if file.problem:
            logger.error("%s was not replayed: %r", file.notified, file.problem)
            report.failed += 1
        elif file.outcome == IngestObject.Outcome.ARCHIVED:
            report.archived += 1
        else:
            report.replayed += 1


def _message(file: LogFile) -> Message:
    """Stand in for the message that would announce a file."""
    return Message(id=file.notified.key, receipt="", body="", sent_at=None, receives=1)
