"""Load: what a batch of log files says, in one short transaction (spec 04 §8.8, 09 P1-P5, P8).

Everything is bulk: the number of statements depends on how many customers a batch concerns, not on
how many records there are. All of it may be repeated: what is stored already stays as it is.
"""

import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple

from django.db import connection, transaction

from api.clouds.aws.cloudtrail import ingest_log
from api.clouds.aws.cloudtrail.enrich import Enrichment, used_images
from api.clouds.aws.cloudtrail.filter import FileResult, select_from_files
from api.clouds.aws.cloudtrail.records import POWER_ON, InstanceRecord
from api.clouds.aws.describe.ec2 import DescribedInstance
from api.clouds.aws.describe.requests import request_describes
from api.clouds.aws.images import (
    SavedImages,
    WantedImage,
    inspect_after_all,
    save_images,
    store_tags,
)
from api.clouds.aws.selectors import Account, KnownInstance, load_instances
from api.clouds.corrections import NewCorrection, explain_corrections, save_corrections
from api.clouds.facts import Observation, save_facts
from api.clouds.load import (
    FoundInstance,
    NewEvent,
    SavedInstances,
    StoredEvent,
    save_events,
    save_instances,
)
from api.images.tags import distrust_tags
from api.images.users import START_INSPECTIONS
from api.metering.locking import lock_metering_of_accounts, try_lock_metering_of_accounts
from api.metering.runs import recalculate_runs
from api.models import (
    Cause,
    CloudType,
    Correction,
    DescribeRun,
    InstanceEvent,
    MachineImage,
)
from api.models.instance import event_rank
from api.models.locking import lock_users
from util.clock import LONG_AGO
from util.tasks import enqueue
from util.transaction_limits import wait_for_locks

logger = logging.getLogger(__name__)

SOURCE = "cloudtrail"


class FileRecord(NamedTuple):
    """An instance record, its account, and its file; only some count as events."""

    account: Account
    instance_record: InstanceRecord
    file_result: FileResult
    counts: bool


@dataclass(slots=True)
class _Batch:
    """What is to be stored, in the order of time, and what has been stored of it so far."""

    file_results: Sequence[FileResult]
    enrichment: Enrichment
    file_records: list[FileRecord]
    known: Mapping[str, KnownInstance]
    images: SavedImages = field(default_factory=SavedImages)
    instances: SavedInstances = field(default_factory=SavedInstances)
    events: list[StoredEvent] = field(default_factory=list)
    filled_types: list[NewEvent] = field(default_factory=list)

    def ours(self) -> Iterator[tuple[FileRecord, int]]:
        """Yield the records of instances that belong to the record's account, with their ids."""
        for file_record in self.file_records:
            stored = self.instances.of(
                file_record.account.id, file_record.instance_record.instance_id
            )
            if stored:
                yield file_record, stored.id


def store_file_results(
    file_results: Sequence[FileResult], enrichment: Enrichment, *, wait: bool, lock_seconds: float
) -> list[FileResult]:
    """Store what files say of accounts that are metered, and count the files; return what is left.

    Holds the task locks of the users concerned, and looks again under them at what has become of
    their accounts. Left are files of accounts that belong to another user by now and, without
    ``wait``, those of users of whom somebody else holds a lock. Any lock is waited for
    ``lock_seconds`` at most. Inspections of new images are queued when all is committed.
    """
    with transaction.atomic():
        wait_for_locks(connection, lock_seconds)
        users = {user_id for file_result in file_results for user_id in file_result.user_ids}
        with _held(users, wait=wait) as held:
            possible = [
                file_result for file_result in file_results if wait or file_result.user_ids <= held
            ]
            accounts = _select_again(possible)
            stored = [file_result for file_result in possible if file_result.user_ids <= held]
            runs = [
                run
                for run in enrichment.runs
                if (account := accounts.get(run.cloud_account_id)) and account.user_id in held
            ]
            _store(stored, enrichment, runs)
    enrichment.note_stored(runs)
    done = {id(file_result) for file_result in stored}
    return [file_result for file_result in file_results if id(file_result) not in done]


@contextmanager
def _held(user_ids: Iterable[int], *, wait: bool) -> Iterator[set[int]]:
    with lock_users(user_ids, wait=wait) as users:
        if wait:
            lock_metering_of_accounts(*users)
            yield set(users)
        else:
            yield set(try_lock_metering_of_accounts(users))


def _store(
    file_results: Sequence[FileResult], enrichment: Enrichment, runs: Iterable[DescribeRun]
) -> None:
    for run in runs:
        run.save(force_insert=True)
    ingest_log.save_objects(file_results)
    _distrust_tags(file_results)
    _store_batch(_gather(file_results, enrichment))
    ingest_log.add_stored(file_results)
    ingest_log.save_digests(file_results)
    ingest_log.count_files(file_results)
    _request_describes(file_results)


