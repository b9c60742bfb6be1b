"""Keep the stored runs and states of instances equal to what their events say (spec 07 §3, §4).

A batch of instances costs the same few statements however many they are; what is right already is
not written. One instance may have more events than a process can hold (decision 43): they are read
through a cursor of the server, become runs one by one, and are compared with the stored ones, which
come through a cursor too; what differs is written some at a time.
"""

import json
import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import groupby
from operator import itemgetter
from typing import Any

from django.db import connection, transaction

from api.metering.cpus import CpuOptions, cpu_options_of, sizes_within
from api.metering.definitions import Size, sizes_of
from api.metering.difference import Difference, RunFacts, StoredRun, WantedRun, side_by_side
from api.metering.locking import lock_metering_of_accounts
from api.metering.metrics import RUNS, SECONDS
from api.metering.power_states import save_latest
from api.metering.staleness import forget_sums, mark_days_stale
from api.metering.timeline import Course, Instant, Latest, PowerRun
from api.models import Cause
from api.models.instance import EVENT_RANK
from util import clock
from util.arrays import array_literal
from util.batches import batched_by_size

logger = logging.getLogger(__name__)

INSTANCES_AT_ONCE = 1000
EVENTS_AT_ONCE = 100_000
RUNS_AT_ONCE = 20_000
"""Bounds of what is in memory at once, which bound the memory of a worker."""

# Instants are whole microseconds since 1970: as numbers they pass between PostgreSQL and Python
# several times faster than aware datetimes do.

_COUNT_EVENTS = """
SELECT instance_id, count(*)
FROM api_instanceevent
WHERE instance_id = ANY(%s)
GROUP BY instance_id
"""

_INSTANCES = """
SELECT instance.id, instance.power_state,
       (extract(epoch FROM instance.power_changed_at) * 1000000)::bigint,
       instance.instance_type, instance.cloud_account_id, instance.machine_image_id,
       instance.cloud_type,
       CASE WHEN instance.former_images IS NOT NULL THEN (
           SELECT jsonb_agg(jsonb_build_array(entry -> 0, image.id) ORDER BY place)::text
           FROM jsonb_array_elements(instance.former_images)
                WITH ORDINALITY AS former (entry, place)
           LEFT JOIN api_machineimage image ON image.id = (entry ->> 1)::bigint)
       END
FROM api_instance instance
JOIN api_cloudaccount account ON account.id = instance.cloud_account_id
WHERE instance.id = ANY(%s) AND account.user_id = %s
"""

_EVENTS = f"""
SELECT instance_id, (extract(epoch FROM occurred_at) * 1000000)::bigint,
       {EVENT_RANK}, event_type, instance_type
FROM api_instanceevent
WHERE instance_id = ANY(%s)
ORDER BY instance_id, occurred_at, 3, id
"""  # noqa: S608 - made of constants

_RUNS = """
SELECT instance_id, id,
       (extract(epoch FROM start_time) * 1000000)::bigint,
       (extract(epoch FROM end_time) * 1000000)::bigint,
       machine_image_id, instance_type, vcpu, memory, cpus, resizes::text
FROM api_run
WHERE instance_id = ANY(%s)
ORDER BY instance_id, start_time
"""

_REMOVE = "DELETE FROM api_run WHERE id = ANY(%s::bigint[])"

_CHANGE = """
UPDATE api_run run
SET end_time = TIMESTAMPTZ 'epoch' + wanted.ends * INTERVAL '1 microsecond',
    machine_image_id = wanted.image, instance_type = wanted.instance_type,
    vcpu = wanted.vcpu, memory = wanted.memory, cpus = wanted.cpus, resizes = wanted.resizes,
    updated_at = %s
FROM unnest(%s::bigint[], %s::bigint[], %s::bigint[], %s::text[], %s::integer[], %s::float8[],
            %s::integer[], %s::jsonb[])
     AS wanted (id, ends, image, instance_type, vcpu, memory, cpus, resizes)
WHERE run.id = wanted.id
"""

# The run stays as it was for those who read the internal API.
_RESIZE = """
UPDATE api_run run
SET cpus = wanted.cpus, resizes = wanted.resizes
FROM unnest(%s::bigint[], %s::integer[], %s::jsonb[]) AS wanted (id, cpus, resizes)
WHERE run.id = wanted.id
"""

