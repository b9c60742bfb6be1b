"""What customers' tags say of AMIs that others may use as well (spec 04 §8.7, README decision 34).

A tag counts for the customer in whose account it was made, and never changes what another customer
is told or counted. All of it happens under the row locks of the images concerned, which whoever
calculates usage waits for.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from django.db import connection, transaction

from api.images.changes import IMAGES_AT_ONCE, fact_of, lock_images
from api.images.facts import RHEL_FOR_EVERYBODY, is_rhel_for_everybody
from api.metering.staleness import mark_images_of_users_stale
from api.models import CloudAccount, ImageFact, ImageTags, MachineImage
from util.clock import LONG_AGO

RHEL = "rhel"
OPENSHIFT = "openshift"
TAGS = (RHEL, OPENSHIFT)
"""Our tags, by the names of their columns."""

A_MOMENT = timedelta(microseconds=1)

# Whether an AMI is tagged for anybody.
_SUM_UP = f"""
UPDATE api_machineimage image
SET rhel_detected_by_tag = found.rhel, openshift_detected = found.openshift,
    is_rhel = found.rhel OR {RHEL_FOR_EVERYBODY}
FROM (
    SELECT wanted.id, COALESCE(bool_or(tags.rhel), false) AS rhel,
           COALESCE(bool_or(tags.openshift), false) AS openshift
    FROM unnest(%s::bigint[]) AS wanted (id)
    LEFT JOIN api_imagetags tags ON tags.machine_image_id = wanted.id
    GROUP BY wanted.id
) found
WHERE image.id = found.id
  AND (image.rhel_detected_by_tag, image.openshift_detected) <> (found.rhel, found.openshift)
"""  # noqa: S608 - made of constants


# Times of CloudTrail are whole seconds. What we know by now has happened, whatever its time says:
# no answer would be believed before that. Answers that were stored before the change was known were
# dated before all logs, so they are forgotten, however late they came.
_DISTRUST = """
UPDATE api_cloudaccount account
SET tags_unread_until = GREATEST(
    tags_unread_until, LEAST(unread.at + interval '1 second', statement_timestamp()))
FROM (SELECT id, max(at) AS at
      FROM unnest(%(accounts)s::bigint[], %(times)s::timestamptz[]) AS unread (id, at)
      GROUP BY id) unread
