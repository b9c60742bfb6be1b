"""What lies in the trail bucket, by account, region and day of delivery (spec 04 §8.3, 10 §3).

S3 is asked page by page, a thousand objects each, so nothing here grows with what the bucket holds.
"""

from collections.abc import Iterable, Iterator
from datetime import date, datetime
from typing import Any, NamedTuple

from api.clouds.aws.cloudtrail.object_keys import ROOT, ObjectKind, TrailKey, parse_key
from api.clouds.aws.errors import reachable
from api.clouds.aws.provisioning.notifying_buckets import trail_bucket
from api.clouds.aws.session import s3
from util.parallel import in_parallel

LISTERS = 16
"""Pages that are asked for at the same time."""


class Folder(NamedTuple):
    """What CloudTrail delivered of one account and region on one day (UTC)."""

    aws_account_id: str
    region: str
    day: date
    kind: ObjectKind = ObjectKind.LOG

    @property
    def prefix(self) -> str:
        """What the keys of its files begin with."""
        parent = _parent(self.aws_account_id, self.kind)
        return f"{parent}{self.region}/{self.day:%Y/%m/%d}/"


class ListedObject(NamedTuple):
    """An object of the bucket that CloudTrail may have written."""

    key: TrailKey
    etag: str
    size: int
    modified_at: datetime
    storage_class: str = "STANDARD"

    @property
    def name(self) -> str:
        """Its key as text."""
        return self.key.text

    @property
    def hour(self) -> datetime:
        """The hour of its delivery, under which the ingest log counts it."""
        moment = self.key.delivered_at or self.modified_at
        return moment.replace(minute=0, second=0, microsecond=0)


class OtherObject(NamedTuple):
    """An object of the bucket that is none of what is asked for; CloudTrail writes no such."""

    name: str


class _KeysPage(NamedTuple):
    objects: list[ListedObject | OtherObject]
    next: str


def regions(aws_account_id: str, kind: ObjectKind = ObjectKind.LOG) -> list[str]:
    """Return the regions of which there are files of an account. Raises as ``objects``."""
    parent = _parent(aws_account_id, kind)
    found = []
    token = ""
    while True:
        page = _list(token, Prefix=parent, Delimiter="/")
        found += [
            one["Prefix"].removeprefix(parent).rstrip("/") for one in page.get("CommonPrefixes", ())
        ]
        token = page.get("NextContinuationToken", "")
        if not token:
            return found


def regions_of(
    accounts: Iterable[str], kind: ObjectKind = ObjectKind.LOG
) -> Iterator[tuple[str, list[str]]]:
    """Yield accounts with their regions, asking for several at the same time."""
    for account, found in in_parallel(lambda one: regions(one, kind), accounts, threads=LISTERS):
        yield account, found.result()


def objects(folder: Folder, *, after: str = "") -> Iterator[ListedObject]:
    """Yield the files of a folder in the order of their keys, from behind a key.

    Raises ``TransientCloudError`` while S3 is away, ``AwsError`` if it refuses.
    """
    return _files(everything(folder, after=after))


def everything(folder: Folder, *, after: str = "") -> Iterator[ListedObject | OtherObject]:
    """Yield all objects of a folder as ``objects`` does, also those that are no such files."""
    page = _read_page(folder, after=after)
    yield from _rest(folder, page)


def objects_of(folders: Iterable[Folder]) -> Iterator[tuple[Folder, Iterator[ListedObject]]]:
    """Yield folders with their files, asking for the beginnings of several at the same time."""
    for folder, first in in_parallel(_read_page, folders, threads=LISTERS):
        yield folder, _files(_rest(folder, first.result()))


def find(key: str) -> ListedObject | None:
    """Return an object of the bucket, None if there is none. Raises as ``objects``."""
    found = _list("", Prefix=key, MaxKeys=1).get("Contents", ())
    return next((_listed(one) for one in found if one["Key"] == key), None)


def _files(found: Iterable[ListedObject | OtherObject]) -> Iterator[ListedObject]:
    return (one for one in found if isinstance(one, ListedObject))


def _rest(folder: Folder, page: _KeysPage) -> Iterator[ListedObject | OtherObject]:
    yield from page.objects
    while page.next:
        page = _read_page(folder, token=page.next)
        yield from page.objects


def _read_page(folder: Folder, token: str = "", after: str = "") -> _KeysPage:
    options = {"StartAfter": after} if after else {}
    page = _list(token, Prefix=folder.prefix, **options)
    found: list[ListedObject | OtherObject] = []
    for entry in page.get("Contents", ()):
        listed = _listed(entry)
        is_file = listed is not None and _is_of(listed, folder)
        found.append(listed if listed is not None and is_file else OtherObject(entry["Key"]))
    return _KeysPage(found, page.get("NextContinuationToken", ""))


def _is_of(one: ListedObject, folder: Folder) -> bool:
    """Check whether an object is one that our queue is told of; CloudTrail writes no other."""
    return one.key.kind is folder.kind and one.key.text.endswith(trail_bucket().suffix)


def _listed(entry: dict[str, Any]) -> ListedObject | None:
    key = parse_key(entry["Key"])
    if key is None:
        return None
    return ListedObject(
        key=key,
        etag=entry.get("ETag", "").strip('"'),
        size=entry["Size"],
        modified_at=entry["LastModified"],
        storage_class=entry.get("StorageClass", "STANDARD"),
    )


def _list(token: str, **options: Any) -> dict[str, Any]:
    if token:
        options["ContinuationToken"] = token
    with reachable():
        answer: dict[str, Any] = s3().list_objects_v2(Bucket=trail_bucket().bucket, **options)
    return answer


def _parent(aws_account_id: str, kind: ObjectKind) -> str:
    return f"{ROOT}/{aws_account_id}/{kind.value}/"
