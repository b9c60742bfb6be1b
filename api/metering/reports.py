"""Read daily concurrent usage (spec 07 §6.3). Reading never calculates."""

import json
from datetime import date

from django.db.models import TextField
from django.db.models.functions import Cast

from api.metering.facets import Key
from api.metering.staleness import is_withdrawn
from api.models import ConcurrentUsage

Counts = list[tuple[Key, int]]
"""A day's keys with their largest numbers of instances, the total over everything first."""


def daily_usage(*, user_id: int, first_day: date, last_day: date) -> dict[date, Counts]:
    """Give a customer's days from the first to the last, both included; one query.

    Days that are not calculated, or have to be again, are missing.
    """
    rows = ConcurrentUsage.objects.filter(
        ~is_withdrawn(), user_id=user_id, date__gte=first_day, date__lte=last_day
    ).order_by("date")
    keys: dict[str, Key] = {}
    texts = rows.values_list("date", Cast("maximum_counts", TextField()))
    return {day: _parse(text, keys) for day, text in texts}


def _parse(text: str, keys: dict[str, Key]) -> Counts:
    """Read a day's JSON. A page has the same keys every day: each is parsed once, then found.

    A value that holds what separates two counts tears a string apart, which is no JSON then.
    """
    if text == "[]":
        return []
    counts: Counts = []
    try:
        for entry in text[2:-2].split("], ["):
            values, _, count = entry.rpartition(", ")
            key = keys.get(values)
            if key is None:
                key = keys[values] = Key(*json.loads(f"[{values}]"))
            counts.append((key, int(count)))
    except (ValueError, TypeError):
        return [(Key(*values), count) for *values, count in json.loads(text)]
    return counts
