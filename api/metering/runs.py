"""Keep the stored runs and states of instances equal to what their events say (spec 07 §3, §4).

A batch of instances costs the same few statements however many they are; what is right already is
not written.
"""

import json
import logging
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from operator import itemgetter
from typing import Any

from django.db import connection, transaction

from api.metering.cpus import CpuOptions, cpu_options_of, sizes_within
from api.metering.definitions import Size, sizes_of
from api.metering.difference import Difference, RunFacts, StoredRun, WantedRun
from api.metering.locking import lock_metering_of_accounts
from api.metering.metrics import RUNS, SECONDS
from api.metering.power_states import save_latest
from api.metering.staleness import forget_sums, mark_days_stale
from api.metering.timeline import Instant, PowerRun, runs_from_events
from api.models import Cause
from api.models.instance import EVENT_RANK
from util import clock
from util.arrays import array_literal

logger = logging.getLogger(__name__)

INSTANCES_AT_ONCE = 1000
EVENTS_AT_ONCE = 100_000
"""Bounds of a batch, which bound the memory of a worker."""

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
ORDER BY instance_id, occurred_at, id
"""  # noqa: S608 - made of constants

_RUNS = """
SELECT instance_id, id,
       (extract(epoch FROM start_time) * 1000000)::bigint,
       (extract(epoch FROM end_time) * 1000000)::bigint,
       machine_image_id, instance_type, vcpu, memory, cpus, resizes::text
FROM api_run
WHERE instance_id = ANY(%s)
ORDER BY instance_id
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
        """Add what one batch wrote."""
        for change in ("added", "changed", "removed"):
            number = len(getattr(difference, change))
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
            changes.count(_recalculate_batch(user_id, batch, because))
    if changes:
        logger.info(
            "Recalculated runs of user %s: %s added, %s changed, %s removed",
            user_id,
            changes.added,
            changes.changed,
            changes.removed,
        )
    return changes


def _batches(instance_ids: Sequence[int]) -> Iterator[list[int]]:
    """Split instances so that no batch has too many of them, or too many events."""
    for first in range(0, len(instance_ids), INSTANCES_AT_ONCE):
        ids = list(instance_ids[first : first + INSTANCES_AT_ONCE])
        counts = dict(_fetch(_COUNT_EVENTS, [ids]))
        batch: list[int] = []
        events = 0
        for instance_id in ids:
            count = counts.get(instance_id, 0)
            if batch and events + count > EVENTS_AT_ONCE:
                yield batch
                batch, events = [], 0
            batch.append(instance_id)
            events += count
        yield batch


@transaction.atomic
def _recalculate_batch(user_id: int, instance_ids: list[int], because: str | None) -> Difference:
    lock_metering_of_accounts(user_id)
    rows = _fetch(_INSTANCES, [instance_ids, user_id])
    instances = {row[0]: row[4:] for row in rows}
    events = _events(list(instances))
    save_latest({row[0]: row[1:4] for row in rows}, events)
    power_runs = {one: runs_from_events(known) for one, known in events.items()}
    sizes = sizes_of(run.instance_type for runs in power_runs.values() for run in runs)
    options = cpu_options_of(list(instances))
    stored = _stored_runs(list(instances))
    difference = Difference()
    for instance_id, instance in instances.items():
        wanted = [
            _wanted(instance_id, instance, run, sizes, options.get(instance_id))
            for run in power_runs.get(instance_id, ())
        ]
        difference.compare(stored.get(instance_id, ()), wanted)
    if difference:
        _store(user_id, difference)
        if because:
            days = (
                difference.days_of_added + difference.days_of_changed + difference.days_of_removed
            )
            mark_days_stale(user_id=user_id, days=days, cause=because)
    return difference


def _events(instance_ids: list[int]) -> dict[int, list[tuple[Any, ...]]]:
    events = _fetch(_EVENTS, [instance_ids])
    return {
        instance_id: [event[1:] for event in group]
        for instance_id, group in groupby(events, itemgetter(0))
    }


def _stored_runs(instance_ids: list[int]) -> dict[int, list[StoredRun]]:
    return {
        instance_id: [StoredRun(run[1], run[2], RunFacts(*run[3:])) for run in group]
        for instance_id, group in groupby(_fetch(_RUNS, [instance_ids]), itemgetter(0))
    }


def _wanted(
    instance_id: int,
    instance: tuple[int, int | None, str, str | None],
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


def _store(user_id: int, difference: Difference) -> None:
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


def _columns(rows: Sequence[tuple[Any, ...]]) -> list[str]:
    return [array_literal(column) for column in zip(*rows, strict=True)]


def _fetch(statement: str, parameters: list[Any]) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(statement, parameters)
        return cursor.fetchall()
