"""What belongs to a customer, in order, for a paginator: each listing can be counted and sliced.

However long a listing is, and whatever other customers have, a page takes the same few statements,
each of which reads nothing but index entries of the customer's own accounts and the page's rows.
"""

from collections.abc import Iterable
from functools import cached_property

from django.db.models import Count, Exists, OuterRef, QuerySet, Subquery

from api.models import CloudAccount, Instance, MachineImage
from api.public.filters import ImageFilter, InstanceFilter
from api.public.objects import ACCOUNT_COLUMNS, IMAGE_COLUMNS, INSTANCE_COLUMNS, Row

_OLDEST_FIRST = ("created_at", "id")
_NEWEST_FIRST = ("-created_at", "-id")


def accounts_of(user_id: int) -> QuerySet:
    """Give a customer's cloud accounts, whatever their state."""
    accounts = CloudAccount.objects.filter(user_id=user_id).order_by("id")
    return accounts.values_list(*ACCOUNT_COLUMNS, named=True)


def instances_of(user_id: int) -> QuerySet:
    """Give the instances in a customer's accounts, for looking up one of them."""
    instances = Instance.objects.filter(cloud_account__user_id=user_id)
    return instances.values_list(*INSTANCE_COLUMNS, named=True)


def images_of(user_id: int) -> QuerySet:
    """Give the images that a customer's instances use, for looking up one of them."""
    used = Instance.objects.filter(cloud_account__user_id=user_id, machine_image_id=OuterRef("id"))
    images = MachineImage.objects.filter(Exists(used))
    return images.values_list(*IMAGE_COLUMNS, named=True)


class InstanceListing:
    """The instances in a customer's accounts, oldest first, as far as a filter lets them pass.

    They are indexed by account and time of creation. So they are counted account by account, and a
    page is merged from the accounts' own orders, from whichever end of the list is nearer.
    """

    def __init__(self, user_id: int, query: InstanceFilter) -> None:
        self._user_id = user_id
        self._query = query

    def count(self) -> int:
        """Tell how many instances there are."""
        return sum(self._counts.values())

    def __getitem__(self, page: slice) -> Iterable[Row]:
        """Read the instances from ``page.start`` to before ``page.stop``."""
        total = self.count()
        start, stop = page.start, min(page.stop, total)
        if start >= stop:
            return []
        if start > total // 2:
            ids = self._ids(_NEWEST_FIRST, total - stop, total - start)
        else:
            ids = self._ids(_OLDEST_FIRST, start, stop)
        rows = Instance.objects.filter(id__in=ids).order_by(*_OLDEST_FIRST)
        return rows.values_list(*INSTANCE_COLUMNS, named=True)

    @cached_property
    def _counts(self) -> dict[int, int]:
        matching = (
            self._query.narrow(Instance.objects.filter(cloud_account_id=OuterRef("id")))
            .order_by()
            .values("cloud_account_id")
            .annotate(matching=Count("*"))
            .values("matching")
        )
        counts = (
            CloudAccount.objects.filter(user_id=self._user_id)
            .annotate(matching=Subquery(matching))
            .values_list("id", "matching")
        )
        return {account_id: count for account_id, count in counts if count}

    def _ids(self, order: tuple[str, ...], start: int, stop: int) -> list[int]:
        first, *others = (
            self._query.narrow(Instance.objects.filter(cloud_account_id=account_id))
            .order_by(*order)
            .values_list("id", "created_at")[:stop]
            for account_id in self._counts
        )
        merged = first.union(*others, all=True).order_by(*order) if others else first
        return [row[0] for row in merged[start:stop]]


class ImageListing:
    """The images that a customer's instances use, by id, as far as a filter lets them pass."""

    def __init__(self, user_id: int, query: ImageFilter) -> None:
        self._user_id = user_id
        self._query = query

    def count(self) -> int:
        """Tell how many images there are."""
        return len(self._ids)

    def __getitem__(self, page: slice) -> Iterable[Row]:
        """Read the images from ``page.start`` to before ``page.stop``."""
        rows = MachineImage.objects.filter(id__in=self._ids[page]).order_by("id")
        return rows.values_list(*IMAGE_COLUMNS, named=True)

    @cached_property
    def _ids(self) -> list[int]:
        accounts = list(accounts_of(self._user_id).values_list("id", flat=True))
        used = Instance.objects.filter(cloud_account_id__in=accounts).values("machine_image_id")
        images = self._query.narrow(MachineImage.objects.filter(id__in=used.distinct()))
        return list(images.order_by("id").values_list("id", flat=True))