def _select_again(file_results: Sequence[FileResult]) -> dict[int, Account]:
    """Look again at what files are for us; return all accounts that they name, by id."""
    for file_result in file_results:
        # Of an attempt that was rolled back nothing is left.
        file_result.object_id, file_result.stored, file_result.counted = None, 0, 0
    return select_from_files(file_results)


def _distrust_tags(file_results: Sequence[FileResult]) -> None:
    """Have tags described anew of which the logs do not tell all changes (decision 46)."""
    unread = [one for file in file_results for one in file.relevant.unread_tags.items()]
    if unread:
        distrust_tags([(account.id, at) for account, at in unread])


def _request_describes(file_results: Sequence[FileResult]) -> None:
    """Have EC2 asked for what the logs leave out, once for each account (decision 46)."""
    accounts = {account for file_result in file_results for account in file_result.relevant.unread}
    for account in sorted(accounts, key=lambda one: one.aws_account_id):
        logger.warning(
            "AWS account %s is described: its logs leave out what was meant",
            account.aws_account_id,
        )
    if accounts:
        request_describes(account.id for account in accounts)


def _gather(file_results: Sequence[FileResult], enrichment: Enrichment) -> _Batch:
    file_records = [
        FileRecord(account, instance_record, file_result, counts)
        for file_result in file_results
        for counts, group in (
            (True, file_result.relevant.instance_records),
            (False, file_result.relevant.before_registration),
        )
        for account, instance_record in group
    ]
    file_records.sort(key=_in_order)
    return _Batch(
        file_results=file_results,
        enrichment=enrichment,
        file_records=file_records,
        known=load_instances(one.instance_record.instance_id for one in file_records),
    )


def _in_order(file_record: FileRecord) -> tuple[datetime, int, datetime]:
    """Order what happened; of one instant, as it is counted, and as it was delivered and written.

    Python's sorting keeps the order of a file.
    """
    instance_record, key = file_record.instance_record, file_record.file_result.file.key
    delivered_at = key and key.delivered_at
    return (
        instance_record.occurred_at,
        event_rank(instance_record.event_name),
        delivered_at or LONG_AGO,
    )


def _store_batch(batch: _Batch) -> None:
    changes = [
        one for file_result in batch.file_results for one in file_result.relevant.tag_changes
    ]
    if not batch.file_records and not changes:
        return
    batch.images = save_images(_wanted_images(batch))
    untagged = store_tags(batch.images, changes=changes, shown=batch.enrichment.shown)
    batch.instances = save_instances(
        cloud_type=str(CloudType.AWS), found=[_found(batch, one) for one in batch.file_records]
    )
    _note_strangers(batch)
    batch.events = save_events(_events(batch))
    _count_stored(batch)
    save_facts(_observations(batch))
    if batch.enrichment.instances:
        save_corrections(
            _corrections(batch), cloud_type=str(CloudType.AWS), before=batch.enrichment.asked_at
        )
    explain_corrections([event.id for event in batch.events])
    _recalculate(batch)
    _start_inspections(batch)
    inspect_after_all(batch.images, untagged, changes=changes)


def _wanted_images(batch: _Batch) -> Iterator[WantedImage]:
    file_records = [(one.account, one.instance_record) for one in batch.file_records]
    ami_ids = {
        ami_id for _, ami_id in used_images(file_records, batch.known, batch.enrichment.instances)
    }
    for file_result in batch.file_results:
        ami_ids |= {change.image_id for _, change in file_result.relevant.tag_changes}
    for ami_id in ami_ids:
        found = batch.enrichment.images.get(ami_id)
        if found:
            image, where = found
            yield WantedImage(ami_id, image, where.region, image.is_windows)
        else:
            yield WantedImage(ami_id, None, None, is_windows=False)


def _found(batch: _Batch, file_record: FileRecord) -> FoundInstance:
    instance_record = file_record.instance_record
    described = batch.enrichment.instances.get(instance_record.instance_id)
    ami_id = instance_record.image_id or (described.image_id if described else None)
    return FoundInstance(
        cloud_instance_id=instance_record.instance_id,
        account_id=file_record.account.id,
        region=instance_record.region,
        image_id=batch.images.id_of(ami_id),
    )


def _note_strangers(batch: _Batch) -> None:
    for name in sorted(batch.instances.foreign):
        logger.error("Instance %s is another account's; what a log says of it is dropped", name)
    for name in sorted(batch.instances.moved):
        logger.warning("Instance %s was seen in another region than before", name)


def _events(batch: _Batch) -> list[NewEvent]:
    types = _Types(batch.known, batch.enrichment.instances)
    events = []
    for file_record, instance_id in batch.ours():
        if not file_record.counts:
            continue
        instance_record = file_record.instance_record
        instance_type = types.of(instance_record)
        event = NewEvent(
            instance_id=instance_id,
            account_id=file_record.account.id,
            event_type=instance_record.event_type,
            occurred_at=instance_record.occurred_at,
            instance_type=instance_type,
            subnet=instance_record.subnet,
            origin=InstanceEvent.Origin.CLOUDTRAIL,
            source_id=instance_record.event_id,
            source_name=instance_record.event_name,
            source_object=file_record.file_result.object_id,
            source_index=instance_record.record_index,
        )
        events.append(event)
        if (
            instance_type != instance_record.instance_type
            and instance_id not in batch.instances.added
        ):
            batch.filled_types.append(event)
    return events


