"""Data set L: a year of one large customer, operations O1 to O7 (spec 07 §14.3, §14.4)."""

import base64
import json
from datetime import UTC, datetime, timedelta
from typing import Any

from django.test import Client

from api.accounts.erasure import erase_instances
from api.accounts.locking import locked_account
from api.images.changes import change_images
from api.metering import recalculate
from api.metering.facets import ANY
from api.metering.runs import recalculate_runs
from api.models import (
    ConcurrentUsage,
    ImageFact,
    InstanceEvent,
    Run,
    StaleUsage,
    UsageRevision,
    User,
)
from tests import factories
from tests.benchmarks import bare, bulk, dataset
from tests.benchmarks.suite import Operation, Suite

OTHER_CUSTOMERS = 1000
USAGE: tuple[tuple[str, str, dict[str, float]], ...] = (
    ("a year by day", "start=2022-01-01&end=2023-01-01", {"wall_s": 0.15, "statements": 5}),
    (
        "a year by month",
        "start=2022-01-01&end=2023-01-01&granularity=month",
        {"wall_s": 0.3, "statements": 5},
    ),
    (
        "a year by day and architecture",
        "start=2022-01-01&end=2023-01-01&group_by[arch]=*",
        {"wall_s": 0.3, "statements": 5},
    ),
    (
        "a year by day and account",
        "start=2022-01-01&end=2023-01-01&group_by[account]=*",
        {"wall_s": 2, "statements": 5},
    ),
    (
        "a month by hour",
        "start=2022-07-01&end=2022-08-01&granularity=hour",
        {"wall_s": 0.5, "statements": 5},
    ),
    (
        "a month by day and region",
        "start=2022-07-01&end=2022-08-01&group_by[region]=*",
        {"wall_s": 0.5, "statements": 5},
    ),
)
"""What is asked of ``usage/`` (spec 11 §1), with targets."""
TODAY = datetime(2023, 1, 1, tzinfo=UTC)


in_2023 = bulk.at(dataset.NOW)


