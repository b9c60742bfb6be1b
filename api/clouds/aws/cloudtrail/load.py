"""Load: what a batch of log files says, in one short transaction (spec 04 §8.8, 09 P1-P5, P8).

Everything is bulk: the number of statements depends on how many customers a batch concerns, not on
how many records there are. All of it may be repeated: what is stored already stays as it is.
"""

import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import NamedTuple

from django.db import connection, transaction

from api.clouds.aws.cloudtrail import ingest_log
from api.clouds.aws.cloudtrail.enrich import Lookup, used_images
from api.clouds.aws.cloudtrail.filter import admit
from api.clouds.aws.cloudtrail.ingest_log import Entry
from api.clouds.aws.cloudtrail.records import POWER_ON, Sighting
from api.clouds.aws.describe.ec2 import DescribedInstance
from api.clouds.aws.describe.requests import request_describes
from api.clouds.aws.images import (
    SavedImages,
    WantedImage,
    inspect_after_all,
    save_images,
    store_tags,
)
from api.clouds.aws.selectors import Account, KnownInstance, load_accounts, load_instances
from api.clouds.corrections import Contradiction, save_corrections
from api.clouds.facts import Observation, save_facts
from api.clouds.load import (
    FoundInstance,
    NewEvent,
    SavedInstances,
    StoredEvent,
    save_events,
    save_instances,
)
from api.images.users import START_INSPECTIONS
from api.metering.locking import lock_metering_of_accounts, try_lock_metering_of_accounts
from api.metering.runs import recalculate_runs
from api.models import (
    CloudType,
    Correction,
    DescribeRun,
    InstanceEvent,
    MachineImage,
)
from api.models.instance import event_rank
from api.models.locking import lock_users
from util.tasks import enqueue
from util.transaction_limits import wait_for_locks

logger = logging.getLogger(__name__)

SOURCE = "cloudtrail"
LONG_AGO = datetime.min.replace(tzinfo=UTC)


class Mention(NamedTuple):
    """A sighting, its account, and the file it is from; only some count as events."""

    account: Account
    sighting: Sighting
    entry: Entry
    counts: bool


@dataclass(slots=True)
class _Batch:
    """What is to be stored, in the order of time, and what has been stored of it so far."""

    entries: Sequence[Entry]
    lookup: Lookup
    mentions: list[Mention]
    known: Mapping[str, KnownInstance]
    images: SavedImages = field(default_factory=SavedImages)
    instances: SavedInstances = field(default_factory=SavedInstances)
    events: list[StoredEvent] = field(default_factory=list)
    filled_types: list[NewEvent] = field(default_factory=list)

    def ours(self) -> Iterator[tuple[Mention, int]]:
        """Give the mentions of instances that are the mentioning account's, with their ids."""
        for mention in self.mentions:
            stored = self.instances.of(mention.account.id, mention.sighting.instance_id)
            if stored:
                yield mention, stored.id


def store_entries(
    entries: Sequence[Entry], lookup: Lookup, *, wait: bool, lock_seconds: float
) -> list[Entry]:
    """Store what files say of accounts that are metered, and count the files; return what is left.

    Holds the task locks of the users concerned, and looks again under them at what has become of
    their accounts. Left are files of accounts that belong to another user by now and, without
    ``wait``, those of users of whom somebody else holds a lock. Any lock is waited for
    ``lock_seconds`` at most. Inspections of new images are queued when all is committed.
    """
    with transaction.atomic():
        wait_for_locks(connection, lock_seconds)
        users = {user_id for entry in entries for user_id in entry.user_ids}
        with _held(users, wait=wait) as held:
            possible = [entry for entry in entries if wait or entry.user_ids <= held]
            accounts = _admit_again(possible)
            stored = [entry for entry in possible if entry.user_ids <= held]
            runs = [
                run
                for run in lookup.runs
                if (account := accounts.get(run.cloud_account_id)) and account.user_id in held
            ]
            _store(stored, lookup, runs)
    lookup.note_stored(runs)
    done = {id(entry) for entry in stored}
    return [entry for entry in entries if id(entry) not in done]


@contextmanager
def _held(user_ids: Iterable[int], *, wait: bool) -> Iterator[set[int]]:
    with lock_users(user_ids, wait=wait) as users:
        if wait:
            lock_metering_of_accounts(*users)
            yield set(users)
        else:
            yield set(try_lock_metering_of_accounts(users))


