"""Load: instances and events into the database, each kind in one statement however many there are.

The same for every cloud. Callers hold the locks of the users concerned. A repeated call stores
nothing more: unique constraints decide, and what was stored first stays.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NamedTuple

from django.db import connection

from api.models.instance import NEWEST_EVENT_FIRST
from util import clock
from util.arrays import array_literal

# What is lower case depends on the database's locale, which is another one than ours.
_KNOWN = """
SELECT cloud_instance_id, id, cloud_account_id, region, machine_image_id
FROM api_instance
WHERE cloud_type = %s
  AND lower(cloud_instance_id) = ANY(ARRAY(SELECT lower(name) FROM unnest(%s::text[]) AS name))
"""

_ADD_INSTANCES = """
INSERT INTO api_instance (
    cloud_account_id, machine_image_id, cloud_type, cloud_instance_id, region,
    created_at, updated_at)
SELECT account, image, %s, cloud_id, region, %s, %s
FROM unnest(%s::bigint[], %s::bigint[], %s::text[], %s::text[])
     AS new (account, image, cloud_id, region)
ON CONFLICT DO NOTHING
RETURNING cloud_instance_id, id, cloud_account_id, region, machine_image_id
"""

_FILL_IMAGES = """
UPDATE api_instance instance SET machine_image_id = found.image, updated_at = %s
FROM unnest(%s::bigint[], %s::bigint[]) AS found (id, image)
WHERE instance.id = found.id AND instance.machine_image_id IS NULL
RETURNING instance.id
"""

# Events of one instant mostly count in the order of their ids: these follow that of the rows.
_ADD_EVENTS = """
INSERT INTO api_instanceevent (
    instance_id, cloud_account_id, event_type, occurred_at, instance_type, subnet,
    origin, source_id, source_name, source_object, source_index, created_at, updated_at)
SELECT instance, account, event_type, occurred_at, instance_type, subnet,
       origin, source_id, source_name, source_object, source_index, %s, %s
FROM unnest(%s::bigint[], %s::bigint[], %s::text[], %s::timestamptz[], %s::text[], %s::text[],
            %s::text[], %s::text[], %s::text[], %s::bigint[], %s::integer[]) WITH ORDINALITY
     AS new (instance, account, event_type, occurred_at, instance_type, subnet,
             origin, source_id, source_name, source_object, source_index, place)
ORDER BY place
ON CONFLICT DO NOTHING
RETURNING id, instance_id, event_type, occurred_at, source_id, source_object
"""

# Each instance costs one step at the end of an index, and those last seen by a look one more.
_POWER = f"""
SELECT lower(instance.cloud_instance_id), instance.id, instance.region,
       power.event_type, power.occurred_at, power.origin, run.started_at, newest.occurred_at,
       started.occurred_at
FROM api_instance instance
LEFT JOIN LATERAL (
    SELECT occurred_at FROM api_instanceevent
    WHERE instance_id = instance.id
    ORDER BY occurred_at DESC LIMIT 1
) newest ON true
LEFT JOIN LATERAL (
    SELECT event_type, occurred_at, origin, source_id FROM api_instanceevent
    WHERE instance_id = instance.id AND event_type IN ('power_on', 'power_off')
    ORDER BY {NEWEST_EVENT_FIRST} LIMIT 1
) power ON true
LEFT JOIN LATERAL (
    SELECT occurred_at FROM api_instanceevent
    WHERE instance_id = instance.id AND event_type = 'power_on'
    ORDER BY occurred_at DESC LIMIT 1
) started ON true
LEFT JOIN api_describerun run
    ON power.origin IN ('describe_initial', 'describe_reconcile')
    AND run.id = CASE WHEN power.source_id ~ '^[0-9]{{1,18}}$' THEN power.source_id::bigint END
WHERE instance.cloud_account_id = %s
  AND (instance.region = ANY(%s) OR lower(instance.cloud_instance_id) = ANY(%s))
"""  # noqa: S608 - made of constants


_UNTYPED = """
SELECT wanted.id, oldest.occurred_at
FROM unnest(%s::bigint[]) AS wanted (id)
CROSS JOIN LATERAL (
    SELECT occurred_at FROM api_instanceevent
    WHERE instance_id = wanted.id AND event_type = 'power_on'
    ORDER BY occurred_at LIMIT 1
) oldest
LEFT JOIN LATERAL (
    SELECT occurred_at FROM api_instanceevent
    WHERE instance_id = wanted.id AND instance_type IS NOT NULL
    ORDER BY occurred_at LIMIT 1
) typed ON true
WHERE typed.occurred_at IS NULL
"""


class FoundInstance(NamedTuple):
    """An instance as a cloud tells of it; the image may not be known."""

    cloud_instance_id: str
    account_id: int
    region: str
    image_id: int | None


class StoredInstance(NamedTuple):
    """An instance as it is stored."""

    id: int
    account_id: int
    region: str
    image_id: int | None


@dataclass(slots=True)
class SavedInstances:
    """What is stored of the instances that were found, by their cloud ids in lower case."""

    known: dict[str, StoredInstance] = field(default_factory=dict)
    added: set[int] = field(default_factory=set)
    image_filled: set[int] = field(default_factory=set)
    foreign: set[str] = field(default_factory=set)
    moved: set[str] = field(default_factory=set)

    def of(self, account_id: int, cloud_instance_id: str) -> StoredInstance | None:
        """Return an instance of this account, or None if it is stored as another's."""
        row = self.known.get(cloud_instance_id.lower())
        return row if row and row.account_id == account_id else None