class Year(Suite):
    """Each operation leaves the data as the next one needs them."""

    title = "data set L: 5,000 instances, 101,000 runs, 366 days"

    def load(self) -> None:
        """Store the customer, images, instances and events, in the order of the specification."""
        with bulk.at(dataset.NOW):
            self.client = Client()
            self.user = factories.make_user(date_joined=dataset.JOINED)
            self.accounts = [
                factories.make_aws_account(user=self.user) for _ in range(dataset.ACCOUNTS)
            ]
            self.images = bulk.store_images(
                [dataset.image(number) for number in range(dataset.IMAGES)]
            )
            self.instances = bulk.store_instances(
                self.accounts,
                [self.images[number % dataset.IMAGES] for number in range(dataset.INSTANCES)],
            )
            bulk.store_events(
                (instance, second, kind)
                for number, instance in enumerate(self.instances)
                for second, kind in dataset.power_seconds(number)
            )
            factories.make_definition(instance_type=dataset.INSTANCE_TYPE, vcpu=1, memory_mib=1024)

    def operations(self) -> list[Operation]:
        """Return O1 to O7, with the same work done barely beside O1 and O2."""
        return [
            Operation(
                "O1 all runs from all events",
                in_2023(self.runs),
                prepare=self.forget_runs,
                check=self.check_runs,
                target={"wall_s": 20, "statements": 250, "peak_rss_mib": 300},
            ),
            Operation(
                "O1 barely: one INSERT ... SELECT",
                bare.insert_runs,
                prepare=self.forget_runs,
                check=self.check_runs,
                bare_of="O1 all runs from all events",
            ),
            Operation(
                "O2 usage of 366 days, cold",
                in_2023(self.usage),
                prepare=self.forget_usage,
                check=self.check_usage,
                target={"wall_s": 5, "statements": 20, "rows": 367, "peak_rss_mib": 300},
            ),
            Operation(
                "O2 barely: two SELECTs and a sweep",
                lambda: bare.sweep(self.user.id, dataset.FIRST_DAY, dataset.TODAY),
                check=lambda days: self.check_bare(days),
                bare_of="O2 usage of 366 days, cold",
            ),
            *(
                Operation(
                    f"usage/ of {text}",
                    in_2023(lambda query=query: self.read_usage(query)),
                    # The first request of a process loads what all others use.
                    prepare=in_2023(lambda: self.read_usage("limit=1")),
                    check=self.check_read_usage,
                    target=target,
                    rounds=20,
                    percentile=95,
                )
                for text, query, target in USAGE
            ),
            Operation(
                "O3 hourly passes, nothing changed, 1,000 customers",
                in_2023(self.passes),
                prepare=in_2023(self.add_customers),
                target={"wall_s": 5, "statements": 100, "rows": 0},
            ),
            Operation(
                "O4 1,000 new events today",
                in_2023(self.passes),
                prepare=in_2023(self.add_events),
                check=self.check_today,
                target={"wall_s": 3, "peak_rss_mib": 300},
            ),
            Operation(
                "O5 one image becomes RHEL",
                in_2023(lambda: self.turn_image(True)),
                prepare=in_2023(lambda: self.turn_image(False)),
                check=self.check_turned,
                target={"wall_s": 6, "peak_rss_mib": 300},
            ),
            Operation(
                "O6 GET /concurrent/ of 100 days",
                in_2023(self.read),
                check=self.check_read,
                target={"wall_s": 0.1, "statements": 4},
                rounds=20,
                percentile=95,
            ),
            Operation(
                "explain/ of a busy day",
                in_2023(self.explain),
                check=self.check_explained,
                target={"wall_s": 0.3, "statements": 6},
                rounds=20,
                percentile=95,
            ),
            Operation(
                "O7 delete an account with a quarter of all",
                in_2023(self.delete_account),
                check=self.check_deleted,
                target={"wall_s": 15, "peak_rss_mib": 300},
                rounds=1,
            ),
        ]

    def forget_runs(self) -> None:
        """Undo O1."""
        StaleUsage.objects.all().delete()
        bulk.truncate("api_run")

    def runs(self) -> None:
        """Calculate the runs of all accounts."""
        for account in self.accounts:
            recalculate.recalculate_runs_of_account(account_id=account.id, since=dataset.JOINED)

    def check_runs(self, _) -> None:
        """Compare with the check values."""
        assert Run.objects.count() == dataset.RUNS
        assert Run.objects.filter(end_time=None).count() == dataset.OPEN_RUNS
        assert Run.objects.filter(machine_image__is_rhel=True).count() == dataset.RHEL_RUNS

    def forget_usage(self) -> None:
        """Undo O2."""
        StaleUsage.objects.all().delete()
        bulk.truncate("api_concurrentusage")
        bulk.analyze()

    def usage(self) -> None:
        """Calculate the year."""
        recalculate.recalculate_usage_of_user(user_id=self.user.id, since=dataset.FIRST_DAY)

    def check_usage(self, _) -> None:
        """Compare with the check values and the digest."""
        totals = self.totals()
        assert len(totals) == 366
        assert {day: totals[day] for day in dataset.TOTALS} == dataset.TOTALS
        rows = self.rows_of_2022()
        assert sum(totals[day] for day, _ in rows) == dataset.SUM_OF_TOTALS
        assert dataset.digest(counts for _, counts in rows) == dataset.DIGEST

    def check_bare(self, days) -> None:
        """The bare sweep must have found the same."""
        assert dataset.digest(list(days.values())[:-1]) == dataset.DIGEST

    def passes(self) -> None:
        """Do what the schedule does in an hour."""
        recalculate.recalculate_runs_of_all_accounts()
        recalculate.recalculate_usage_of_all_users()
        recalculate.recalculate_stale_usage()

    def add_customers(self) -> None:
        """Add other customers, with one account each, and let the passes settle."""
        missing = OTHER_CUSTOMERS + 1 - User.objects.count()
        for _ in range(missing):
            factories.make_aws_account(user=factories.make_user(date_joined=dataset.JOINED))
        self.passes()
        bulk.analyze()

    def add_events(self) -> None:
        """Store 1,000 events of today, after undoing those of the round before."""
        today = InstanceEvent.objects.filter(occurred_at__gte=TODAY)
        changed = list(today.values_list("instance_id", flat=True).distinct())
        today.delete()
        recalculate_runs(user_id=self.user.id, instance_ids=changed)
        recalculate.recalculate_stale_usage()
        begin = int(TODAY.timestamp())
        off = [
            (instance, begin + 60 + number, "power_off")
            for number, instance in enumerate(self.instances[:500])
        ]
        pairs = [
            (instance, begin + 120 + number + 300 * (kind == "power_off"), kind)
            for number, instance in enumerate(self.instances[1000:1250])
            for kind in ("power_on", "power_off")
        ]
        bulk.store_events(off + pairs)

    def check_today(self, _) -> None:
        """Today has been calculated again, the other days have not changed."""
        assert not StaleUsage.objects.exists()
        rows = self.rows_of_2022()
        assert dataset.digest(counts for _, counts in rows) == dataset.DIGEST

    def turn_image(self, tagged: bool) -> None:
        """Change what is known of the image and let the days become right."""
        change_images(
            image_ids=[self.images[dataset.TURNED_IMAGE].id],
            change=lambda image: factories.set_rhel(image, tagged),
            reason=ImageFact.Reason.INSPECTION,
        )
        recalculate.recalculate_stale_usage()

    def check_turned(self, _) -> None:
        """Compare with the check values."""
        totals = self.totals()
        year = [total for day, total in totals.items() if day <= dataset.LAST_DAY]
        assert sum(year) == dataset.TURNED_SUM
        assert max(year) == dataset.TURNED_LARGEST
        assert {day: totals[day] for day in dataset.TURNED_TOTALS} == dataset.TURNED_TOTALS
        assert UsageRevision.objects.exists()

    def ask(self, path: str, **query: Any) -> bytes:
        """Return the whole answer of the public API."""
        answer = self.client.get(
            f"/api/cloudigrade/v2/{path}", query, headers={"X-RH-IDENTITY": identity(self.user)}
        )
        # Long answers are written while they are read.
        content: bytes = answer.getvalue()
        assert answer.status_code == 200, content
        return content

    def read(self) -> bytes:
        """Ask the public API for the last 100 days."""
        first_day = dataset.TODAY - timedelta(days=100)
        return self.ask("concurrent/", limit=100, start_date=first_day, end_date=dataset.TODAY)

    def read_usage(self, query: str):
        """Ask the public API for a page of measures."""
        return self.client.get(
            f"/api/cloudigrade/v2/usage/?limit=100&{query}",
            headers={"X-RH-IDENTITY": identity(self.user)},
        )

    def explain(self) -> bytes:
        """Ask why the number of the last day but one is what it is; nothing is cached here."""
        return self.ask("explain/", limit=100, date=dataset.TODAY - timedelta(days=1))

    def check_explained(self, content: bytes) -> None:
        """Require a page of the runs that make the number."""
        explained = json.loads(content)
        assert explained["explanation"]["instances_count"] == explained["meta"]["count"]
        assert len(explained["data"]) == 100

    def check_read_usage(self, response) -> None:
        """There is something on in each row."""
        assert response.status_code == 200, response.content
        assert all(row["peak"] for row in response.json()["data"])

    def check_read(self, content: bytes) -> None:
        """All days are there, with hundreds of counts each."""
        assert content.count(b'"date":') == 100
        assert content.count(b'"instances_count":') > 100 * 200

    def delete_account(self) -> None:
        """Delete the first account's part of the data and calculate what that changed."""
        with locked_account(self.accounts[0].id) as account:
            assert account is not None
            erase_instances(account)
            account.delete()
        recalculate.recalculate_stale_usage()

    def check_deleted(self, _) -> None:
        """What is left is what the bare sweep finds."""
        assert not StaleUsage.objects.exists()
        days = bare.sweep(self.user.id, dataset.FIRST_DAY, dataset.TODAY)
        expected = {day: sorted(map(list, entries)) for day, entries in days.items()}
        assert {day: sorted(counts) for day, counts in self.rows()} == expected

    def rows(self):
        """Return the customer's days with their counts."""
        return (
            ConcurrentUsage.objects.filter(user=self.user)
            .order_by("date")
            .values_list("date", "maximum_counts")
        )

    def rows_of_2022(self):
        """Return those of the days that the digest covers."""
        return list(self.rows().filter(date__lte=dataset.LAST_DAY))

    def totals(self):
        """Return each day's number over everything."""
        return {
            day: next((entry[5] for entry in counts if entry[:5] == [ANY] * 5), 0)
            for day, counts in self.rows()
        }


def identity(user: User) -> str:
    """Make the header by which the platform tells who asks."""
    header = {
        "identity": {
            "account_number": user.account_number,
            "org_id": user.org_id,
            "internal": {"org_id": user.org_id},
            "type": "User",
            "user": {"is_org_admin": True},
        }
    }
    return base64.b64encode(json.dumps(header).encode()).decode()
