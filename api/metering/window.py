"""Calculate and store some days of one customer's concurrent usage in one sweep (spec 07 §5).

The runs that touch the days are read once; only rows whose counts differ are written. The seconds
that instances were on are added up beside the counts, and stored with them (spec 11 §1).
"""

import json
from collections.abc import Collection, Sequence
from datetime import date, timedelta
from typing import Any, NamedTuple

from django.conf import settings
from django.db import connection

from api.images.facts import RHEL_FOR_EVERYBODY
from api.metering.concurrency import Peaks, Span, daily_peaks
from api.metering.count_text import shown_counts
from api.metering.days import Days
from api.metering.facets import TOTAL, Facets, Key
from api.metering.stored_counts import StoredCounts, stored_counts
from api.metering.sums import Cells, daily_sums
from api.models import UsageRevision
from api.push import outbox
from util import clock
from util.batches import PIECE

ALGORITHM = "sweep-1"
"""Names the rules by which rows were calculated; changes with them (09 P10)."""

DAYS_PER_STATEMENT = 100
CHARACTERS_PER_STATEMENT = PIECE
"""Bounds of what is written together, unless one day alone has more (decision 43)."""

ROWS_AT_ONCE = 20_000
MOST_RUNS = 300_000
"""Runs that are in memory together, unless one day alone has more (decision 43)."""

CHANGED_KEYS = 20
REFS = 10

# Two ranges of one index: the runs that end late enough, and those that are still open.
# ``date_part`` gives a double, which is exact to the microsecond until the year 2106 and takes half
# the time of ``extract``.
_RUNS = """
WITH account AS MATERIALIZED (SELECT id FROM api_cloudaccount WHERE user_id = %(user)s)
SELECT round(date_part('epoch', start_time) * 1000000)::bigint,
       round(date_part('epoch', end_time) * 1000000)::bigint,
       machine_image_id, cloud_account_id, instance_type, cpus, resizes::text
FROM api_run
WHERE cloud_account_id = ANY(ARRAY(SELECT id FROM account)) AND end_time >= %(begin)s
  AND start_time < %(limit)s AND machine_image_id IS NOT NULL
UNION ALL
SELECT round(date_part('epoch', start_time) * 1000000)::bigint, NULL,
       machine_image_id, cloud_account_id, instance_type, cpus, resizes::text
FROM api_run
WHERE cloud_account_id = ANY(ARRAY(SELECT id FROM account)) AND end_time IS NULL
  AND start_time < %(limit)s AND machine_image_id IS NOT NULL
LIMIT %(most)s
"""

# A change of an image that is not committed yet may not have seen, and so not marked, the days of a
# run that was committed meanwhile. Waiting for it here, whatever the image counts as until then,
# makes sure that one of the two sees the other.
_IMAGES = f"""
SELECT id, {RHEL_FOR_EVERYBODY}, architecture, role, sla, usage, service_type
FROM api_machineimage image
WHERE id = ANY(%s)
ORDER BY id
FOR SHARE
"""  # noqa: S608 - made of constants

# AMIs that are RHEL for this customer by a tag of theirs. It comes after the statement above, since
# tags change under the locks of their images.
_TAGGED = """
SELECT machine_image_id
FROM api_imagetags
WHERE cloud_account_id = ANY(ARRAY(SELECT id FROM api_cloudaccount WHERE user_id = %s))
  AND rhel AND machine_image_id = ANY(%s)
"""

_STORE = """
INSERT INTO api_concurrentusage AS stored
    (user_id, date, maximum_counts, shown_counts, sums, revision, shown_revision, computed_at,
     summed_at, algorithm, code_version, created_at, updated_at)
SELECT %(user)s, fresh.day, fresh.counts, fresh.shown, fresh.sums, number.revision, number.revision,
       %(now)s, %(now)s, %(algorithm)s, %(version)s, %(now)s, %(now)s
FROM unnest(%(days)s::date[], %(counts)s::jsonb[], %(shown)s::text[], %(sums)s::jsonb[])
         AS fresh (day, counts, shown, sums),
     LATERAL (
         SELECT coalesce(max(revision), 1) AS revision FROM api_usagerevision
         WHERE user_id = %(user)s AND date = fresh.day
     ) number
ON CONFLICT (user_id, date) DO UPDATE
SET maximum_counts = EXCLUDED.maximum_counts, shown_counts = EXCLUDED.shown_counts,
    sums = EXCLUDED.sums, revision = stored.revision + 1, shown_revision = stored.revision + 1,
    computed_at = EXCLUDED.computed_at, summed_at = EXCLUDED.summed_at,
    algorithm = EXCLUDED.algorithm,
    code_version = EXCLUDED.code_version, updated_at = EXCLUDED.updated_at
"""

