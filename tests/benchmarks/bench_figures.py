"""Single operations of metering at sizes for which the original's cost is known (07 §14.1)."""

from datetime import UTC, date, datetime, timedelta

from api.metering import usage
from api.metering.days import Days
from api.metering.runs import recalculate_runs
from api.models import Run, StaleUsage, SyntheticDataRequest
from api.synthetic import requests, steps
from tests import factories
from tests.benchmarks import bare, bulk, dataset
from tests.benchmarks.suite import Operation, Suite

TODAY = date(2023, 3, 30)
NOW = datetime(2023, 3, 30, 12, tzinfo=UTC)
FIRST_DAY = TODAY - timedelta(days=29)
in_march = bulk.at(NOW)


class ManyRuns(Suite):
    """Runs that cover all days: what the original walks through once for each day."""

    title = "usage of many runs on 54 RHEL images"

    def load(self) -> None:
        """Store two customers, with 5,000 and 10,000 runs that are on all the time."""
        with in_march:
            images = [dataset.image(number) for number in range(dataset.IMAGES)]
            rhel = bulk.store_images([image for image in images if image.is_rhel])
            self.small = self._customer(rhel, 5000)
            self.large = self._customer(rhel, 10_000)

    def _customer(self, images, runs):
        account = factories.make_aws_account(
            user=factories.make_user(date_joined=datetime(2023, 1, 1, tzinfo=UTC))
        )
        instances = bulk.store_instances(
            [account], [images[number % len(images)] for number in range(runs)]
        )
        Run.objects.bulk_create(
            [
                Run(
                    instance=instance,
                    cloud_account=account,
                    machine_image=instance.machine_image,
                    start_time=datetime(2023, 2, 1, tzinfo=UTC) + timedelta(seconds=number),
                )
                for number, instance in enumerate(instances)
            ],
            batch_size=1000,
        )
        return account.user

    def operations(self) -> list[Operation]:
        """Return 30 days of the one and a day of the other, each beside the bare sweep."""
        return [
            Operation(
                "30 days x 5,000 runs",
                lambda: self.calculate(self.small, FIRST_DAY),
                prepare=lambda: self.forget(),
                target={"total_cpu_s": 1.5, "statements": 20},
            ),
            Operation(
                "30 days x 5,000 runs, barely",
                lambda: bare.sweep(self.small.id, FIRST_DAY, TODAY),
                bare_of="30 days x 5,000 runs",
            ),
            Operation(
                "1 day x 10,000 runs",
                lambda: self.calculate(self.large, TODAY),
                prepare=lambda: self.forget(),
                target={"total_cpu_s": 0.3, "statements": 20},
            ),
            Operation(
                "1 day x 10,000 runs, barely",
                lambda: bare.sweep(self.large.id, TODAY, TODAY),
                bare_of="1 day x 10,000 runs",
            ),
        ]

    @in_march
    def calculate(self, user, first_day) -> None:
        """Calculate the days up to today."""
        changes = usage.calculate_usage(user_id=user.id, missing=[Days(first_day, TODAY)])
        assert changes.written == (TODAY - first_day).days + 1

    def forget(self) -> None:
        """Delete what was calculated."""
        bulk.truncate("api_concurrentusage")


class ManyInstances(Suite):
    """A thousand instances that were switched on and off five times."""

    title = "runs of 1,000 instances x 10 events"

    def load(self) -> None:
        """Store the instances and their events."""
        with in_march:
            self.account = factories.make_aws_account()
            images = bulk.store_images([dataset.image(number) for number in range(10)])
            self.instances = bulk.store_instances(
                [self.account], [images[number % 10] for number in range(1000)]
            )
            begin = int(NOW.timestamp()) - 10 * dataset.DAY
            bulk.store_events(
                (instance, begin + number + 3600 * hour, ("power_on", "power_off")[hour % 2])
                for number, instance in enumerate(self.instances)
                for hour in range(10)
            )
            factories.make_definition(instance_type=dataset.INSTANCE_TYPE, vcpu=1, memory_mib=1024)

    def operations(self) -> list[Operation]:
        """Return the first calculation, one that changes nothing, and the bare statement."""
        return [
            Operation(
                "all new",
                self.recalculate,
                prepare=self.forget,
                check=lambda changes: self.check(changes.added, 5000),
                target={"total_cpu_s": 0.5, "statements": 20},
            ),
            Operation(
                "nothing new",
                self.recalculate,
                check=lambda changes: self.check(changes.added, 0),
                target={"total_cpu_s": 0.5, "statements": 20, "rows": 0},
            ),
            Operation(
                "all new, barely: one INSERT ... SELECT",
                bare.insert_runs,
                self.forget,
                bare_of="all new",
            ),
        ]

    @in_march
    def recalculate(self):
        """Make the runs right."""
        return recalculate_runs(
            user_id=self.account.user_id, instance_ids=[one.id for one in self.instances]
        )

    def check(self, found, expected) -> None:
        """Compare the numbers of runs."""
        assert found == expected
        assert Run.objects.count() == 5000

    def forget(self) -> None:
        """Delete what was calculated."""
        StaleUsage.objects.all().delete()
        bulk.truncate("api_run")


class Synthetic(Suite):
    """A request for synthetic data, from its first to its last step."""

    title = "synthetic data"

    def load(self) -> None:
        """Start with nothing."""

    def operations(self) -> list[Operation]:
        """Return the whole chain."""
        return [
            Operation(
                "5,000 instances over 30 days, all steps",
                self.answer,
                prepare=self.request,
                check=self.check,
                target={"wall_s": 8, "peak_rss_mib": 300},
            )
        ]

    @in_march
    def request(self) -> None:
        """Store a request."""
        self.wanted = SyntheticDataRequest.objects.create(
            cloud_type="aws", since_days_ago=30, instance_count=5000, account_count=4
        )

    @in_march
    def answer(self) -> None:
        """Do what the chain of tasks does."""
        for step in (
            steps.make_user,
            steps.make_accounts,
            steps.make_images,
            steps.make_instances,
            steps.make_events,
            steps.make_runs_and_usage,
        ):
            assert step(request_id=self.wanted.id) == self.wanted.id

    def check(self, _) -> None:
        """The request is ready."""
        request = requests.synthetic_requests().get(id=self.wanted.id)
        assert requests.is_ready(request)
