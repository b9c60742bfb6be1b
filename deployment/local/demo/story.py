"""The story: customers come in, run instances, tag an image; one has a month of history."""

import gzip
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from functools import partial
from typing import Any, Self

from rich.console import Console

from deployment.local import welcome
from deployment.local.app import Product
from deployment.local.aws import AwsControl
from deployment.local.azure import AzureControl
from deployment.local.blocks import store_disk
from deployment.local.demo import tables
from deployment.local.demo.customers import (
    ACME,
    CLOUD_ACCESS_NAME,
    CUSTOMERS,
    GLOBEX,
    HOOLI,
    INITECH,
    RED_HAT_ACCOUNT,
    Customer,
)
from deployment.local.demo.disk import VERSION, disk
from deployment.local.demo.entry_points import (
    PUBLIC,
    Api,
    Platform,
    Records,
    require,
    wait_for,
)
from deployment.local.demo.expected_usage import TOTAL, Span, expected_usage
from deployment.local.demo.explained import explain_today
from deployment.local.demo.history import DAYS, check_history, request_history
from deployment.local.demo.log_bucket import LogBucket
from deployment.local.demo.past_days import MAX_DESCRIBE_GAP, PastDays
from deployment.local.demo.records import check_records, row_counts
from deployment.local.demo.subscription import delegate_subscription, running_machines
from deployment.local.demo.unknown_image import DAYS as PAST_DAYS
from deployment.local.demo.unknown_image import UnknownImage, inspection_calls
from deployment.local.local_services import LocalServices
from deployment.local.sources import SourcesControl
from tests.generators import cloudtrail

SETTINGS = {
    "ANALYZE_LOG_SCHEDULE": "2",
    "AWS_INSPECTION_METHOD": "direct",
    "COVERAGE_MAX_DESCRIBE_GAP": str(MAX_DESCRIBE_GAP),
    "RECALCULATE_STALE_USAGE_SCHEDULE": "3",
    "KAFKA_SESSION_TIMEOUT_MS": "6000",
}
"""What is set differently from the defaults: nobody wants to wait for a story."""


