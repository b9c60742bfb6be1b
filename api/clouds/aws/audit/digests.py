"""What digests say of the log files that there must be (spec 10 §2, proof B).

Each file that one lists must be processed, or at least be in the bucket. Where log validation is on
in our trails there must be a digest for every hour; ``_backfill`` digests count as others do.
"""

import logging
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, date, datetime, time, timedelta
from itertools import islice

from api.clouds.aws.audit import store as audit_store
from api.clouds.aws.audit.digest_chain import holes
from api.clouds.aws.audit.store import NewAuditFinding, finding_of
from api.clouds.aws.cloudtrail.listing import LISTERS, ListedObject, find
from api.clouds.aws.cloudtrail.object_keys import ObjectKind, TrailKey, parse_key
from api.clouds.aws.metered_times import metered_spans
from api.clouds.aws.provisioning.notifying_buckets import trail_bucket
from api.clouds.aws.selectors import load_accounts
from api.clouds.aws.spans import MeteredSpan, clip, overlap
from api.models import AuditFinding, TrailDigest
from util import clock, postgres
from util.parallel import in_parallel

logger = logging.getLogger(__name__)

NAMES_AT_ONCE = 2000
DIGESTS_AT_ONCE = 50

CHAIN_LOOK_BACK = timedelta(days=40)
"""For how long a region is expected to have digests after its last one."""

DUE_AFTER = timedelta(hours=4)
"""How long after its hour a digest may come before it is missing."""

Place = tuple[str, str]
"""An account's number, and a region."""


def check_digests(accounts: Sequence[str], days: Sequence[date], *, must_be_whole: bool) -> None:
    """Find what the digests of some days list and the bucket does not have.

    If the chains ``must_be_whole``, the hours without a digest are found too.
    """
    if not TrailDigest.objects.filter(aws_account_id__in=accounts).exists():
        return
    for day in days:
        within = _day(day)
        names = _listed_files(accounts, within)
        while batch := list(islice(names, NAMES_AT_ONCE)):
            _check_files(batch)
        if must_be_whole:
            audit_store.save_findings(_holes(accounts, within))


def _day(day: date) -> MeteredSpan:
    midnight = datetime.combine(day, time(), UTC)
    return MeteredSpan(midnight, midnight + timedelta(days=1))


def _listed_files(accounts: Sequence[str], within: MeteredSpan) -> Iterator[TrailKey]:
    """Yield the keys that digests of a day list, a few digests at a time."""
    digests = TrailDigest.objects.filter(
        aws_account_id__in=accounts, end__gt=within.start, start__lt=within.end
    )
    last = 0
    while rows := list(
        digests.filter(id__gt=last)
        .order_by("id")
        .values_list("id", "aws_account_id", "file_names")[:DIGESTS_AT_ONCE]
    ):
        last = rows[-1][0]
        for _, account, names in rows:
            for name in names:
                key = parse_key(name)
                if key and key.kind is ObjectKind.LOG and key.account_id == account:
                    yield key


def _check_files(keys: Iterable[TrailKey]) -> None:
    bucket = trail_bucket().bucket
    # What a digest lists was there when it was written, whenever it was modified.
    listed = [
        ListedObject(key, "", 0, key.delivered_at or clock.now()) for key in dict.fromkeys(keys)
    ]
    unprocessed = audit_store.unprocessed(listed, bucket=bucket)
    asked = in_parallel(lambda one: find(one.key.text), unprocessed, threads=LISTERS)
    missing = [one.key for one, found in asked if found.result() is None]
    for key in missing:
        logger.error("%s is listed by a digest and is not in bucket %s", key.text, bucket)
    audit_store.save_findings(
        finding_of(AuditFinding.Reason.LOG_MISSING, key, bucket, key.delivered_at or clock.now())
        for key in missing
    )


def _holes(accounts: Sequence[str], within: MeteredSpan) -> Iterator[NewAuditFinding]:
    """Yield the hours of a day for which there should be a digest, and is none."""
    due = MeteredSpan(within.start, min(within.end, postgres.now() - DUE_AFTER))
    known = load_accounts(accounts)
    metered = metered_spans(known.values())
    for (account, region), spans in _chains(accounts, within).items():
        for hole in holes(spans, due):
            if overlap(hole, metered[known[account].id] if account in known else ()):
                logger.warning("AWS account %s %s has no digest of %s", account, region, hole.start)
                yield NewAuditFinding(
                    aws_account_id=account,
                    region=region,
                    reason=str(AuditFinding.Reason.DIGEST_MISSING),
                    bucket=trail_bucket().bucket,
                    key="",
                    events_from=hole.start,
                    events_to=hole.end,
                )


def _chains(accounts: Sequence[str], within: MeteredSpan) -> dict[Place, list[MeteredSpan]]:
    """Return what the digests cover of a day.

    With the moment of its beginning, if the chain began before: then it must go on.
    """
    chains: dict[Place, list[MeteredSpan]] = defaultdict(list)
    digests = TrailDigest.objects.filter(aws_account_id__in=accounts)
    earlier = digests.filter(
        end__lte=within.start, end__gt=within.start - CHAIN_LOOK_BACK, start__lt=within.start
    )
    for place in earlier.values_list("aws_account_id", "region").distinct():
        chains[place].append(MeteredSpan(within.start, within.start))
    of_day = digests.filter(end__gt=within.start, start__lt=within.end)
    for account, region, start, end in of_day.values_list(
        "aws_account_id", "region", "start", "end"
    ):
        chains[account, region].append(clip(MeteredSpan(start, end), within))
    return chains