def _store(entries: Sequence[Entry], lookup: Lookup, runs: Iterable[DescribeRun]) -> None:
    for run in runs:
        run.save(force_insert=True)
    ingest_log.save_objects(entries)
    _store_batch(_gather(entries, lookup))
    ingest_log.add_stored(entries)
    ingest_log.save_digests(entries)
    ingest_log.count_files(entries)
    _request_describes(entries)


def _admit_again(entries: Sequence[Entry]) -> dict[int, Account]:
    """Look again at what files are for us; return all accounts that they mention, by their ids."""
    for entry in entries:
        # Of an attempt that was rolled back nothing is left.
        entry.object_id, entry.stored = None, 0
    logs = [(entry, entry.file.log) for entry in entries if entry.file.log]
    accounts = load_accounts(account_id for _, log in logs for account_id in log.account_ids)
    for entry, log in logs:
        entry.admitted = admit(log, accounts)
    return {account.id: account for account in accounts.values()}


def _request_describes(entries: Sequence[Entry]) -> None:
    """Have EC2 asked for what the logs leave out, once for each account (decision 46)."""
    accounts = {account for entry in entries for account in entry.admitted.unread}
    for account in sorted(accounts, key=lambda one: one.aws_account_id):
        logger.warning(
            "AWS account %s is described: its logs leave out which instances were meant",
            account.aws_account_id,
        )
    if accounts:
        request_describes(account.id for account in accounts)


def _gather(entries: Sequence[Entry], lookup: Lookup) -> _Batch:
    mentions = [
        Mention(account, sighting, entry, counts)
        for entry in entries
        for counts, group in ((True, entry.admitted.sightings), (False, entry.admitted.unseen))
        for account, sighting in group
    ]
    mentions.sort(key=_in_order)
    return _Batch(
        entries=entries,
        lookup=lookup,
        mentions=mentions,
        known=load_instances(one.sighting.instance_id for one in mentions),
    )


def _in_order(mention: Mention) -> tuple[datetime, int, datetime]:
    """Order what happened; of one instant, as it is counted, and as it was delivered and written.

    Python's sorting keeps the order of a file.
    """
    sighting, key = mention.sighting, mention.entry.file.key
    delivered_at = key and key.delivered_at
    return sighting.occurred_at, event_rank(sighting.event_name), delivered_at or LONG_AGO


def _store_batch(batch: _Batch) -> None:
    changes = [one for entry in batch.entries for one in entry.admitted.tag_changes]
    if not batch.mentions and not changes:
        return
    batch.images = save_images(_wanted_images(batch))
    untagged = store_tags(batch.images, changes=changes, shown=batch.lookup.shown)
    batch.instances = save_instances(
        cloud_type=str(CloudType.AWS), found=[_found(batch, one) for one in batch.mentions]
    )
    _note_strangers(batch)
    batch.events = save_events(_events(batch))
    _count_stored(batch)
    save_facts(_observations(batch))
    if batch.lookup.instances:
        save_corrections(_contradictions(batch), before=batch.lookup.asked_at)
    _recalculate(batch)
    _start_inspections(batch)
    inspect_after_all(batch.images, untagged, changes=changes)


def _wanted_images(batch: _Batch) -> Iterator[WantedImage]:
    mentions = [(one.account, one.sighting) for one in batch.mentions]
    ami_ids = {ami_id for _, ami_id in used_images(mentions, batch.known, batch.lookup.instances)}
    for entry in batch.entries:
        ami_ids |= {change.image_id for _, change in entry.admitted.tag_changes}
    for ami_id in ami_ids:
        found = batch.lookup.images.get(ami_id)
        if found:
            image, place = found
            yield WantedImage(ami_id, image, place.region, image.is_windows)
        else:
            yield WantedImage(ami_id, None, None, is_windows=False)


def _found(batch: _Batch, mention: Mention) -> FoundInstance:
    sighting = mention.sighting
    described = batch.lookup.instances.get(sighting.instance_id)
    ami_id = sighting.image_id or (described.image_id if described else None)
    return FoundInstance(
        cloud_instance_id=sighting.instance_id,
        account_id=mention.account.id,
        region=sighting.region,
        image_id=batch.images.id_of(ami_id),
    )


def _note_strangers(batch: _Batch) -> None:
    for name in sorted(batch.instances.foreign):
        logger.error("Instance %s is another account's; what a log says of it is dropped", name)
    for name in sorted(batch.instances.moved):
        logger.warning("Instance %s was seen in another region than before", name)


