"""The operations of a history of some size (spec 15 §2.1)."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any, ClassVar

from django.db import connection
from django.test import Client

from api.coverage.calculate import calculate_coverage
from api.metering import recalculate
from api.metering.usage import calculate_usage
from tests.api.public.callers import identity
from tests.benchmarks import bulk
from tests.benchmarks.bench_ingest import Customer
from tests.benchmarks.scale import history
from tests.benchmarks.suite import Operation, Suite
from tests.generators import cloudtrail as trail

RECORDS = 200
ROUNDS = 5
LARGE_TABLES = ("api_instanceevent", "api_run", "api_concurrentusage", "api_instance")
LARGE = 50_000
"""Rows from which on reading all of a table is worse than looking rows up."""

at_that_time = bulk.at(history.NOW)


class History(Customer, Suite):
    """A history with one more customer, to whom everything happens."""

    scale: ClassVar[int]

    def load(self) -> None:
        """Store the history, and the one customer with days of their own."""
        with at_that_time:
            history.store(self.scale)
            super().load()
            user = self.account.user
            type(user).objects.filter(id=user.id).update(
                date_joined=history.NOW - timedelta(days=30)
            )
            self.user = type(user).objects.get(id=user.id)
            self.client = Client(
                headers={
                    "X-RH-IDENTITY": identity(
                        account_number=user.account_number, org_id=user.org_id
                    )
                }
            )
            self.idle_hour()
        self._files = 0
        bulk.analyze()

    def operations(self) -> list[Operation]:
        """Return what is measured, each of which must read no large table as a whole."""
        return [
            self._operation(
                f"ingest of a file of {RECORDS} records", self.ingest_file, self.make_file
            ),
            self._operation("recalculation of one customer", self.recalculate, self.make_stale),
            self._operation("concurrent/ of 30 days", self.read("concurrent/")),
            self._operation("explain/ of yesterday", self.read("explain/")),
            self._operation("an idle hour", self.idle_hour),
            self._operation("a scrape of metrics", self.scrape),
        ]

    def _operation(
        self, name: str, work: Callable[[], Any], prepare: Callable[[], Any] | None = None
    ) -> Operation:
        def prepared() -> None:
            if prepare is not None:
                prepare()
            self._scanned = _scanned()

        def check(_: Any) -> None:
            scanned = _scanned()
            whole = {
                table: scanned[table] - self._scanned[table]
                for table in LARGE_TABLES
                if scanned.get(table, 0) > self._scanned.get(table, scanned.get(table, 0))
            }
            assert not whole, f"{name} reads whole tables: {whole}"

        return Operation(
            name,
            at_that_time(work),
            prepare=at_that_time(prepared),
            check=check,
            rounds=ROUNDS,
        )

    def make_file(self) -> None:
        """Put one more file into the bucket, a minute later than the one before."""
        self._files += 1
        begin = history.NOW - timedelta(hours=5) + timedelta(minutes=self._files)
        records = []
        for place in range(RECORDS):
            make = (trail.stop_instances, trail.start_instances)[self._files % 2]
            instance = self.instances[place % len(self.instances)].cloud_instance_id
            records.append(
                make(
                    instance,
                    at=begin + timedelta(milliseconds=100 * place),
                    account=self.account.aws_account_id,
                )
            )
        self._message = self.put(f"More{self._files}", records)

    def ingest_file(self) -> None:
        """Read it."""
        assert self.ingest([self._message]) == 1

    def make_stale(self) -> None:
        """Store one more file, which makes the last day stale."""
        self.make_file()
        self.ingest_file()

    def recalculate(self) -> None:
        """Calculate what is stale of the customer."""
        assert calculate_usage(user_id=self.user.id).calculated

    def read(self, path: str) -> Callable[[], None]:
        """Return what asks the public API."""
        begin = (history.NOW - timedelta(days=30)).date()
        query = f"?start_date={begin}&end_date={history.NOW.date()}" if "concurrent" in path else ""

        def get() -> None:
            response = self.client.get(f"/api/cloudigrade/v2/{path}{query}")
            assert response.status_code == 200, response.content

        return get

    def idle_hour(self) -> None:
        """Do what the schedule does in an hour in which nothing happened."""
        recalculate.recalculate_runs_of_all_accounts()
        recalculate.recalculate_usage_of_all_users()
        recalculate.recalculate_stale_usage()
        calculate_coverage()

    def scrape(self) -> None:
        """Ask for the metrics."""
        assert Client().get("/internal/metrics").status_code == 200


class Scale1(History):
    """The history as it is."""

    title = "scale 1: 200 customers, 20,000 instances, 10^6 events in 13 months"
    scale = 1


class Scale5(History):
    """Five times the history."""

    title = "scale 5"
    scale = 5


class Scale20(History):
    """Twenty times the history."""

    title = "scale 20"
    scale = 20


SUITES: tuple[type[History], ...] = (Scale1, Scale5, Scale20)


def _scanned() -> dict[str, int]:
    """Return how often each table that is large was read as a whole since the server began."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_stat_force_next_flush()")
        cursor.execute("SELECT pg_stat_clear_snapshot()")
        cursor.execute(
            "SELECT relname, seq_scan FROM pg_stat_user_tables"
            " WHERE relname = ANY(%s) AND n_live_tup > %s",
            [list(LARGE_TABLES), LARGE],
        )
        return dict(cursor.fetchall())
