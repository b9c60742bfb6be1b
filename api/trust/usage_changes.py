"""How the stored numbers of days changed, and why (spec 10 §1)."""

import json
from collections.abc import Sequence
from datetime import date
from typing import Any

from api.metering.facets import Key
from util.replica import connection

JSONObject = dict[str, Any]

_CHANGES = """
WITH changes AS (
    SELECT date, revision, computed_at, total_before, total_after, changed_keys,
           changed_key_count, causes
    FROM api_usagerevision
    WHERE user_id = %(user)s AND date >= %(first)s AND date < %(limit)s
    UNION ALL
    SELECT day.date, 1, day.created_at, NULL,
           coalesce(
               (SELECT total_before FROM api_usagerevision
                WHERE user_id = day.user_id AND date = day.date AND revision = 2),
               (day.maximum_counts->0->>5)::int, 0),
           '[]', 0, '[]'
    FROM api_concurrentusage day
    WHERE day.user_id = %(user)s AND day.date >= %(first)s AND day.date < %(limit)s
)
"""
_PAGE = f"""{_CHANGES}
SELECT *, count(*) OVER () FROM changes
ORDER BY computed_at DESC, date DESC, revision DESC
LIMIT %(rows)s OFFSET %(offset)s
"""  # noqa: S608 - made of constants
_COUNT = f"{_CHANGES} SELECT count(*) FROM changes"  # noqa: S608 - made of constants


def usage_changes(
    *, user_id: int, first_day: date, end: date, limit: int, offset: int
) -> tuple[int, list[JSONObject]]:
    """Return how many changes of the days before ``end`` there are, and a page, newest first.

    The first calculation of a day is a change too, from no number at all.
    """
    arguments = {"user": user_id, "first": first_day, "limit": end}
    with connection.cursor() as cursor:
        cursor.execute(_PAGE, arguments | {"rows": limit, "offset": offset})
        rows = cursor.fetchall()
        if rows or not offset:
            return (rows[0][-1] if rows else 0), [_shown(row) for row in rows]
        cursor.execute(_COUNT, arguments)
        return cursor.fetchone()[0], []


def _shown(row: Sequence[Any]) -> JSONObject:
    day, revision, computed_at, before, after, keys_text, number_of_keys, causes, _ = row
    keys = json.loads(keys_text)
    return {
        "date": day,
        "revision": revision,
        "computed_at": computed_at,
        "before": before,
        "after": after,
        "keys": [_key(key) for key in keys],
        "changed_keys": len(keys) if number_of_keys is None else number_of_keys,
        "causes": json.loads(causes),
    }


def _key(entry: Sequence[Any]) -> JSONObject:
    *key, before, after = entry
    return {**Key(*key)._asdict(), "before": before, "after": after}