_ADD = """
WITH added AS (
    INSERT INTO api_run (instance_id, cloud_account_id, start_time, end_time, machine_image_id,
                         instance_type, vcpu, memory, cpus, resizes, created_at, updated_at)
    SELECT instance, account,
           TIMESTAMPTZ 'epoch' + starts * INTERVAL '1 microsecond',
           TIMESTAMPTZ 'epoch' + ends * INTERVAL '1 microsecond',
           image, instance_type, vcpu, memory, cpus, resizes, %s, %s
    FROM unnest(%s::bigint[], %s::bigint[], %s::bigint[], %s::bigint[], %s::bigint[], %s::text[],
                %s::integer[], %s::float8[], %s::integer[], %s::jsonb[])
         AS wanted (instance, account, starts, ends, image, instance_type, vcpu, memory,
                    cpus, resizes)
    RETURNING id
)
SELECT id FROM added ORDER BY id LIMIT 10
"""


@dataclass
class RunChanges:
    """How many runs were written."""

    added: int = 0
    changed: int = 0
    removed: int = 0

    def __bool__(self) -> bool:
        """Return whether any was."""
        return bool(self.added or self.changed or self.removed)

    def count(self, difference: Difference) -> None:
        """Add what was written of one difference."""
        self.added += len(difference.added)
        self.changed += len(difference.changed)
        self.removed += len(difference.removed)

    def add(self, batch: "RunChanges") -> None:
        """Add what one batch wrote, which is committed."""
        for change, number in vars(batch).items():
            setattr(self, change, getattr(self, change) + number)
            RUNS.labels(change).inc(number)


def recalculate_runs(
    *, user_id: int, instance_ids: Iterable[int], because: str | None = None
) -> RunChanges:
    """Make the runs of a customer's instances right, and withdraw the days that this touches.

    ``because`` is a further cause of it, beside what happened to the runs (09 P11).

    Works in batches, each in a transaction of its own that holds the customer's metering lock: no
    two recalculations of one instance run at once. Instances that are gone, or another's, are left
    out. Only differing runs are written.
    """
    changes = RunChanges()
    for batch in _batches(sorted(set(instance_ids))):
        with SECONDS.labels("runs").time():
            changes.add(_recalculate_batch(user_id, batch, because))
    if changes:
        logger.info(
            "Recalculated runs of user %s: %s added, %s changed, %s removed",
            user_id,
            changes.added,
            changes.changed,
            changes.removed,
        )
    return changes


@dataclass
class _InstanceBatch:
    """Instances, in the order of their ids, and how many events they have."""

    instance_ids: list[int] = field(default_factory=list)
    events: int = 0


def _batches(instance_ids: Sequence[int]) -> Iterator[_InstanceBatch]:
    """Split instances so that no batch of several has too many of them, or too many events."""
    for first in range(0, len(instance_ids), INSTANCES_AT_ONCE):
        ids = list(instance_ids[first : first + INSTANCES_AT_ONCE])
        counts = dict(_fetch(_COUNT_EVENTS, [ids]))
        batch = _InstanceBatch()
        for instance_id in ids:
            count = counts.get(instance_id, 0)
            if batch.instance_ids and batch.events + count > EVENTS_AT_ONCE:
                yield batch
                batch = _InstanceBatch()
            batch.instance_ids.append(instance_id)
            batch.events += count
        yield batch


@transaction.atomic
def _recalculate_batch(user_id: int, batch: _InstanceBatch, because: str | None) -> RunChanges:
    lock_metering_of_accounts(user_id)
    rows = sorted(_fetch(_INSTANCES, [batch.instance_ids, user_id]))
    instances = {row[0]: row[4:] for row in rows}
    ids = list(instances)
    options = cpu_options_of(ids)
    is_large = batch.events > EVENTS_AT_ONCE
    latest: dict[int, Latest] = {}
    changes = RunChanges()
    with (
        _rows(_EVENTS, [ids], is_large=is_large) as events,
        _rows(_RUNS, [ids], is_large=is_large) as runs,
    ):
        wanted = _wanted_runs(_power_runs(events, latest), instances, options)
        for difference in _differences(_stored_runs(runs), wanted):
            _store(user_id, difference, because)
            changes.count(difference)
    save_latest({row[0]: row[1:4] for row in rows}, latest)
    return changes


@contextmanager
def _rows(
    statement: str, parameters: list[Any], *, is_large: bool
) -> Iterator[Iterator[tuple[Any, ...]]]:
    """Read rows; large results stay in the server, which sends some at a time."""
    with connection.chunked_cursor() if is_large else connection.cursor() as cursor:
        cursor.execute(statement, parameters)
        yield iter(cursor)


