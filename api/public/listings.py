"""What belongs to a customer, page by page.

However long a list is, and whatever other customers have, a page takes the same few statements,
each of which reads nothing but index entries of the customer's own accounts and the page's rows.
"""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import timedelta
from typing import NamedTuple

from django.db.models import (
    Count,
    Exists,
    F,
    Func,
    IntegerField,
    OuterRef,
    QuerySet,
    Subquery,
    Window,
)

from api.models import CloudAccount, Instance, MachineImage
from api.public.filters import Filter
from api.public.objects import ACCOUNT_COLUMNS, IMAGE_COLUMNS, INSTANCE_COLUMNS, Row

SHALLOW = 1000
"""Rows up to which reading and skipping them costs less than finding out first which to read."""

MERGED_ACCOUNTS = 32
"""Accounts up to which their orders are merged; those of more are put in order anew."""

Columns = tuple[str, ...]

_OLDEST_FIRST = ("created_at", "id")
_NEWEST_FIRST = ("-created_at", "-id")

# Unlike an aggregate of the ORM it brings no GROUP BY into a subquery.
_COUNT = Func(function="COUNT", template="%(function)s(*)", output_field=IntegerField())


class Page(NamedTuple):
    """How many rows there are on all pages, and those of one."""

    total: int
    rows: Iterable[Row]


def accounts_of(user_id: int) -> QuerySet:
    """Give a customer's cloud accounts, whatever their state."""
    return CloudAccount.objects.filter(user_id=user_id).values_list(*ACCOUNT_COLUMNS, named=True)


def instances_of(user_id: int) -> QuerySet:
    """Give the instances in a customer's accounts, for looking up one of them."""
    instances = Instance.objects.filter(cloud_account__user_id=user_id)
    return instances.values_list(*INSTANCE_COLUMNS, named=True)


def images_of(user_id: int) -> QuerySet:
    """Give the images that a customer's instances use, for looking up one of them."""
    used = Instance.objects.filter(cloud_account__user_id=user_id, machine_image_id=OuterRef("id"))
    images = MachineImage.objects.filter(Exists(used))
    return images.values_list(*IMAGE_COLUMNS, named=True)


@dataclass(frozen=True)
class Listing:
    """A list of a customer, as far as a filter lets its rows pass."""

    user_id: int
    filter: Filter

    def page(self, start: int, stop: int) -> Page:
        """Read the rows from one number to before another; there need not be so many."""
        raise NotImplementedError


class AccountListing(Listing):
    """A customer's accounts, by id."""

    def page(self, start: int, stop: int) -> Page:
        """Read a page whose rows tell how many there are on all; count only if there are none."""
        accounts = self.filter.narrow(CloudAccount.objects.filter(user_id=self.user_id))
        counted = accounts.order_by("id").annotate(total=Window(Count("*")))
        rows = list(counted.values_list(*ACCOUNT_COLUMNS, "total", named=True)[start:stop])
        return Page(rows[0].total if rows else accounts.count(), rows)


class InstanceListing(Listing):
    """The instances in a customer's accounts, oldest first.

    They are indexed by account and time of creation. So they are counted account by account, and a
    page is merged from the accounts' own orders, from whichever end of the list is nearer.
    """

    def page(self, start: int, stop: int) -> Page:
        """Count, then read the page."""
        counts = self._counts()
        total = sum(counts.values())
        stop = min(stop, total)
        if start >= stop:
            return Page(total, [])
        if start > total // 2:
            rows = self._read(counts, total - stop, total - start, newest_first=True)
            return Page(total, list(rows)[::-1])
        return Page(total, self._read(counts, start, stop))

    def _counts(self) -> dict[int, int]:
        matching = self.filter.narrow(Instance.objects.filter(cloud_account_id=OuterRef("id")))
        counts = (
            CloudAccount.objects.filter(user_id=self.user_id)
            .annotate(matching=Subquery(matching.values(count=_COUNT)))
            .values_list("id", "matching")
        )
        return {account_id: count for account_id, count in counts if count}

    def _read(
        self, account_ids: Collection[int], start: int, stop: int, *, newest_first: bool = False
    ) -> QuerySet:
        """Read rows, counted from either end."""
        arrange = self._sorted if len(account_ids) > MERGED_ACCOUNTS else self._merged
        order = _NEWEST_FIRST if newest_first else _OLDEST_FIRST
        if stop <= SHALLOW:
            return arrange(account_ids, INSTANCE_COLUMNS, order, stop)[start:stop]
        found = arrange(account_ids, ("id", "created_at"), order, stop)[start:stop]
        rows = Instance.objects.filter(id__in=[row.id for row in found]).order_by(*order)
        return rows.values_list(*INSTANCE_COLUMNS, named=True)

    def _merged(
        self, account_ids: Iterable[int], columns: Columns, order: Columns, stop: int
    ) -> QuerySet:
        first, *others = (
            self.filter.narrow(Instance.objects.filter(cloud_account_id=account_id))
            .order_by(*order)
            .values_list(*columns, named=True)[:stop]
            for account_id in account_ids
        )
        return first.union(*others, all=True).order_by(*order) if others else first

    def _sorted(
        self, account_ids: Iterable[int], columns: Columns, order: Columns, _stop: int
    ) -> QuerySet:
        # Ordered by the bare column PostgreSQL might look for the customer's instances among
        # everybody's, in the order of their creation.
        age = F("created_at") + timedelta(0)
        rows = self.filter.narrow(Instance.objects.filter(cloud_account_id__in=account_ids))
        by_age = age.desc() if order is _NEWEST_FIRST else age.asc()
        return rows.order_by(by_age, order[-1]).values_list(*columns, named=True)


class ImageListing(Listing):
    """The images that a customer's instances use, by id."""

    def page(self, start: int, stop: int) -> Page:
        """Find out which images there are, then read those of the page."""
        accounts = list(
            CloudAccount.objects.filter(user_id=self.user_id).values_list("id", flat=True)
        )
        used = Instance.objects.filter(cloud_account_id__in=accounts).values("machine_image_id")
        images = self.filter.narrow(MachineImage.objects.filter(id__in=used.distinct()))
        ids = list(images.order_by("id").values_list("id", flat=True))
        rows = MachineImage.objects.filter(id__in=ids[start:stop]).order_by("id")
        return Page(len(ids), rows.values_list(*IMAGE_COLUMNS, named=True))
