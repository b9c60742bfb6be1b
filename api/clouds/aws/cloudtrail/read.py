"""Get: a batch of messages, the files that they announce, and what these say (spec 04 §8.2-§8.4).

Files are fetched in parallel and parsed one after the other, so that only a few are in memory at a
time. Whatever is wrong with one file or message concerns that one alone.
"""

import logging
from collections.abc import Container, Iterable, Sequence
from dataclasses import dataclass, field

from botocore.exceptions import ClientError

from api.clouds.aws.cloudtrail.digests import Digest, read_digest
from api.clouds.aws.cloudtrail.object_keys import ObjectKind, TrailKey, parse_key
from api.clouds.aws.cloudtrail.parse import TextTooLongError, UnreadableTextError, gunzip
from api.clouds.aws.cloudtrail.records import Log, Skip, read_log
from api.clouds.aws.cloudtrail.s3_notifications import (
    Form,
    NotifiedObject,
    UnreadableBodyError,
    parse_notification,
)
from api.clouds.aws.errors import code_of, is_access_denied, is_transient
from api.clouds.aws.notified_files import Content, TooLargeError, fetch
from api.clouds.aws.provisioning.queues import Message
from api.clouds.aws.selectors import load_accounts
from api.models import IngestObject
from util.parallel import in_parallel

logger = logging.getLogger(__name__)

FETCHERS = 8
"""Objects that are fetched at the same time."""

GZIP_TYPE = "application/x-gzip"

Outcome = IngestObject.Outcome


@dataclass(slots=True)
class LogFile:
    """An object that a notification named, and what became of it.

    ``problem`` is what may be gone at the next attempt: the message has to stay on the queue.
    ``outcome`` is set as soon as anything is known of the object's content. One that
    ``is_replayed`` is judged by what its accounts were at the time, any other by what they are now.
    """

    notified: NotifiedObject
    key: TrailKey | None = None
    etag: str = ""
    size: int | None = None
    skip: Skip | None = None
    outcome: str | None = None
    log: Log | None = None
    digest: Digest | None = None
    problem: Exception | None = None
    is_replayed: bool = False


@dataclass(slots=True)
class Delivery:
    """A message and the files that it announces; ``problem`` concerns the message itself.

    ``form`` is None for a message of a form that we do not know.
    """

    message: Message
    form: Form | None = None
    files: list[LogFile] = field(default_factory=list)
    problem: Exception | None = None

    @property
    def trouble(self) -> Exception | None:
        """Why the message cannot be done with, if anything."""
        return self.problem or next((one.problem for one in self.files if one.problem), None)


def read_deliveries(messages: Sequence[Message]) -> list[Delivery]:
    """Read messages and all that they announce and that can be of use. Never raises for one file.

    A file that two messages announce is read once, and shared by both.
    """
    deliveries = [_files_of(message) for message in messages]
    read_files(deliveries)
    return deliveries


def read_files(deliveries: Sequence[Delivery]) -> None:
    """Read the files that can be of use."""
    files: dict[tuple[str, str], LogFile] = {}
    for delivery in deliveries:
        delivery.files = [
            files.setdefault((one.notified.bucket, one.notified.key), one) for one in delivery.files
        ]
    _read_files(_worth_reading(files.values()))


def _files_of(message: Message) -> Delivery:
    delivery = Delivery(message)
    try:
        delivery.form, notified = parse_notification(message.body)
    except UnreadableBodyError as error:
        delivery.problem = error
        return delivery
    if not notified and delivery.form is not Form.TEST:
        logger.warning("Message %s announces nothing: %.200s", message.id, message.body)
    delivery.files = [LogFile(one, parse_key(one.key)) for one in notified]
    return delivery


def _worth_reading(files: Iterable[LogFile]) -> list[LogFile]:
    """Leave out files of unknown accounts and files that are no logs; log why."""
    found = list(files)
    accounts = load_accounts(one.key.account_id for one in found if one.key)
    for one in found:
        one.skip = _reason_to_skip(one.key, accounts)
        if one.skip is Skip.UNKNOWN_KEY:
            logger.warning("%r is not read: CloudTrail writes no such key", str(one.notified))
        elif one.skip is Skip.UNKNOWN_ACCOUNT:
            logger.info("%s is not read: its AWS account is unknown", one.notified)
    return [one for one in found if one.skip in (None, Skip.DIGEST)]


def _reason_to_skip(key: TrailKey | None, accounts: Container[str]) -> Skip | None:
    if key is None:
        return Skip.UNKNOWN_KEY
    if key.account_id not in accounts:
        return Skip.UNKNOWN_ACCOUNT
    return {ObjectKind.DIGEST: Skip.DIGEST, ObjectKind.INSIGHT: Skip.INSIGHT}.get(key.kind)


def _read_files(files: Sequence[LogFile]) -> None:
    for one, fetched in in_parallel(lambda file: fetch(file.notified), files, threads=FETCHERS):
        try:
            _take(one, fetched.result())
        except ClientError as error:
            _refused(one, error)
        except UnreadableTextError as error:
            logger.error("%s is no log and never will be: %s", one.notified, error)
            one.outcome = Outcome.UNREADABLE
        except (TextTooLongError, TooLargeError) as error:
            one.outcome, one.problem = Outcome.REJECTED, error
        except Exception as error:
            one.outcome, one.problem = Outcome.UNREADABLE, error


def _take(one: LogFile, content: Content) -> None:
    one.etag, one.size = content.etag, content.size
    packed = one.notified.key.endswith(".gz") or content.content_type == GZIP_TYPE
    text = gunzip(content.data) if packed else content.data
    if one.skip is Skip.DIGEST:
        one.digest = read_digest(text)
    else:
        one.log = read_log(text)
    one.outcome = Outcome.OK


def _refused(one: LogFile, error: ClientError) -> None:
    if is_transient(error):
        one.problem = error
        return
    code = code_of(error)
    one.outcome = {
        "NoSuchKey": Outcome.MISSING,
        "NoSuchBucket": Outcome.MISSING,
        "InvalidObjectState": Outcome.ARCHIVED,
    }.get(code, Outcome.UNREADABLE)
    level = logging.WARNING if is_access_denied(error) else logging.ERROR
    logger.log(level, "%s cannot be read and is given up: %s", one.notified, error)