WHERE account.id = unread.id;
UPDATE api_imagetags SET described_at = NULL WHERE cloud_account_id = ANY(%(accounts)s)
"""


class ImageTagChange(NamedTuple):
    """A tag that an account put on an image, or took off it; ``evidence`` says who told."""

    account_id: int
    image_id: int
    tag: str
    present: bool
    at: datetime
    evidence: Mapping[str, Any]


class SeenTags(NamedTuple):
    """All our tags that AWS showed an account on an image; None if it did not show the image.

    ``logged_since`` is from when on the account's logs tell of changes.
    """

    account_id: int
    image_id: int
    tags: frozenset[str] | None
    at: datetime
    logged_since: datetime

    def changes(self, unread_until: datetime) -> list[ImageTagChange]:
        """Return what follows for each tag: how it was before logs told of every change.

        What is shown later than that may lag behind, and logs know better. Until ``unread_until``
        they left out what was changed.
        """
        if self.tags is None:
            return []
        logged_since = max(self.logged_since, unread_until)
        return [
            ImageTagChange(
                self.account_id,
                self.image_id,
                tag,
                tag in self.tags,
                logged_since - A_MOMENT,
                {"rule": "DescribeImages", "tag": tag, "at": self.at.isoformat()},
            )
            for tag in TAGS
        ]


UserAndImage = tuple[int, int]


class Turn(NamedTuple):
    """A customer to whom an image became RHEL by a tag, or is so no more."""

    user_id: int
    image_id: int
    is_rhel: bool
    evidence: Mapping[str, Any]


class _Tags:
    """The tags on some images in all accounts of some customers, as they are and will be."""

    def __init__(self, images: Sequence[MachineImage], account_ids: Iterable[int]) -> None:
        users = CloudAccount.objects.filter(id__in=set(account_ids)).values("user_id")
        accounts = CloudAccount.objects.filter(user_id__in=users)
        rows = list(accounts.values_list("id", "user_id", "tags_unread_until"))
        self.user_of = {account_id: user_id for account_id, user_id, _ in rows}
        self._unread_until = {account_id: until for account_id, _, until in rows if until}
        stored = ImageTags.objects.filter(
            machine_image__in=images, cloud_account_id__in=list(self.user_of)
        )
        self._rows = {(row.cloud_account_id, row.machine_image_id): row for row in stored}
        self._before = self.tagged()
        self._changed: dict[tuple[int, int], ImageTags] = {}
        self._evidence: dict[UserAndImage, Mapping[str, Any]] = {}

    def tagged(self) -> set[UserAndImage]:
        """Return whom images are RHEL by a tag of theirs."""
        return {
            (self.user_of[account_id], image_id)
            for (account_id, image_id), row in self._rows.items()
            if row.rhel
        }

    def change(self, change: ImageTagChange) -> None:
        """Take in a change, unless a newer one is known."""
        key = change.account_id, change.image_id
        row = self._rows.get(key)
        known_at = getattr(row, f"{change.tag}_at", None)
        if known_at is not None and known_at > change.at:
            return
        if known_at == change.at and getattr(row, change.tag) == change.present:
            return
        self._set(key, **{change.tag: change.present, f"{change.tag}_at": change.at})
        if change.tag == RHEL:
            self._evidence[self.user_of[change.account_id], change.image_id] = change.evidence

    def describe(self, seen: SeenTags) -> list[ImageTagChange]:
        """Remember that AWS was asked; return what follows from the answer.

        One from before a change of which the account's logs left out what it was tells nothing:
        AWS is to be asked again.
        """
        unread_until = self._unread_until.get(seen.account_id, LONG_AGO)
        if seen.at < unread_until:
            return []
        self._set((seen.account_id, seen.image_id), described_at=seen.at)
        return seen.changes(unread_until)

    def _set(self, key: tuple[int, int], **columns: Any) -> None:
        account_id, image_id = key
        row = self._rows.setdefault(
            key, ImageTags(cloud_account_id=account_id, machine_image_id=image_id)
        )
        for column, value in columns.items():
            setattr(row, column, value)
        self._changed[key] = row

    def forget(self, account_id: int) -> None:
        """Drop all tags of an account."""
        for key in [key for key in self._rows if key[0] == account_id]:
            del self._rows[key]

    def save(self) -> None:
        """Store the rows that changed, known and new ones in one statement."""
        for row in self._changed.values():
            row.pk = None
        ImageTags.objects.bulk_create(
            self._changed.values(),
            update_conflicts=True,
            unique_fields=["cloud_account", "machine_image"],
            update_fields=["rhel", "rhel_at", "openshift", "openshift_at", "described_at"],
            batch_size=1000,
        )

    def turned(self) -> list[Turn]:
        """Return to whom images became RHEL, or are so no more, by a tag, and why."""
        now = self.tagged()
        return [
            Turn(*one, is_rhel=one in now, evidence=self._evidence.get(one, {}))
            for one in sorted(self._before ^ now)
        ]


@transaction.atomic
def store_tags(changes: Iterable[ImageTagChange], seen: Iterable[SeenTags] = ()) -> set[int]:
    """Store what logs and descriptions tell of tags; of one tag the newest is believed.

    ``changes`` come in the order in which they were written, which decides between those of one
    instant. What is older than what is known already changes nothing, so logs may come late or
    again; a description tells how it was before there were logs.

    Withdraws the usage, and writes the history, of the customers to whom an image became RHEL, or
    is so no more. The caller holds the locks of the accounts' customers.

    Returns the images that are RHEL to fewer customers than before.
    """
    by_image: dict[int, list[ImageTagChange]] = defaultdict(list)
    shown: dict[int, list[SeenTags]] = defaultdict(list)
    for one in seen:
        shown[one.image_id].append(one)
    for change in changes:
        by_image[change.image_id].append(change)
    image_ids = sorted(by_image.keys() | shown.keys())
    untagged: set[int] = set()
    for first in range(0, len(image_ids), IMAGES_AT_ONCE):
        # One that was erased meanwhile has no tags any more.
        images = lock_images(image_ids[first : first + IMAGES_AT_ONCE])
        told = [change for image in images for change in by_image[image.id]]
        asked = [one for image in images for one in shown[image.id]]
        tags = _Tags(images, {one.account_id for one in told} | {one.account_id for one in asked})
        described = [change for one in asked for change in tags.describe(one)]
        for change in sorted([*described, *told], key=lambda one: one.at):
            tags.change(change)
        tags.save()
        untagged |= _follow(images, tags.turned())
    return untagged


@transaction.atomic
def distrust_tags(unread: Iterable[tuple[int, datetime]]) -> None:
    """Have images described to accounts anew whose logs leave out what tags were changed.

    ``unread`` are ids of accounts with the times of such changes. Later descriptions are believed
    before what logs tell of up to then. The caller holds the locks of the accounts' customers, who
    alone see these tags, in place of the images' own.
    """
    accounts, times = zip(*unread, strict=True)
    with connection.cursor() as cursor:
        cursor.execute(_DISTRUST, {"accounts": list(accounts), "times": list(times)})


@transaction.atomic
def forget_tags(*, account_id: int) -> set[int]:
    """Delete what an account's tags say; it is about to be deleted, or to become another one.

    What follows for the customer's other accounts is done as if the tags had been taken off.
    Returns the images that are RHEL to fewer customers than before.
    """
    own = ImageTags.objects.filter(cloud_account_id=account_id)
    image_ids = list(own.order_by("machine_image_id").values_list("machine_image_id", flat=True))
    untagged: set[int] = set()
    for first in range(0, len(image_ids), IMAGES_AT_ONCE):
        images = lock_images(image_ids[first : first + IMAGES_AT_ONCE])
        tags = _Tags(images, [account_id])
        tags.forget(account_id)
        own.filter(machine_image__in=images).delete()
        untagged |= _follow(images, tags.turned())
    return untagged


def _follow(images: Sequence[MachineImage], turns: Sequence[Turn]) -> set[int]:
    """Let the images' flags, history and usage follow what customers' tags say now."""
    with connection.cursor() as cursor:
        cursor.execute(_SUM_UP, [[image.id for image in images]])
    image_of = {image.id: image for image in images}
    ImageFact.objects.bulk_create(
        [_fact(image_of[turn.image_id], turn) for turn in turns], batch_size=1000
    )
    mark_images_of_users_stale(
        users_and_images=[
            (turn.user_id, turn.image_id)
            for turn in turns
            if not is_rhel_for_everybody(image_of[turn.image_id])
        ]
    )
    return {turn.image_id for turn in turns if not turn.is_rhel}


def _fact(image: MachineImage, turn: Turn) -> ImageFact:
    """Return the row of history that is about one customer (09 P6)."""
    fact = fact_of(
        image,
        reason=ImageFact.Reason(ImageFact.Reason.TAG),
        ref=str(turn.evidence.get("event_id", "")),
        evidence=dict(turn.evidence),
    )
    fact.user_id, fact.is_rhel = turn.user_id, turn.is_rhel
    return fact