def _events(batch: _Batch) -> list[NewEvent]:
    types = _Types(batch.known, batch.lookup.instances)
    events = []
    for mention, instance_id in batch.ours():
        if not mention.counts:
            continue
        sighting = mention.sighting
        instance_type = types.of(sighting)
        event = NewEvent(
            instance_id=instance_id,
            account_id=mention.account.id,
            event_type=sighting.event_type,
            occurred_at=sighting.occurred_at,
            instance_type=instance_type,
            subnet=sighting.subnet,
            origin=InstanceEvent.Origin.CLOUDTRAIL,
            source_id=sighting.event_id,
            source_name=sighting.event_name,
            source_object=mention.entry.object_id,
            source_index=sighting.place,
        )
        events.append(event)
        if instance_type != sighting.instance_type and instance_id not in batch.instances.added:
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

    def of(self, sighting: Sighting) -> str | None:
        """Give the type of the next event of an instance."""
        name = sighting.instance_id
        instance_type = sighting.instance_type
        if instance_type is None and sighting.event_type == POWER_ON:
            described = self._described.pop(name, None)
            since = self._typed_since.get(name.lower())
            if since is None or since > sighting.occurred_at:
                instance_type = described
        if instance_type is not None:
            since = self._typed_since.get(name.lower(), sighting.occurred_at)
            self._typed_since[name.lower()] = min(since, sighting.occurred_at)
        return instance_type


def _count_stored(batch: _Batch) -> None:
    by_object = {entry.object_id: entry for entry in batch.entries if entry.object_id}
    for event in batch.events:
        if event.source_object in by_object:
            by_object[event.source_object].stored += 1


def _observations(batch: _Batch) -> Iterator[Observation]:
    for mention, instance_id in batch.ours():
        sighting = mention.sighting
        if sighting.instance_type is None:
            continue
        traits = sighting.traits._asdict() if sighting.traits else {}
        yield Observation(
            instance_id,
            sighting.occurred_at,
            SOURCE,
            {"instance_type": sighting.instance_type, **traits},
        )
    for instance_id, described in _described(batch).items():
        seen_at = batch.lookup.read_at
        yield Observation(instance_id, seen_at, DescribeRun.Kind.ON_DEMAND, described.facts)


def _described(batch: _Batch) -> dict[int, DescribedInstance]:
    return {
        instance_id: described
        for mention, instance_id in batch.ours()
        if (described := batch.lookup.instances.get(mention.sighting.instance_id))
    }


def _contradictions(batch: _Batch) -> list[Contradiction]:
    """Tell what EC2 knew of instances that we knew less of."""
    runs = {(run.cloud_account_id, run.region): run.id for run in batch.lookup.good_runs()}
    account_of = {row.id: row for row in batch.instances.known.values()}
    described = _described(batch)
    ids = {_identity(one): one.id for one in batch.events}
    seen_at = batch.lookup.read_at

    def contradiction(instance_id: int, kind: str, event_id: int | None) -> Contradiction:
        row = account_of[instance_id]
        run_id = runs.get((row.account_id, row.region))
        return Contradiction(instance_id, row.account_id, kind, seen_at, event_id, run_id)

    found = [
        contradiction(instance_id, Correction.Kind.IMAGE_FILLED, None)
        for instance_id in sorted(batch.instances.image_filled & described.keys())
    ]
    for event in batch.filled_types:
        event_id = ids.get(_identity(event))
        if event_id is not None:
            found.append(contradiction(event.instance_id, Correction.Kind.TYPE_FILLED, event_id))
    return found


def _identity(event: NewEvent | StoredEvent) -> tuple[object, ...]:
    return event.instance_id, event.event_type, event.occurred_at, event.source_id


def _recalculate(batch: _Batch) -> None:
    """Make the runs right of all instances with new events, or with an image at last."""
    users = {one.account.id: one.account.user_id for one in batch.mentions}
    account_of = {row.id: row.account_id for row in batch.instances.known.values()}
    touched: dict[int, set[int]] = {}
    for instance_id in {event.instance_id for event in batch.events} | batch.instances.image_filled:
        touched.setdefault(users[account_of[instance_id]], set()).add(instance_id)
    for user_id in sorted(touched):
        recalculate_runs(user_id=user_id, instance_ids=touched[user_id])


def _start_inspections(batch: _Batch) -> None:
    """Queue the inspection of new images."""
    wanted = []
    for ami_id in sorted(batch.images.new):
        found, image = batch.lookup.images.get(ami_id), batch.images.known[ami_id]
        if found and image.status == MachineImage.Status.PENDING:
            wanted.append([found.place.account.arn, ami_id, found.place.region])
    if wanted:
        enqueue(START_INSPECTIONS, wanted)