class KnownPower(NamedTuple):
    """A stored instance, its latest power event, and its newest event of any type, if it has any.

    The power event occurred at ``occurred_at``; if a look showed it, that began at ``scanned_at``,
    so that it may have occurred since then. ``started_at`` is when the newest start occurred.
    """

    instance_id: int
    region: str
    event_type: str | None
    occurred_at: datetime | None
    origin: str | None
    scanned_at: datetime | None
    newest_at: datetime | None
    started_at: datetime | None


class NewEvent(NamedTuple):
    """An event to be stored, with its origin (09 P1).

    ``source_id`` tells it from others of the same instance, type and instant (decision 49).
    """

    instance_id: int
    account_id: int
    event_type: str
    occurred_at: datetime
    instance_type: str | None
    subnet: str | None
    origin: str
    source_id: str = ""
    source_name: str = ""
    source_object: int | None = None
    source_index: int | None = None


class StoredEvent(NamedTuple):
    """An event that was not stored before."""

    id: int
    instance_id: int
    event_type: str
    occurred_at: datetime
    source_id: str
    source_object: int | None


def known_instances(
    *, cloud_type: str, cloud_instance_ids: Iterable[str]
) -> dict[str, StoredInstance]:
    """Return what is stored of instances, by their cloud ids in lower case."""
    wanted = sorted(set(cloud_instance_ids))
    if not wanted:
        return {}
    return _by_name(_fetch(_KNOWN, [cloud_type, wanted]))


def save_instances(*, cloud_type: str, found: Iterable[FoundInstance]) -> SavedInstances:
    """Store instances that are new, and images that were not known (spec 04 §8.8, §9.1).

    A known image stays, and so does the region that was stored first. An instance is never
    attributed to another account than the one that it was first seen in: what another one says of
    it (``foreign``) is not stored.
    """
    mentions = _merged(found)
    wanted = {name: one for (name, _), one in reversed(mentions.items())}
    names = [one.cloud_instance_id for one in wanted.values()]
    saved = SavedInstances(known=known_instances(cloud_type=cloud_type, cloud_instance_ids=names))
    if new := [wanted[name] for name in sorted(wanted.keys() - saved.known.keys())]:
        added = _by_name(_add_instances(cloud_type, new))
        saved.added = {row.id for row in added.values()}
        saved.known |= added
        if taken := wanted.keys() - saved.known.keys():
            names = [wanted[name].cloud_instance_id for name in taken]
            saved.known |= known_instances(cloud_type=cloud_type, cloud_instance_ids=names)
    missing = {}
    for (name, account_id), one in mentions.items():
        row = saved.known.get(name)
        # None where PostgreSQL takes two ids for one that we do not.
        if row is None or row.account_id != account_id:
            saved.foreign.add(name)
        elif row.image_id is None and one.image_id is not None:
            missing[row.id] = (name, one.image_id)
        if row is not None and row.region != one.region:
            saved.moved.add(name)
    _fill_images(saved, missing)
    return saved


def _merged(found: Iterable[FoundInstance]) -> dict[tuple[str, int], FoundInstance]:
    """Return each instance once per account, with its image if any of the mentions knows it."""
    merged: dict[tuple[str, int], FoundInstance] = {}
    for one in found:
        key = (one.cloud_instance_id.lower(), one.account_id)
        known = merged.setdefault(key, one)
        if known.image_id is None and one.image_id is not None:
            merged[key] = known._replace(image_id=one.image_id)
    return merged


def _add_instances(cloud_type: str, new: Sequence[FoundInstance]) -> list[tuple[Any, ...]]:
    now = clock.now()
    columns = [
        [one.account_id for one in new],
        [one.image_id for one in new],
        [one.cloud_instance_id for one in new],
        [one.region for one in new],
    ]
    return _fetch(_ADD_INSTANCES, [cloud_type, now, now, *columns])


def _fill_images(saved: SavedInstances, missing: dict[int, tuple[str, int]]) -> None:
    if not missing:
        return
    image_ids = [image_id for _, image_id in missing.values()]
    for (instance_id,) in _fetch(_FILL_IMAGES, [clock.now(), list(missing), image_ids]):
        name, image_id = missing[instance_id]
        saved.known[name] = saved.known[name]._replace(image_id=image_id)
        saved.image_filled.add(instance_id)


def save_events(events: Sequence[NewEvent]) -> list[StoredEvent]:
    """Store events in the order given, which mostly decides between those of one instant.

    Gives those that were not known before; a duplicate changes nothing, not even its origin.
    """
    if not events:
        return []
    now = clock.now()
    columns = [array_literal(column) for column in zip(*events, strict=True)]
    return [StoredEvent(*row) for row in _fetch(_ADD_EVENTS, [now, now, *columns])]


def power_states(
    *, account_id: int, regions: Iterable[str], cloud_instance_ids: Iterable[str]
) -> dict[str, KnownPower]:
    """Return the latest power events of an account's instances, by cloud ids in lower case.

    Of all instances in some regions, and of some more wherever they are.
    """
    names = sorted({name.lower() for name in cloud_instance_ids})
    rows = _fetch(_POWER, [account_id, sorted(set(regions)), names])
    return {row[0]: KnownPower(*row[1:]) for row in rows}


def untyped_instances(instance_ids: Iterable[int]) -> dict[int, datetime]:
    """Return the instances that were on and whose events tell no type, with their first start."""
    wanted = sorted(instance_ids)
    return dict(_fetch(_UNTYPED, [wanted])) if wanted else {}


def _by_name(rows: Iterable[tuple[Any, ...]]) -> dict[str, StoredInstance]:
    return {row[0].lower(): StoredInstance(*row[1:]) for row in rows}


def _fetch(statement: str, parameters: list[Any]) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(statement, parameters)
        return cursor.fetchall()
