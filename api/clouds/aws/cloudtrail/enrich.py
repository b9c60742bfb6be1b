"""Get: what the logs do not say, asked of EC2 on demand (spec 04 §8.8).

One question per account and region for all instances, and one for all images, however many logs
mention them. Nothing waits for an answer that does not come (decision 47): instances are then
stored without an image, events without a type, images as unavailable, and all is asked again later.
"""

import logging
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NamedTuple, TypeVar

from botocore.exceptions import BotoCoreError, ClientError

from api.clouds.aws.arn import Arn, parse_arn
from api.clouds.aws.cloudtrail.filter import RelevantRecords
from api.clouds.aws.cloudtrail.records import InstanceRecord
from api.clouds.aws.describe.ec2 import (
    RUNNING,
    DescribedImage,
    DescribedInstance,
    describe_images,
    describe_instances,
)
from api.clouds.aws.errors import code_of, is_access_denied, is_throttling
from api.clouds.aws.images import ShownImage
from api.clouds.aws.selectors import Account, KnownImage, KnownInstance, load_images, load_instances
from api.models import DescribeRun
from util.postgres import DatabaseClock

logger = logging.getLogger(__name__)

PLACES_AT_ONCE = 8

Answer = TypeVar("Answer")


class AccountRegion(NamedTuple):
    """An account and one of its regions."""

    account: Account
    region: str


class FoundImage(NamedTuple):
    """An image as EC2 described it, and to whom."""

    image: DescribedImage
    where: AccountRegion


@dataclass(slots=True)
class Enrichment:
    """What EC2 said, and the record of each question for instances (09 P4).

    What it does not show, and what it could not be asked for, is absent. Times are PostgreSQL's
    (decision 41). ``runs`` are the records that are not stored yet.
    """

    instances: dict[str, DescribedInstance] = field(default_factory=dict)
    images: dict[str, FoundImage] = field(default_factory=dict)
    shown: list[ShownImage] = field(default_factory=list)
    runs: list[DescribeRun] = field(default_factory=list)
    stored_runs: list[DescribeRun] = field(default_factory=list)

    def good_runs(self) -> list[DescribeRun]:
        """Return the records of the questions that were answered."""
        runs = [*self.stored_runs, *self.runs]
        return [run for run in runs if run.outcome == DescribeRun.Outcome.OK]

    def note_stored(self, runs: Sequence[DescribeRun]) -> None:
        """Note that some of the records have been stored for good."""
        stored = {id(run) for run in runs}
        self.runs = [run for run in self.runs if id(run) not in stored]
        self.stored_runs.extend(runs)

    @property
    def asked_at(self) -> datetime:
        """When EC2 was first asked for instances; raises ValueError if it was not."""
        return min(run.started_at for run in self.good_runs())

    @property
    def read_at(self) -> datetime:
        """When all instances had been described; raises ValueError if none were."""
        return max(run.finished_at for run in self.good_runs() if run.finished_at)


def enrich(files: Sequence[RelevantRecords]) -> Enrichment:
    """Ask EC2 for the instances and images of which neither the logs nor we know enough.

    Never raises for what AWS answers, or that it does not. No database transaction may be open.
    """
    enrichment = Enrichment()
    records = [record for one in files for record in one.all_records]
    known = load_instances(instance_record.instance_id for _, instance_record in records)
    _ask_instances(enrichment, missing_instances(records, known))
    used = used_images(records, known, enrichment.instances)
    tagged = [
        (AccountRegion(account, change.region), change.image_id)
        for one in files
        for account, change in one.tag_changes
    ]
    images = load_images(
        [ami_id for _, ami_id in [*used, *tagged]], {where.account.id for where, _ in used}
    )
    _ask_images(enrichment, missing_images(used, tagged, images))
    return enrichment


def missing_instances(
    records: Iterable[tuple[Account, InstanceRecord]], known: Mapping[str, KnownInstance]
) -> dict[AccountRegion, set[str]]:
    """Select the instances of which type or image cannot be told. Pure."""
    complete, missing = set(), defaultdict(set)
    for account, instance_record in records:
        stored = known.get(instance_record.instance_id.lower())
        if stored and stored.stored.account_id != account.id:
            continue
        if _is_complete(instance_record, stored):
            complete.add(instance_record.instance_id)
        else:
            missing[AccountRegion(account, instance_record.region)].add(instance_record.instance_id)
    return {where: rest for where, ids in missing.items() if (rest := ids - complete)}


def _is_complete(instance_record: InstanceRecord, stored: KnownInstance | None) -> bool:
    if instance_record.instance_type and instance_record.image_id:
        return True
    return bool(stored and stored.stored.image_id and stored.typed_since)