def _power_runs(
    events: Iterable[tuple[Any, ...]], latest: dict[int, Latest]
) -> Iterator[tuple[int, PowerRun]]:
    """Yield the runs of instances; note in ``latest`` what the newest events of each say."""
    for instance_id, group in groupby(events, itemgetter(0)):
        course = Course(event[1:] for event in group)
        for run in course.runs():
            yield instance_id, run
        latest[instance_id] = course.latest


def _wanted_runs(
    power_runs: Iterable[tuple[int, PowerRun]],
    instances: Mapping[int, tuple[Any, ...]],
    options: Mapping[int, CpuOptions],
) -> Iterator[WantedRun]:
    for some in batched_by_size(
        power_runs,
        size_of=lambda one: 1 + len(one[1].resizes),
        limit=RUNS_AT_ONCE,
        most=RUNS_AT_ONCE,
    ):
        sizes = sizes_of(run.instance_type for _, run in some)
        for instance_id, run in some:
            yield _wanted(instance_id, instances[instance_id], run, sizes, options.get(instance_id))


def _stored_runs(rows: Iterable[tuple[Any, ...]]) -> Iterator[StoredRun]:
    return (StoredRun(row[0], row[1], row[2], RunFacts(*row[3:])) for row in rows)


def _differences(stored: Iterable[StoredRun], wanted: Iterable[WantedRun]) -> Iterator[Difference]:
    """Yield what there is to write, some at a time."""
    difference = Difference()
    for pair in side_by_side(stored, wanted):
        difference.compare(*pair)
        if difference.size >= RUNS_AT_ONCE:
            yield difference
            difference = Difference()
    if difference:
        yield difference


def _wanted(
    instance_id: int,
    instance: tuple[Any, ...],
    run: PowerRun,
    sizes: dict[tuple[str, str], Size],
    options: CpuOptions | None,
) -> WantedRun:
    account_id, image_id, cloud_type, former_images = instance
    if former_images is not None:
        image_id = _image_at(run.start, former_images, image_id)
    vcpu, memory = sizes.get((cloud_type, run.instance_type or ""), (None, None))
    cpus, resizes = sizes_within(run, options)
    facts = RunFacts(run.end, image_id, run.instance_type, vcpu, memory, cpus, resizes)
    return WantedRun(instance_id, account_id, run.start, facts)


def _image_at(start: Instant, former_images: str, image_id: int | None) -> int | None:
    """Return the image that an instance had at an instant, which may not be the one it has now."""
    former = (image for until, image in json.loads(former_images) if start < until)
    return next(former, image_id)


def _store(user_id: int, difference: Difference, because: str | None) -> None:
    """Remove, change, add, in this order: so no two runs of an instance overlap in between."""
    now = clock.now()
    added_ids: list[int] = []
    changed_ids = [run_id for run_id, _ in difference.changed]
    with connection.cursor() as cursor:
        if difference.removed:
            cursor.execute(_REMOVE, [array_literal(difference.removed)])
        if difference.changed:
            facts = _columns([facts for _, facts in difference.changed])
            cursor.execute(_CHANGE, [now, array_literal(changed_ids), *facts])
        if difference.resized:
            rows = [(run_id, facts.cpus, facts.resizes) for run_id, facts in difference.resized]
            cursor.execute(_RESIZE, _columns(rows))
        if difference.added:
            runs = difference.added
            cursor.execute(
                _ADD,
                [
                    now,
                    now,
                    array_literal(run.instance_id for run in runs),
                    array_literal(run.account_id for run in runs),
                    array_literal(run.start for run in runs),
                    *_columns([run.facts for run in runs]),
                ],
            )
            added_ids = [row[0] for row in cursor.fetchall()]
    for days, cause, refs in (
        (difference.days_of_added, Cause.RUN_ADDED, added_ids),
        (difference.days_of_changed, Cause.RUN_CHANGED, changed_ids),
        (difference.days_of_removed, Cause.RUN_REMOVED, difference.removed),
    ):
        mark_days_stale(user_id=user_id, days=days, cause=cause, refs=refs)
    forget_sums(user_id=user_id, days=difference.days_of_resized)
    if because:
        days = difference.days_of_added + difference.days_of_changed + difference.days_of_removed
        mark_days_stale(user_id=user_id, days=days, cause=because)


def _columns(rows: Sequence[tuple[Any, ...]]) -> list[str]:
    return [array_literal(column) for column in zip(*rows, strict=True)]


def _fetch(statement: str, parameters: list[Any]) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(statement, parameters)
        return cursor.fetchall()