_CONFIRM = """
UPDATE api_concurrentusage stored
SET sums = fresh.sums, computed_at = %(now)s, summed_at = %(now)s
FROM unnest(%(days)s::date[], %(sums)s::jsonb[]) AS fresh (day, sums)
WHERE stored.user_id = %(user)s AND stored.date = fresh.day
"""


class StaleMark(NamedTuple):
    """A stored mark of stale days."""

    id: int
    days: Days
    cause: str
    refs: list[int]


class _Fresh(NamedTuple):
    """What is written of a day, as texts."""

    counts: str
    shown: str | None
    sums: str


class TooManyRunsError(Exception):
    """More runs touch the days of a window than may be in memory; fewer days have fewer."""


class UsageWindow:
    """Calculation of some days of one customer that lie close together."""

    def __init__(self, user_id: int, days: Sequence[date], marks: Sequence[StaleMark]) -> None:
        self._user_id = user_id
        self._days = days
        self._marks = marks
        self._now = clock.now()
        self._encoder = _Encoder()
        self._differing: dict[date, _Fresh] = {}
        self._revisions: list[UsageRevision] = []
        self._same: dict[date, str] = {}
        self._characters = 0
        self._written = 0

    def calculate(self) -> int:
        """Calculate the days and write those that differ; return their number.

        Raises TooManyRunsError, before anything is written, if there are several days and too many
        runs for them.
        """
        wanted = set(self._days)
        first, last = self._days[0], self._days[-1]
        cells = Cells()
        spans = self._spans(first, last, cells)
        facets = self._facets_of(cells.images())
        counted = cells.counted(facets)
        peaks_of_days = daily_peaks(spans, counted, first, last)
        sums_of_days = daily_sums(spans, cells, counted, first, last)
        stored = stored_counts(self._user_id, self._days)
        for (day, peaks), sums in zip(peaks_of_days, sums_of_days, strict=True):
            if day in wanted:
                self._compare(day, peaks, sums, next(stored))
                self._write_if_much()
        self._store()
        self._confirm()
        outbox.record((self._user_id, day) for day in self._days)
        return self._written

    def _compare(self, day: date, peaks: Peaks, sums: str, old: StoredCounts | None) -> None:
        """Note what is to be written for a day; ``old`` is what is stored of it."""
        counts = self._encoder.encode(peaks)
        self._characters += len(sums)
        if old is not None:
            if old.counts == counts or (before := _decode(old.counts)) == (after := dict(peaks)):
                self._same[day] = sums
                return
            self._revisions.append(self._revision(day, old.revision + 1, before, after))
        shown = shown_counts(counts)
        self._differing[day] = _Fresh(counts, shown, sums)
        self._characters += len(counts) + len(shown or "")

    def _write_if_much(self) -> None:
        """Write what was noted, if it is a few days or a few megabytes."""
        is_large = self._characters >= CHARACTERS_PER_STATEMENT
        if is_large or len(self._differing) == DAYS_PER_STATEMENT:
            self._store()
        if is_large or len(self._same) == DAYS_PER_STATEMENT:
            self._confirm()
        if is_large:
            self._characters = 0

    def _spans(self, first: date, last: date, cells: Cells) -> list[Span]:
        """Read the runs that touch the days; what they count for is numbered by ``cells``."""
        most = None if first == last else MOST_RUNS + 1
        limit = last + timedelta(days=1)
        with connection.cursor() as cursor:
            cursor.execute(
                _RUNS, {"user": self._user_id, "begin": first, "limit": limit, "most": most}
            )
            if most is not None and cursor.rowcount >= most:
                raise TooManyRunsError
            spans: list[Span] = []
            while rows := cursor.fetchmany(ROWS_AT_ONCE):
                spans.extend([(row[0], row[1], cells.number(row[2:])) for row in rows])
            return spans

    def _facets_of(self, image_ids: Collection[int]) -> dict[int, Facets]:
        """Find the facets of those images that are RHEL now to this customer."""
        with connection.cursor() as cursor:
            cursor.execute(_IMAGES, [list(image_ids)])
            images = cursor.fetchall()
            others = [image for image, is_rhel, *_ in images if not is_rhel]
            cursor.execute(_TAGGED, [self._user_id, others])
            tagged = {row[0] for row in cursor.fetchall()}
        return {
            image: Facets(arch or "", *others)
            for image, is_rhel, arch, *others in images
            if is_rhel or image in tagged
        }

    def _store(self) -> None:
        """Write the days that were found to differ so far, and what moved in them."""
        if not self._differing:
            return
        with connection.cursor() as cursor:
            cursor.execute(
                _STORE,
                {
                    "user": self._user_id,
                    "now": self._now,
                    "algorithm": ALGORITHM,
                    "version": settings.CLOUDIGRADE_VERSION or "",
                    "days": list(self._differing),
                    "counts": [fresh.counts for fresh in self._differing.values()],
                    "shown": [fresh.shown for fresh in self._differing.values()],
                    "sums": [fresh.sums for fresh in self._differing.values()],
                },
            )
        UsageRevision.objects.bulk_create(self._revisions)
        self._written += len(self._differing)
        self._differing.clear()
        self._revisions.clear()

    def _confirm(self) -> None:
        """Store the sums of days whose counts are the same; ``updated_at`` and revision stay."""
        if not self._same:
            return
        with connection.cursor() as cursor:
            cursor.execute(
                _CONFIRM,
                {
                    "user": self._user_id,
                    "now": self._now,
                    "days": list(self._same),
                    "sums": list(self._same.values()),
                },
            )
        self._same.clear()

    def _revision(
        self, day: date, revision: int, before: dict[Key, int], after: dict[Key, int]
    ) -> UsageRevision:
        """Return what moved and why (09 P11)."""
        marks = [mark for mark in self._marks if mark.days.holds(day)]
        refs = dict.fromkeys(ref for mark in marks for ref in mark.refs)
        changes = _changes(before, after)
        return UsageRevision(
            user_id=self._user_id,
            date=day,
            revision=revision,
            computed_at=self._now,
            total_before=before.get(TOTAL, 0),
            total_after=after.get(TOTAL, 0),
            changed_keys=changes[:CHANGED_KEYS],
            changed_key_count=len(changes),
            causes=list(dict.fromkeys(mark.cause for mark in marks)),
            refs=list(refs)[:REFS],
        )


def _changes(before: dict[Key, int], after: dict[Key, int]) -> list[list[Any]]:
    """Return the keys that differ with their counts before and after, the largest changes first."""
    changes = [
        (key, before.get(key, 0), after.get(key, 0)) for key in dict.fromkeys((*before, *after))
    ]
    changes = [change for change in changes if change[1] != change[2]]
    changes.sort(key=lambda change: -abs(change[2] - change[1]))
    return [[*key, old, new] for key, old, new in changes]


def _decode(counts: str) -> dict[Key, int]:
    return {Key(*entry[:5]): entry[5] for entry in json.loads(counts)}


class _Encoder:
    """Writes peaks as JSON, formatted as PostgreSQL gives it back.

    So equal counts are mostly equal texts. The text of a key, which most days share, is made once.
    """

    def __init__(self) -> None:
        self._texts: dict[Key, str] = {}

    def encode(self, peaks: Peaks) -> str:
        return "[" + ", ".join([f"{self._text(key)}{count}]" for key, count in peaks]) + "]"

    def _text(self, key: Key) -> str:
        text = self._texts.get(key)
        if text is None:
            text = self._texts[key] = json.dumps(key, ensure_ascii=False)[:-1] + ", "
        return text