class _Types:
    """The types of events, asked in the order of time (spec 04 §8.8, "Event details").

    An event has the type that its record names. The first power-on without one gets the type that
    EC2 describes, if no event up to that time had any.
    """

    def __init__(
        self, known: Mapping[str, KnownInstance], described: Mapping[str, DescribedInstance]
    ) -> None:
        self._typed_since: dict[str, datetime] = {
            name: one.typed_since for name, one in known.items() if one.typed_since
        }
        self._described = {
            name: one.instance_type for name, one in described.items() if one.instance_type
        }

    def of(self, instance_record: InstanceRecord) -> str | None:
        """Return the type of the next event of an instance."""
        name = instance_record.instance_id
        instance_type = instance_record.instance_type
        if instance_type is None and instance_record.event_type == POWER_ON:
            described = self._described.pop(name, None)
            since = self._typed_since.get(name.lower())
            if since is None or since > instance_record.occurred_at:
                instance_type = described
        if instance_type is not None:
            since = self._typed_since.get(name.lower(), instance_record.occurred_at)
            self._typed_since[name.lower()] = min(since, instance_record.occurred_at)
        return instance_type


def _count_stored(batch: _Batch) -> None:
    by_object = {
        file_result.object_id: file_result
        for file_result in batch.file_results
        if file_result.object_id
    }
    for event in batch.events:
        if event.source_object in by_object:
            by_object[event.source_object].stored += 1


def _observations(batch: _Batch) -> Iterator[Observation]:
    for file_record, instance_id in batch.ours():
        instance_record = file_record.instance_record
        if instance_record.instance_type is None:
            continue
        traits = instance_record.traits._asdict() if instance_record.traits else {}
        yield Observation(
            instance_id,
            instance_record.occurred_at,
            SOURCE,
            {"instance_type": instance_record.instance_type, **traits},
        )
    for instance_id, described in _described(batch).items():
        seen_at = batch.enrichment.read_at
        yield Observation(instance_id, seen_at, DescribeRun.Kind.ON_DEMAND, described.facts)


def _described(batch: _Batch) -> dict[int, DescribedInstance]:
    return {
        instance_id: described
        for file_record, instance_id in batch.ours()
        if (described := batch.enrichment.instances.get(file_record.instance_record.instance_id))
    }


def _corrections(batch: _Batch) -> list[NewCorrection]:
    """Return what EC2 knew of instances that we knew less of."""
    runs = {(run.cloud_account_id, run.region): run.id for run in batch.enrichment.good_runs()}
    account_of = {row.id: row for row in batch.instances.known.values()}
    described = _described(batch)
    ids = {_identity(one): one.id for one in batch.events}
    seen_at = batch.enrichment.read_at

    def correction(instance_id: int, kind: str, event_id: int | None) -> NewCorrection:
        row = account_of[instance_id]
        run_id = runs.get((row.account_id, row.region))
        return NewCorrection(instance_id, row.account_id, kind, seen_at, event_id, run_id)

    found = [
        correction(instance_id, Correction.Kind.IMAGE_FILLED, None)
        for instance_id in sorted(batch.instances.image_filled & described.keys())
    ]
    for event in batch.filled_types:
        event_id = ids.get(_identity(event))
        if event_id is not None:
            found.append(correction(event.instance_id, Correction.Kind.TYPE_FILLED, event_id))
    return found


def _identity(event: NewEvent | StoredEvent) -> tuple[object, ...]:
    return event.instance_id, event.event_type, event.occurred_at, event.source_id


def _recalculate(batch: _Batch) -> None:
    """Make the runs right of all instances with new events, or with an image at last."""
    users = {one.account.id: one.account.user_id for one in batch.file_records}
    account_of = {row.id: row.account_id for row in batch.instances.known.values()}
    touched: dict[int, set[int]] = {}
    for instance_id in {event.instance_id for event in batch.events} | batch.instances.image_filled:
        touched.setdefault(users[account_of[instance_id]], set()).add(instance_id)
    is_replay = any(file_result.file.is_replayed for file_result in batch.file_results)
    because = Cause.REPLAY if is_replay else None
    for user_id in sorted(touched):
        recalculate_runs(user_id=user_id, instance_ids=touched[user_id], because=because)


def _start_inspections(batch: _Batch) -> None:
    """Queue the inspection of new images."""
    wanted = []
    for ami_id in sorted(batch.images.new):
        found, image = batch.enrichment.images.get(ami_id), batch.images.known[ami_id]
        if found and image.status == MachineImage.Status.PENDING:
            wanted.append([found.where.account.arn, ami_id, found.where.region])
    if wanted:
        enqueue(START_INSPECTIONS, wanted)
