"""What belongs to a customer: page by page, or one by its id.

However long a list is, and whatever other customers have, a page takes the same few statements,
each of which reads nothing but index entries of the customer's own accounts and the page's rows.
They are written out because they are sent all day: putting them together from models each time
takes longer than PostgreSQL takes to answer.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import chain
from typing import Any, ClassVar, Generic, NamedTuple

from api.public.filters import Filter
from api.public.resources import ACCOUNTS, INSTANCES, CloudAccount, Instance
from api.public.shapes import PartT, Shape
from util.replica import connection

SHALLOW = 1000
"""Rows up to which reading and skipping them costs less than finding out first which to read."""

MERGED_ACCOUNTS = 32
"""Accounts up to which their orders are merged; those of more are put in order anew."""

Values = tuple[Any, ...]

_OWN_ACCOUNTS = "SELECT id FROM api_cloudaccount WHERE user_id = %s"

_ACCOUNTS = """
SELECT {columns}, count(*) OVER () FROM api_cloudaccount account WHERE user_id = %s{conditions}
ORDER BY id LIMIT %s OFFSET %s
"""
_COUNT_ACCOUNTS = "SELECT count(*) FROM api_cloudaccount WHERE user_id = %s{conditions}"
_ACCOUNT = (
    "SELECT {columns} FROM api_cloudaccount account WHERE user_id = %s{conditions} AND id = %s"
)

_COUNT_INSTANCES = """
SELECT id, (
    SELECT count(*) FROM api_instance instance WHERE cloud_account_id = account.id{conditions}
)
FROM api_cloudaccount account WHERE user_id = %s
"""
_INSTANCES_OF_ACCOUNT = """(
    SELECT {columns} FROM api_instance instance WHERE cloud_account_id = %s{conditions}
    ORDER BY created_at {direction}, id {direction} LIMIT %s
)"""
_MERGED_INSTANCES = """
SELECT {columns} FROM ({branches}) instance
ORDER BY created_at {direction}, id {direction} LIMIT %s OFFSET %s
"""
# Ordered by the bare column PostgreSQL might look for the customer's instances among everybody's,
# in the order of their creation.
_SORTED_INSTANCES = """
SELECT {columns} FROM api_instance instance WHERE cloud_account_id = ANY(%s){conditions}
ORDER BY created_at + interval '0' {direction}, id {direction} LIMIT %s OFFSET %s
"""
_INSTANCES_BY_ID = """
SELECT {columns} FROM api_instance instance WHERE id = ANY(%s)
ORDER BY created_at {direction}, id {direction}
"""
_INSTANCE = """
SELECT {columns} FROM api_instance instance
WHERE cloud_account_id IN ({own_accounts}){conditions} AND id = %s
"""


class ListedPage(NamedTuple):
    """How many rows there are on all pages, and those of one.

    The rows of a large one are read while they are used, and not to be held in memory together.
    """

    total: int
    rows: Iterable[Any]
    is_large: bool = False


@dataclass(frozen=True)
class Listing(ABC, Generic[PartT]):
    """What a customer has of one kind, as far as a filter lets it pass."""

    user_id: int
    filter: Filter

    shape: ClassVar[Shape[Any]]
    """What is read of a row, and made of it."""

    @abstractmethod
    def page(self, start: int, stop: int) -> ListedPage:
        """Read the rows from one number to before another; there need not be so many."""

    @abstractmethod
    def one(self, id: int) -> PartT | None:
        """Read the row with an id; None if there is none."""

    def _fetch(
        self, sql: str, *values: Any, columns: Iterable[str] | None = None, **parts: str
    ) -> list[Values]:
        """Execute a statement whose named parts are put in, and return all of its rows."""
        statement = sql.format(
            columns=", ".join(columns or self.shape.columns),
            conditions=self.filter.sql,
            own_accounts=_OWN_ACCOUNTS,
            **parts,
        )
        with connection.cursor() as cursor:
            cursor.execute(statement, values)
            return cursor.fetchall()

    def _fetch_counted(
        self, sql: str, count_sql: str, start: int, stop: int, **parts: str
    ) -> tuple[int, list[Values]]:
        """Read rows that end with how many there are in all; count only if there are none."""
        wanted = (self.user_id, *self.filter.values)
        rows = self._fetch(sql, *wanted, stop - start, start, **parts)
        if rows:
            return rows[0][-1], [row[:-1] for row in rows]
        return self._fetch(count_sql, *wanted, **parts)[0][0] if start else 0, []

    def _fetch_one(self, sql: str, id: int) -> list[Values]:
        return self._fetch(sql, self.user_id, *self.filter.values, id)


class AccountListing(Listing[CloudAccount]):
    """A customer's cloud accounts, whatever their state, by id."""

    shape = ACCOUNTS

    def page(self, start: int, stop: int) -> ListedPage:
        """Read a page."""
        total, rows = self._fetch_counted(_ACCOUNTS, _COUNT_ACCOUNTS, start, stop)
        return ListedPage(total, map(self.shape.read, rows))

    def one(self, id: int) -> CloudAccount | None:
        """Read an account."""
        return next(map(self.shape.read, self._fetch_one(_ACCOUNT, id)), None)


class InstanceListing(Listing[Instance]):
    """The instances in a customer's accounts, oldest first.

    They are indexed by account and time of creation. So they are counted account by account, and a
    page is merged from the accounts' own orders, from whichever end of the list is nearer.
    """

    shape = INSTANCES

    def page(self, start: int, stop: int) -> ListedPage:
        """Count, then read the page."""
        counts = self._fetch(_COUNT_INSTANCES, *self.filter.values, self.user_id)
        account_ids = [account_id for account_id, count in counts if count]
        total = sum(count for _, count in counts)
        stop = min(stop, total)
        if start >= stop:
            return ListedPage(total, [])
        if start > total // 2:
            rows = self._read(account_ids, total - stop, total - start, "DESC")[::-1]
        else:
            rows = self._read(account_ids, start, stop, "ASC")
        return ListedPage(total, map(self.shape.read, rows))

    def one(self, id: int) -> Instance | None:
        """Read an instance."""
        return next(map(self.shape.read, self._fetch_one(_INSTANCE, id)), None)

    def _read(self, account_ids: list[int], start: int, stop: int, direction: str) -> list[Values]:
        """Read rows, counted from either end."""
        if len(account_ids) <= MERGED_ACCOUNTS:
            sql, values = self._merged(account_ids, stop)
        else:
            sql, values = _SORTED_INSTANCES, [account_ids, *self.filter.values]
        values += [stop - start, start]
        if stop <= SHALLOW:
            return self._fetch(sql, *values, direction=direction)
        found = self._fetch(sql, *values, columns=("id", "created_at"), direction=direction)
        return self._fetch(_INSTANCES_BY_ID, [row[0] for row in found], direction=direction)

    def _merged(self, account_ids: list[int], stop: int) -> tuple[str, list[Any]]:
        branches = " UNION ALL ".join([_INSTANCES_OF_ACCOUNT] * len(account_ids))
        values = ((account_id, *self.filter.values, stop) for account_id in account_ids)
        sql = _MERGED_INSTANCES.replace("{branches}", branches)
        return sql, list(chain.from_iterable(values))