def used_images(
    records: Iterable[tuple[Account, InstanceRecord]],
    known: Mapping[str, KnownInstance],
    described: Mapping[str, DescribedInstance],
) -> set[tuple[AccountRegion, str]]:
    """Return the images that instances were launched from, and where. Pure."""
    used = set()
    for account, instance_record in records:
        stored, told = (
            known.get(instance_record.instance_id.lower()),
            described.get(instance_record.instance_id),
        )
        ami_id = (
            instance_record.image_id
            or (told and told.image_id)
            or (stored and stored.ami_id)
            or None
        )
        if ami_id:
            used.add((AccountRegion(account, instance_record.region), ami_id))
    return used


def missing_images(
    used: Iterable[tuple[AccountRegion, str]],
    tagged: Iterable[tuple[AccountRegion, str]],
    known: Mapping[str, KnownImage],
) -> dict[AccountRegion, set[str]]:
    """Select the images to ask for.

    Those that are known are not asked for again, unless AWS did not show them then and an instance
    uses them now (README decision 9), or an account uses them for the first time, which may have
    tags of its own on them (decision 34). Pure.
    """
    missing: dict[AccountRegion, set[str]] = defaultdict(set)
    for where, ami_id in used:
        image = known.get(ami_id)
        if image is None or image.is_undescribed or where.account.id not in image.described_to:
            missing[where].add(ami_id)
    for where, ami_id in tagged:
        if ami_id not in known:
            missing[where].add(ami_id)
    return missing


def _ask_instances(enrichment: Enrichment, missing: Mapping[AccountRegion, set[str]]) -> None:
    if not missing:
        return
    clock = DatabaseClock()

    def ask(where: AccountRegion) -> tuple[DescribeRun, list[DescribedInstance] | Exception]:
        run = DescribeRun(
            cloud_account_id=where.account.id,
            region=where.region,
            kind=DescribeRun.Kind.ON_DEMAND,
            started_at=clock.now(),
        )
        answer = _answer(where, missing[where], describe_instances)
        run.finished_at = clock.now()
        run.outcome, run.error_code = outcome_of(answer), error_code(answer)
        if not isinstance(answer, Exception):
            run.listed = len(answer)
            run.running = sum(one.state == RUNNING for one in answer)
        return run, answer

    for run, answer in _everywhere(ask, missing).values():
        enrichment.runs.append(run)
        if not isinstance(answer, Exception):
            enrichment.instances |= {one.instance_id: one for one in answer}


def _ask_images(enrichment: Enrichment, missing: Mapping[AccountRegion, set[str]]) -> None:
    if not missing:
        return
    asked_at = DatabaseClock().now()

    def ask(where: AccountRegion) -> list[DescribedImage] | Exception:
        return _answer(where, missing[where], describe_images)

    for where, answer in _everywhere(ask, missing).items():
        if not isinstance(answer, Exception):
            found = {image.image_id: image for image in answer}
            for ami_id, image in found.items():
                enrichment.images.setdefault(ami_id, FoundImage(image, where))
            enrichment.shown += [
                ShownImage(where.account, ami_id, found.get(ami_id), asked_at)
                for ami_id in sorted(missing[where])
            ]


def _everywhere(
    ask: Callable[[AccountRegion], Answer], places: Iterable[AccountRegion]
) -> dict[AccountRegion, Answer]:
    wanted = list(places)
    if len(wanted) < 2:
        return {where: ask(where) for where in wanted}
    with ThreadPoolExecutor(min(PLACES_AT_ONCE, len(wanted)), "describe") as pool:
        return dict(zip(wanted, pool.map(ask, wanted), strict=True))


def _answer(
    where: AccountRegion,
    ids: Iterable[str],
    describe: Callable[[Arn, str, Iterable[str]], Iterable[Answer]],
) -> list[Answer] | Exception:
    """Ask in one account and region; return the answer, or why there is none (decision 47)."""
    try:
        return list(describe(parse_arn(where.account.arn), where.region, ids))
    except (ClientError, BotoCoreError) as error:
        level = logging.WARNING if is_access_denied(error) else logging.ERROR
        _report(level, where, error)
        return error
    except Exception as error:
        _report(logging.ERROR, where, error, exc_info=True)
        return error


def _report(level: int, where: AccountRegion, error: Exception, **options: Any) -> None:
    logger.log(
        level,
        "AWS account %s cannot be asked in %s: %s",
        where.account.aws_account_id,
        where.region,
        error,
        **options,
    )


def outcome_of(answer: object) -> str:
    """Say how a question to AWS ended, as the record of it does (09 P4)."""
    if not isinstance(answer, Exception):
        return str(DescribeRun.Outcome.OK)
    if is_access_denied(answer):
        return str(DescribeRun.Outcome.DENIED)
    if is_throttling(answer):
        return str(DescribeRun.Outcome.THROTTLED)
    return str(DescribeRun.Outcome.FAILED)


def error_code(answer: object) -> str:
    """Return AWS's code of an error, or the name of any other; empty if there was none."""
    if not isinstance(answer, Exception):
        return ""
    return code_of(answer) or type(answer).__name__
