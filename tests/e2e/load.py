"""Steady load on a deployment, and what must come of it."""

import base64
import itertools
import json
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, time, timedelta
from typing import Any

from deployment.local.demo.expected_usage import TOTAL, Span, expected_usage
from tests.e2e.deployment import Deployment
from tests.e2e.sources_environment import CREATE, PAUSE, UNPAUSE, Customer
from tests.generators.fleet import Fleet, LogFile

PUBLIC = "/api/cloudigrade/v2"

EVENTS = """
SELECT instance.cloud_instance_id, event.event_type, event.occurred_at
FROM api_instanceevent event
JOIN api_instance instance ON instance.id = event.instance_id
JOIN api_cloudaccount account ON account.id = event.cloud_account_id
WHERE account.aws_account_id = %s
"""
RUNS = """
SELECT instance.cloud_instance_id, run.start_time, run.end_time, run.instance_type
FROM api_run run
JOIN api_instance instance ON instance.id = run.instance_id
JOIN api_cloudaccount account ON account.id = run.cloud_account_id
WHERE account.aws_account_id = %s
ORDER BY 1, 2
"""


class Load:
    """Something that is done again and again in a thread, until enough is done."""

    pause = 0.5
    """Seconds."""

    def __init__(self, deployment: Deployment) -> None:
        self.deployment = deployment
        self._ended = threading.Event()
        self._failure: Exception | None = None
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def step(self) -> None:
        """Do it once."""
        raise NotImplementedError

    def _run(self) -> None:
        try:
            while not self._ended.wait(self.pause):
                self.step()
        except Exception as error:
            self._failure = error

    def finish(self) -> None:
        """End it. Raises what went wrong."""
        self._ended.set()
        self._thread.join()
        if self._failure:
            raise self._failure


class Requests(Load):
    """A customer looks at his pages."""

    pause = 0.1

    def __init__(self, deployment: Deployment, customer: Customer) -> None:
        ids = {"account_number": customer.account_number, "org_id": customer.org_id}
        text = json.dumps({"identity": ids}).encode()
        self._identity = base64.b64encode(text).decode()
        self._paths = itertools.cycle(
            f"{PUBLIC}/{name}/" for name in ("accounts", "instances", "images", "concurrent")
        )
        super().__init__(deployment)

    def step(self) -> None:
        self.get(next(self._paths))

    def get(self, path: str) -> Any:
        return self.deployment.balancer.get(path, **{"X-RH-IDENTITY": self._identity})


class Messages(Load):
    """Customers come, and others pause and go on again."""

    pause = 2.5

    def __init__(self, deployment: Deployment) -> None:
        self.creators: list[Customer] = []
        self.pausers: list[Customer] = []
        super().__init__(deployment)

    @property
    def sent(self) -> int:
        return len(self.creators) + 3 * len(self.pausers)

    def step(self) -> None:
        creator = self.deployment.new_customer()
        self._launch_instance(creator)
        self.deployment.send(creator, CREATE)
        self.creators.append(creator)
        pauser = self.deployment.customer_with_account()
        self.deployment.send(pauser, PAUSE, UNPAUSE, PAUSE)
        self.pausers.append(pauser)

    def _launch_instance(self, customer: Customer) -> None:
        """Let the customer have an instance, of an image that needs no inspection."""
        ec2 = self.deployment.aws.client("ec2", account_id=customer.aws_account_id)
        image = ec2.register_image(Name="Windows Server", RootDeviceName="/dev/xvda")["ImageId"]
        ec2.run_instances(ImageId=image, InstanceType="m5.large", MinCount=1, MaxCount=1)


class Histories:
    """Metered customers switch instances on and off, two days ago, as CloudTrail tells now."""

    def __init__(self, deployment: Deployment, customers: list[Customer]) -> None:
        self.day = datetime.now(UTC).date() - timedelta(days=2)
        self.fleets: list[tuple[Customer, Fleet]] = []
        self._deployment = deployment
        self._files = self._make_files(customers)
        self._left = 0
        environment = deployment.product.environment["CLOUDIGRADE_ENVIRONMENT"]
        self._bucket = f"{environment}-cloudigrade-trails"
        self._s3 = deployment.aws.client("s3")

    def _make_files(self, customers: list[Customer]) -> Iterator[LogFile]:
        for seed, customer in enumerate(itertools.cycle(customers), start=1):
            fleet = Fleet(
                seed,
                account=customer.aws_account_id,
                images=[f"ami-{seed:02}{letter}" for letter in "ab"],
                start=datetime.combine(self.day, time(6), UTC),
                noise=2,
            ).live(16)
            self.fleets.append((customer, fleet))
            files = fleet.files()
            for place, file in enumerate(files):
                self._left = len(files) - place - 1
                yield file

    def deliver_file(self) -> None:
        """Put the next file into the bucket."""
        file = next(self._files)
        self._s3.put_object(Bucket=self._bucket, Key=file.key, Body=file.body)

    def deliver_rest(self) -> None:
        """Put the rest of a history that has begun."""
        while self._left:
            self.deliver_file()

    def deliver(self, count: int) -> None:
        """Put so many histories."""
        for _ in range(count):
            self.deliver_file()
            self.deliver_rest()

    def of(self, customer: Customer) -> list[Fleet]:
        return [fleet for owner, fleet in self.fleets if owner == customer]

    @property
    def expected_events(self) -> int:
        return sum(len(fleet.expected.events) for _, fleet in self.fleets)

    def verify(self, customer: Customer) -> None:
        """Each event was stored once, and the runs are those of the instances."""
        fleets = self.of(customer)
        events = self._deployment.query(EVENTS, customer.aws_account_id)
        assert len(events) == len(set(events))
        assert set(events) == set().union(*(fleet.expected.events for fleet in fleets))
        spans = sorted(span for fleet in fleets for span in fleet.spans)
        assert self._deployment.query(RUNS, customer.aws_account_id) == spans

    def expected_usage(self, customer: Customer) -> dict[str, int]:
        """The daily maximum of RHEL instances, on the day itself and the next."""
        spans = [
            Span(start, end, arch="")
            for fleet in self.of(customer)
            for machine, start, end, _ in fleet.spans
            if fleet.expected.images[machine] in fleet.expected.rhel
        ]
        days = (self.day, self.day + timedelta(days=1))
        return {str(day): expected_usage(spans, day).get(TOTAL, 0) for day in days}


class Logs(Load):
    """Files of histories come one by one."""

    pause = 0.4

    def __init__(self, deployment: Deployment, customers: list[Customer]) -> None:
        self.histories = Histories(deployment, customers)
        super().__init__(deployment)

    def step(self) -> None:
        self.histories.deliver_file()

    def finish(self) -> None:
        """End it when the last history is told to the end."""
        super().finish()
        self.histories.deliver_rest()
