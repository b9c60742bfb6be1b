"""Replays as a whole: begun, interrupted, gone on with, and finished (spec 10 §3.2).

How far one came stands in the database, so whoever asks for the same replay goes on with it. Tasks
take turns: one of them works at a time, for a minute, so that a long replay leaves at least three
of four workers to what is new.
"""

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from datetime import timedelta

from django.db import IntegrityError, transaction
from django.db.models.functions import Now
from redis import RedisError
from redis.exceptions import LockError

from api.clouds.aws.cloudtrail.listing import Folder, find
from api.clouds.aws.cloudtrail.replay import (
    BATCH,
    ReplayReport,
    Wanted,
    folders,
    replay_files,
    replay_folder,
)
from api.models import LogReplay
from util.locks import redis_lock

logger = logging.getLogger(__name__)

TURN_SECONDS = 300
"""For how long a turn is kept whose process was killed."""

FORGOTTEN_AFTER = timedelta(days=1)
"""After how long an interrupted replay begins anew when it is asked for again."""

COUNTED = ("found", "known", "replayed", "archived", "restoring", "no_logs")
"""Numbers of a report that are added up; files that failed are noted by their keys."""

MOST_FAILED = 1000
"""Files that fail, after which a replay waits for somebody to look why."""


class ReplayFailedError(RuntimeError):
    """Some files could not be replayed; the same replay, asked for again, tries them again."""


class _OutOfTime(Exception):
    """The rest is for the next turn."""


def replay(
    wanted: Wanted,
    *,
    seconds: float | None = None,
    told: Callable[[Folder, ReplayReport], None] = lambda folder, report: None,
) -> LogReplay:
    """Replay, or go on with the same replay, and return how far it came.

    It is not finished if it took longer than ``seconds``. ``told`` hears of each folder, with what
    became of its files in this turn. Raises ``TransientCloudError`` while S3 is away, and
    ``ReplayFailedError`` if files are left that failed twice.
    """
    row = _claim(wanted)
    deadline = None if seconds is None else time.monotonic() + seconds
    try:
        if not row.is_walked:
            _walk(row, wanted, deadline, told)
            _save(row, is_walked=True)
        _try_again(row, wanted, deadline)
    except _OutOfTime:
        return row
    _save(row, finished_at=Now())
    row.refresh_from_db()
    logger.info("Finished the %s: %s", row, result(row))
    return row


def result(row: LogReplay) -> dict[str, object]:
    """Return what became of the files so far."""
    return {
        **{name: getattr(row, name) for name in COUNTED},
        "failed": len(row.failed_keys),
        "done": row.finished_at is not None,
    }


@contextmanager
def turn() -> Iterator[bool]:
    """Return whether no other task is replaying logs; none is then while the block lasts.

    Where Redis is away nothing can be told, and the answer is yes: a replay may be repeated.
    """
    lock = redis_lock("replay-logs", TURN_SECONDS)
    try:
        claimed = bool(lock.acquire(blocking=False))
    except RedisError:
        logger.warning("Redis is not available: logs are replayed without a turn")
        yield True
        return
    try:
        yield claimed
    finally:
        if claimed:
            try:
                lock.release()
            except (LockError, RedisError):
                logger.warning("The turn of a replay had run out before its work was done")


def _claim(wanted: Wanted) -> LogReplay:
    """Return the unfinished replay of the same files, or a new one.

    One that was left alone for long is over: what it has behind it may have been lost since.
    """
    columns = asdict(wanted)
    unfinished = LogReplay.objects.filter(finished_at=None, **columns)
    unfinished.filter(worked_at__lt=Now() - FORGOTTEN_AFTER).update(finished_at=Now())
    try:
        with transaction.atomic():
            return LogReplay.objects.get_or_create(finished_at=None, **columns)[0]
    except IntegrityError:
        return LogReplay.objects.get(finished_at=None, **columns)


def _walk(
    row: LogReplay,
    wanted: Wanted,
    deadline: float | None,
    told: Callable[[Folder, ReplayReport], None],
) -> None:
    for folder in folders(wanted, after=row.position):
        report = ReplayReport()

        def done(
            key: str, part: ReplayReport, failed: Sequence[str], report: ReplayReport = report
        ) -> None:
            report.add(part)
            _note(row, key, part, failed)
            if deadline is not None and time.monotonic() > deadline:
                raise _OutOfTime

        try:
            replay_folder(folder, wanted, after=row.position, done=done)
        finally:
            logger.info("Replayed %s: %s", folder.prefix, asdict(report))
        told(folder, report)


def _note(row: LogReplay, key: str, part: ReplayReport, failed: Sequence[str]) -> None:
    """Store how far it is. Raises ``ReplayFailedError`` when too much has failed."""
    row.position = key
    row.failed_keys = [*row.failed_keys, *failed]
    for name in COUNTED:
        setattr(row, name, getattr(row, name) + getattr(part, name))
    _save(row)
    if len(row.failed_keys) > MOST_FAILED:
        raise ReplayFailedError(f"{len(row.failed_keys)} files failed; look at the log why")


def _try_again(row: LogReplay, wanted: Wanted, deadline: float | None) -> None:
    """Work once more on the files that failed; those that fail again stay noted."""
    left = list(row.failed_keys)
    while left:
        batch, left = left[:BATCH], left[BATCH:]
        listed = [one for key in batch if (one := find(key))]
        report, failed = (
            replay_files(listed, restore=wanted.restore) if listed else (ReplayReport(), [])
        )
        kept = [key for key in row.failed_keys if key not in batch or key in failed]
        _save(
            row,
            failed_keys=kept,
            replayed=row.replayed + report.replayed,
            archived=row.archived + report.archived,
            restoring=row.restoring + report.restoring,
        )
        if left and deadline is not None and time.monotonic() > deadline:
            raise _OutOfTime
    if row.failed_keys:
        raise ReplayFailedError(
            f"{len(row.failed_keys)} files failed, such as {row.failed_keys[0]}; run it again"
        )


def _save(row: LogReplay, **columns: object) -> None:
    for name, value in columns.items():
        setattr(row, name, value)
    row.worked_at = Now()
    row.save()
