"""Days whose usage must be calculated again (spec 07 §7, 09 P10, P11).

Whoever changes a run, or what counts of an image, says so here in the same transaction. From its
commit on the days are withdrawn, that is they answer as if they had no usage, until
``api.metering.usage`` has calculated them and deletes the marks that it read. Marks are only ever
inserted, so that customers who share an image do not wait for each other.
"""

from collections.abc import Collection, Iterable, Sequence
from typing import Any

from django.db import connection
from django.db.models import Exists, OuterRef, Q

from api.metering.days import Days, merge
from api.metering.locking import lock_metering
from api.models import Cause, CloudAccount, StaleUsage
from util import clock
from util.tasks import enqueue

RECALCULATION = "api.tasks.recalculate_stale_usage"

REFS = 10
"""How many ids of runs or images a mark carries."""

_MARK_DAYS_OF_RUNS = """
INSERT INTO api_staleusage (user_id, first_day, last_day, cause, refs, marked_at)
SELECT user_id, lower(days), CASE WHEN NOT upper_inf(days) THEN upper(days) - 1 END,
       %(cause)s, refs, %(now)s
FROM (
    SELECT account.user_id,
           unnest(range_agg(daterange(
               (run.start_time AT TIME ZONE 'UTC')::date,
               (run.end_time AT TIME ZONE 'UTC')::date,
               '[]'))) AS days,
           to_jsonb((array_agg(DISTINCT {ref}))[1:{refs}]) AS refs
    FROM api_run run
    JOIN api_cloudaccount account ON account.id = run.cloud_account_id
    WHERE {condition} AND run.machine_image_id IS NOT NULL
    GROUP BY account.user_id
) touched
"""

_FORGET_SUMS = """
UPDATE api_concurrentusage stored SET summed_at = NULL
FROM unnest(%s::date[], %s::date[]) AS days (first, last)
WHERE stored.user_id = %s
  AND stored.date BETWEEN days.first AND COALESCE(days.last, 'infinity')
"""

_RHEL_BY_OWN_TAG = """
SELECT FROM api_imagetags tags
JOIN api_cloudaccount owner ON owner.id = tags.cloud_account_id
WHERE tags.rhel AND tags.machine_image_id = run.machine_image_id AND owner.user_id = account.user_id
"""


def mark_days_stale(
    *, user_id: int, days: Iterable[Days], cause: str, refs: Sequence[int] = ()
) -> None:
    """Withdraw days of one customer; ``refs`` are ids of what caused it."""
    now = clock.now()
    marks = [
        StaleUsage(
            user_id=user_id,
            first_day=first,
            last_day=last,
            cause=cause,
            refs=list(refs[:REFS]),
            marked_at=now,
        )
        for first, last in merge(days)
    ]
    if marks:
        StaleUsage.objects.bulk_create(marks, batch_size=1000)
        enqueue(RECALCULATION)


def forget_sums(*, user_id: int, days: Iterable[Days]) -> None:
    """Have the sums of days made again, whose counts stay as they are (spec 11 §1).

    To be called, under the customer's metering lock, when instances turned out to have had another
    size. Until an hourly pass makes the sums again they are computed from the runs.
    """
    ranges = merge(days)
    if ranges:
        firsts, lasts = zip(*ranges, strict=True)
        with connection.cursor() as cursor:
            cursor.execute(_FORGET_SUMS, [list(firsts), list(lasts), user_id])


def mark_images_stale(*, image_ids: Iterable[int], but_tagged: bool = False) -> None:
    """Withdraw, for all customers, the days on which runs of these images were on.

    To be called when RHEL, architecture or syspurpose of the images changed (README decision 22).
    With ``but_tagged`` it is not done for customers to whom the image is RHEL by a tag of theirs,
    whatever else is said of it (decision 34).
    """
    condition = "run.machine_image_id = ANY(%(ids)s)"
    if but_tagged:
        condition += f" AND NOT EXISTS ({_RHEL_BY_OWN_TAG})"
    _mark_days_of_runs(condition, "machine_image_id", Cause.IMAGE_CHANGED, ids=list(image_ids))


def mark_images_of_users_stale(*, users_and_images: Collection[tuple[int, int]]) -> None:
    """Withdraw, for single customers, the days on which their runs of single images were on.

    To be called when a customer's tags made the image RHEL, or do so no more (decision 34).
    """
    users, images = zip(*users_and_images, strict=True) if users_and_images else ((), ())
    _mark_days_of_runs(
        "(account.user_id, run.machine_image_id) IN"
        " (SELECT * FROM unnest(%(users)s::bigint[], %(ids)s::bigint[]))",
        "machine_image_id",
        Cause.IMAGE_CHANGED,
        ids=list(images),
        users=list(users),
    )


def mark_accounts_stale(*, account_ids: Iterable[int], cause: str = Cause.ACCOUNT_DELETED) -> None:
    """Withdraw the days on which instances of these accounts were on.

    To be called before their runs are deleted. Holds the metering locks of the accounts' customers
    until the transaction ends, so that nobody adds runs or usage in between (spec 07 §8 c).
    """
    ids = list(account_ids)
    lock_metering(*CloudAccount.objects.filter(id__in=ids).values_list("user_id", flat=True))
    _mark_days_of_runs("run.cloud_account_id = ANY(%(ids)s)", "id", cause, ids=ids)


def _mark_days_of_runs(
    condition: str, ref: str, cause: str, *, ids: list[int], **parameters: list[int]
) -> None:
    if not ids:
        return
    statement = _MARK_DAYS_OF_RUNS.format(condition=condition, ref=f"run.{ref}", refs=REFS)
    with connection.cursor() as cursor:
        given: dict[str, Any] = {"ids": ids, "cause": cause, "now": clock.now(), **parameters}
        cursor.execute(statement, given)
        if cursor.rowcount:
            enqueue(RECALCULATION)


def is_unavailable() -> Exists:
    """Return, in a query of usage rows, which of them act as if they were gone (09 P10).

    ``is_stale`` says the same in SQL, which names a table; in a query within another one Django
    gives the table another name.
    """
    return Exists(
        StaleUsage.objects.filter(
            Q(last_day__isnull=True) | Q(last_day__gte=OuterRef("date")),
            user_id=OuterRef("user_id"),
            first_day__lte=OuterRef("date"),
        )
    )
