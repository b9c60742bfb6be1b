"""What the newest events say of instances, stored with them so that lists can be filtered by it.

See spec 11 §3. Written in the transaction that recalculates runs, which holds the metering lock.
"""

from collections.abc import Mapping

from django.db import connection

from api.metering.timeline import NOTHING_KNOWN, Instant, Latest
from api.models.instance import PowerState
from util.arrays import array_literal

_SAVE = """
UPDATE api_instance instance
SET power_state = latest.state,
    power_changed_at = TIMESTAMPTZ 'epoch' + latest.since * INTERVAL '1 microsecond',
    instance_type = latest.instance_type
FROM unnest(%s::bigint[], %s::text[], %s::bigint[], %s::text[])
     AS latest (id, state, since, instance_type)
WHERE instance.id = latest.id
"""

StoredLatest = tuple[str | None, Instant | None, str | None]


def save_latest(stored: Mapping[int, StoredLatest], latest: Mapping[int, Latest]) -> None:
    """Store the states of instances that are not what their events say; one statement at most.

    ``stored`` has the state, its beginning in microseconds since 1970, and the type of each
    instance; ``latest`` what events say of those that have any. Types that no event tells stay:
    they come from facts.
    """
    changed: list[tuple[int, str | None, Instant | None, str | None]] = []
    for instance_id, before in stored.items():
        newest = latest.get(instance_id, NOTHING_KNOWN)
        after = (_state(newest), newest.since, newest.instance_type or before[2])
        if after != before:
            changed.append((instance_id, *after))
    if changed:
        with connection.cursor() as cursor:
            cursor.execute(_SAVE, [array_literal(column) for column in zip(*changed, strict=True)])


def _state(latest: Latest) -> str | None:
    if latest.is_on is None:
        return None
    return str(PowerState.RUNNING if latest.is_on else PowerState.STOPPED)