class Story:
    """Plays the story against a running product, and checks each number."""

    def __init__(
        self, *, console: Console, services: LocalServices, product: Product, started: float
    ) -> None:
        self._console = console
        self._services = services
        self._product = product
        self._started = started
        environment = {**product.environment, **services.env}
        self._api = Api(product.url)
        self._aws = AwsControl(environment["AWS_ENDPOINT_URL"])
        self._azure = AzureControl(
            environment["AZURE_ARM_BASE_URL"], environment["AZURE_CA_BUNDLE"]
        )
        self._sources = SourcesControl(environment["SOURCES_API_BASE_URL"])
        self._platform = Platform(
            f"{environment['KAFKA_SERVER_HOST']}:{environment['KAFKA_SERVER_PORT']}"
        )
        self._records = Records(environment)
        self._logs = LogBucket(self._aws, product)
        self._expected_spans: dict[Customer, list[Span]] = {}
        self._lines: list[str] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        for door in (self._platform, self._records, self._aws, self._azure, self._sources):
            door.close()

    def play(self) -> None:
        """Play all chapters. Raises StoryError at the first thing that is not as it must be."""
        history = self._ask_for_history()
        images = self._register_images()
        self._onboard()
        self._switch_instances(images)
        self._see_instances()
        self._see_todays_usage()
        self._tag_image(images["golden"])
        self._see_todays_usage()
        self._explain()
        self._doubt_past_days(images["rhel"])
        self._deliver_everything_again()
        self._see_history(history)
        self._look_into_image()
        self._poll_azure()
        self._see_todays_usage()
        self._check_records()
        self._ask_doctor()
        self._show_entry_points()

    def _ask_for_history(self) -> int:
        with self._chapter(f"A made-up customer with {DAYS} days of history is requested"):
            return request_history(self._api)

    def _register_images(self) -> dict[str, str]:
        with self._chapter("Images appear in AWS: Red Hat's own, Acme's golden one, a plain Linux"):
            return {
                "rhel": self._register(RED_HAT_ACCOUNT, CLOUD_ACCESS_NAME, "x86_64", public=True),
                "golden": self._register(ACME.aws_account_id, "acme-golden", "arm64"),
                "plain": self._register(GLOBEX.aws_account_id, "plain-linux", "x86_64"),
            }

    def _register(self, account: str, name: str, arch: str, *, public: bool = False) -> str:
        ec2 = self._aws.client("ec2", account_id=account)
        image_id: str = ec2.register_image(
            Name=name,
            Architecture=arch,
            RootDeviceName="/dev/sda1",
            BlockDeviceMappings=[{"DeviceName": "/dev/sda1", "Ebs": {"VolumeSize": 10}}],
        )["ImageId"]
        if public:
            ec2.modify_image_attribute(
                ImageId=image_id, LaunchPermission={"Add": [{"Group": "all"}]}
            )
        return image_id

    def _onboard(self) -> None:
        with self._chapter("Three customers connect AWS; a broken message lies in between"):
            self._connect(HOOLI)
            for customer in CUSTOMERS:
                self._connect(customer)
                self._platform.publish(
                    "Application.pause", b"this is not json", tenant=customer.tenant
                )
            for customer in CUSTOMERS:
                self._wait_until_available(customer)
        accounts = [
            (customer, account)
            for customer in CUSTOMERS
            for account in self._api.all(f"{PUBLIC}/accounts/", identity=customer.identity) or []
        ]
        require(
            [account["content_object"]["aws_account_id"] for _, account in accounts]
            == [customer.aws_account_id for customer in CUSTOMERS],
            "the accounts are not those of the customers",
        )
        require(all(account["is_enabled"] for _, account in accounts), "an account is disabled")
        for customer in CUSTOMERS:
            trails = self._aws.client("cloudtrail", account_id=customer.aws_account_id)
            names = [trail["Name"] for trail in trails.describe_trails()["trailList"]]
            require(len(names) == 1, f"{customer.name} has the trails {names}")
        self._console.print(tables.accounts(accounts))

    def _connect(self, customer: Customer) -> None:
        """Do what sources does when a customer adds an authentication to our application."""
        self._sources.add_customer_application(
            authentication_id=customer.authentication_id,
            application_id=customer.application_id,
            source_id=customer.source_id,
            username=customer.token,
            authtype=customer.authtype,
        )
        self._platform.publish(
            "ApplicationAuthentication.create",
            {
                "id": customer.authentication_id,
                "application_id": customer.application_id,
                "authentication_id": customer.authentication_id,
            },
            tenant=customer.tenant,
        )

    def _wait_until_available(self, customer: Customer) -> None:
        status = wait_for(
            f"a status of {customer.name}",
            lambda: self._platform.status_of(customer.application_id),
            product=self._product,
        )
        require(
            status["status"] == "available" and status["error"] == "",
            f"sources was told {status}",
        )

    def _switch_instances(self, images: dict[str, str]) -> None:
        start = datetime.now(UTC).replace(microsecond=0) + timedelta(seconds=1)

        def at(seconds: int) -> datetime:
            return start + timedelta(seconds=seconds)

        rhel, golden, plain = images["rhel"], images["golden"], images["plain"]
        acme = self._records_of(
            ACME,
            _launch(at(0), rhel, "m5.large", "i-0acme000001", "i-0acme000002"),
            _launch(at(1), golden, "m6g.large", "i-0acme000003", template="lt-0acme"),
            partial(cloudtrail.noise, 1, at=at(1)),
            partial(cloudtrail.stop_instances, "i-0acme000001", at=at(2)),
            _launch(at(2), rhel, "m5.xlarge", "i-0acme000004"),
            partial(cloudtrail.start_instances, "i-0acme000001", at=at(3)),
            partial(cloudtrail.terminate_instances, "i-0acme000002", at=at(4)),
        )
        globex = self._records_of(
            GLOBEX,
            _launch(at(0), rhel, "t3.micro", "i-0globex00001"),
            _launch(at(0), plain, "t3.micro", "i-0globex00002", "i-0globex00003"),
        )
        self._expected_spans = {
            ACME: [
                Span(at(0), at(2), "x86_64"),
                Span(at(0), at(4), "x86_64"),
                Span(at(2), None, "x86_64"),
                Span(at(3), None, "x86_64"),
            ],
            GLOBEX: [Span(at(0), None, "x86_64")],
        }
        self._golden_span = Span(at(1), None, "arm64")
        with self._chapter("Instances start and stop; CloudTrail delivers, with rubbish among it"):
            self._logs.deliver(ACME, cloudtrail.log_file(acme))
            self._logs.deliver(ACME, gzip.compress(b"this is not json"))
            self._logs.deliver(GLOBEX, cloudtrail.log_file(globex))
            self._logs.announce_test_event()

    def _see_instances(self) -> None:
        with self._chapter("cloudigrade reads the logs and describes what they do not say"):
            expected = {ACME: 4, GLOBEX: 3}
            for customer, number in expected.items():
                wait_for(
                    f"{number} instances of {customer.name}",
                    lambda customer=customer, number=number: (  # type: ignore[misc]
                        len(self._instances(customer)) == number
                    ),
                    product=self._product,
                )
        rows = []
        running = {ACME: 3, GLOBEX: 3}
        for customer in CUSTOMERS:
            found = self._instances(customer, running_since=_text(datetime.now(UTC) + _A_MINUTE))
            require(len(found) == running[customer], f"{customer.name}: {len(found)} are running")
            images = {
                image["image_id"]: image
                for image in self._api.all(f"{PUBLIC}/images/", identity=customer.identity) or []
            }
            rows += [(customer, instance, images) for instance in found]
        self._console.print(tables.instances(rows))

    def _instances(self, customer: Customer, **query: Any) -> list[Any]:
        return self._api.all(f"{PUBLIC}/instances/", identity=customer.identity, **query) or []

    def _see_todays_usage(self) -> None:
        with self._chapter("Today's usage is calculated"):
            for customer, spans in self._expected_spans.items():
                for day in _days_of(spans):
                    expected = expected_usage(spans, day)
                    wait_for(
                        f"the usage of {customer.name} on {day} to be {expected[TOTAL]}",
                        lambda customer=customer, day=day, expected=expected: (  # type: ignore[misc]
                            self._api.usage(customer.identity, day, day).get(day) == expected
                        ),
                        product=self._product,
                    )
        rows = {
            customer.name: self._api.usage(customer.identity, today, today)
            for customer in self._expected_spans
            for today in [datetime.now(UTC).date()]
        }
        self._console.print(tables.usage_today(rows))

    def _tag_image(self, image_id: str) -> None:
        with self._chapter("Acme tags its golden image as RHEL; the numbers follow by themselves"):
            now = datetime.now(UTC)
            records = self._records_of(
                ACME,
                partial(cloudtrail.record, "RunInstances", at=now),
                partial(cloudtrail.create_tags, image_id, at=now),
            )
            self._logs.deliver(ACME, cloudtrail.log_file(records))
            self._expected_spans[ACME].append(self._golden_span)

    @staticmethod
    def _records_of(
        customer: Customer, *makers: Callable[..., cloudtrail.Record]
    ) -> list[cloudtrail.Record]:
        return [make(account=customer.aws_account_id) for make in makers]

    def _explain(self) -> None:
        with self._chapter("Why is it Acme's number? Down to the log records"):
            lines = explain_today(self._api, self._records, ACME)
        self._print(lines)

    def _doubt_past_days(self, image_id: str) -> None:
        past = PastDays(
            api=self._api,
            aws=self._aws,
            customer=HOOLI,
            image_id=image_id,
            logs=self._logs,
            product=self._product,
            records=self._records,
        )
        with self._chapter(f"{HOOLI.name} has been with us for two days; one log file is lost"):
            self._wait_until_available(HOOLI)
            past.let_time_pass()
            key = past.deliver_logs()
            past.see_numbers()
        with self._chapter("The audit finds the lost log file, and has it processed"):
            lines = past.find_and_repair(key)
        self._print(lines)
        with self._chapter("An instance shut itself down, which no log told; a describe shows it"):
            lines = past.see_correction()
        self._print(lines)

    def _print(self, lines: Sequence[str]) -> None:
        for line in lines:
            self._console.print(line, markup=False)

    def _deliver_everything_again(self) -> None:
        with self._chapter("Every log file is delivered a second time; nothing may double"):
            self._logs.wait_until_read()
            before = row_counts(self._records)
            self._logs.deliver_all_again()
            self._logs.wait_until_read()
            after = row_counts(self._records)
            require(before == after, f"row counts before {before}, after {after}")

    def _see_history(self, request_id: int) -> None:
        with self._chapter(f"The {DAYS} days of history are there"):
            usage = check_history(self._api, self._product, request_id)
        self._console.print(tables.history(usage))

    def _look_into_image(self) -> None:
        """Have an image of which only its disk tells that it is RHEL, and for what it is used."""
        spans = self._expected_spans[GLOBEX]
        with self._chapter(f"Globex, with us for {PAST_DAYS} days by now, runs an unknown image"):
            image_id = self._register_disk(GLOBEX.aws_account_id, "globex-unknown")
            unknown = UnknownImage(image_id, GLOBEX)
            unknown.let_customer_be_older(self._records)
            known = len(self._instances(GLOBEX))
            # AWS copies as many snapshots at a time as it likes; this one has to wait.
            self._aws.refuse("ec2", "CopySnapshot", "ResourceLimitExceeded")
            self._logs.deliver(GLOBEX, unknown.log())
            wait_for(
                "the instances of the unknown image",
                lambda: len(self._instances(GLOBEX)) == known + len(unknown.instances),
                product=self._product,
            )
            before = unknown.wait_for_usage(self._api, self._product, spans)
        with self._chapter(
            "A copy of its disk is read block by block; past days change by themselves"
        ):
            self._aws.refuse_nothing()
            began = time.monotonic()
            image = unknown.wait_until_inspected(self._api, self._product)
            known_at = time.monotonic()
            require(image["rhel"] and image["rhel_version"] == VERSION, f"it is {image}")
            spans += unknown.spans(image["syspurpose"])
            after = unknown.wait_for_usage(self._api, self._product, spans)
            took = time.monotonic() - known_at
            wait_for(
                "the copy to be deleted",
                lambda: "DeleteSnapshot" in dict(inspection_calls(self._aws.calls())),
                product=self._product,
            )
        trace = inspection_calls(self._aws.calls())
        require("RunInstances" not in dict(trace), f"an instance was launched: {trace}")
        self._console.print(tables.calls(trace))
        blocks = sum(number for action, number in trace if action == "GetSnapshotBlock")
        self._console.print(
            f"... {blocks} blocks read; inspected {known_at - began:.1f} s after AWS let us copy",
            markup=False,
        )
        self._console.print(tables.change(before, after))
        self._console.print(f"... right {took:.1f} s after the result was known", markup=False)

    def _register_disk(self, account: str, name: str) -> str:
        """Register an image with a real disk; return its id."""
        device = "/dev/sda1"
        snapshot_id = store_disk(self._aws.client("ebs", account_id=account), disk())
        image_id: str = self._aws.client("ec2", account_id=account).register_image(
            Name=name,
            Architecture="x86_64",
            RootDeviceName=device,
            BlockDeviceMappings=[{"DeviceName": device, "Ebs": {"SnapshotId": snapshot_id}}],
        )["ImageId"]
        return image_id

    def _poll_azure(self) -> None:
        """Have a customer of Azure, whose machines are known from looking at them only."""
        with self._chapter("Initech delegates an Azure subscription; its machines are looked at"):
            delegate_subscription(self._azure, INITECH.subscription_id)
            self._connect(INITECH)
            self._wait_until_available(INITECH)
            self._expected_spans[INITECH] = running_machines(datetime.now(UTC))

    def _check_records(self) -> None:
        with self._chapter("Every number can be explained: the records behind it are complete"):
            check_records(self._records, self._aws.client("s3"))

    def _ask_doctor(self) -> None:
        """See that nothing is late, stuck, failing or missing after all this (spec 12 §2)."""
        with self._chapter("manage.py doctor finds nothing to look at"):
            self._product.manage("doctor")

    def _show_entry_points(self) -> None:
        product, globex = self._product, self._expected_spans[GLOBEX]
        days = f"start_date={min(_days_of(globex))}&end_date={datetime.now(UTC).date()}"
        self._lines = [
            *welcome.lines_of_customer(product, ACME.name, ACME.identity, _OF_ANY_CUSTOMER),
            # Acme joined today, and days before that are refused.
            *welcome.lines_of_customer(
                product, GLOBEX.name, GLOBEX.identity, ["concurrent/", f"concurrent/?{days}"]
            ),
            *welcome.lines_of_subscription_watch(product, GLOBEX.ids["org-id"]),
            *welcome.lines_for_everybody(product),
        ]
        file = welcome.write_variables(self._services, product)
        self._console.print("\nWhere things are:", style="bold")
        for title, address in welcome.places(self._services, product):
            self._console.print(f"  {title:<16}{address}", markup=False)
        self._console.print("\nLook around yourself:", style="bold")
        for line in [*self._lines, *welcome.lines_of_commands(file)]:
            self._console.print(f"  {line}", markup=False)

    def try_lines(self) -> None:
        """Run all lines that were shown. Raises StoryError for one that does not work."""
        with self._chapter("Every line above works"):
            variables = [line for line in self._lines if not line.startswith("curl ")]
            for line in self._lines:
                if line.startswith("curl "):
                    script = [*variables, line.replace("curl -s", "curl -sSf -o /dev/null", 1)]
                    done = subprocess.run(
                        ["sh", "-c", "\n".join(script)], capture_output=True, text=True, check=False
                    )
                    require(done.returncode == 0, f"{line} does not work: {done.stderr}")

    @contextmanager
    def _chapter(self, title: str) -> Iterator[None]:
        begun = time.monotonic()
        self._console.print(f"[{begun - self._started:5.1f} s] {title} ...", markup=False)
        with self._console.status("working"):
            yield
        took = time.monotonic() - begun
        self._console.print(f"          done in {took:.1f} s", style="dim", markup=False)


_A_MINUTE = timedelta(minutes=1)
_OF_ANY_CUSTOMER = ("accounts/", "instances/", "images/", "sysconfig/")


def _launch(
    at: datetime, image: str, size: str, *instance_ids: str, template: str | None = None
) -> Callable[..., cloudtrail.Record]:
    items = [
        cloudtrail.launched(instance_id, image=image, type=size, at=at)
        for instance_id in instance_ids
    ]
    return partial(cloudtrail.run_instances, *items, type=size, template=template, at=at)


def _text(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def _days_of(spans: list[Span]) -> list[date]:
    first = min(span.start for span in spans).date()
    today = datetime.now(UTC).date()
    return [first + timedelta(days=n) for n in range((today - first).days + 1)]
