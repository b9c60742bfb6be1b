"""Steady load on a deployment, and what must come of it."""

import base64
import itertools
import json
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, time, timedelta
from typing import Any

from tests.e2e.deployment import Deployment
from tests.e2e.sources_world import CREATE, PAUSE, UNPAUSE, Customer
from tests.generators.fleet import Fleet, LogFile

PUBLIC = "/api/cloudigrade/v2"


class Load:
    """Something that is done again and again in a thread, until enough is done."""

    pause = 0.5
    """Seconds."""

    def __init__(self, world: Deployment) -> None:
        self.world = world
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

    def __init__(self, world: Deployment, customer: Customer) -> None:
        ids = {"account_number": customer.account_number, "org_id": customer.org_id}
        text = json.dumps({"identity": ids}).encode()
        self._identity = base64.b64encode(text).decode()
        self._paths = itertools.cycle(
            f"{PUBLIC}/{name}/" for name in ("accounts", "instances", "images", "concurrent")
        )
        super().__init__(world)

    def step(self) -> None:
        self.get(next(self._paths))

    def get(self, path: str) -> Any:
        return self.world.balancer.get(path, **{"X-RH-IDENTITY": self._identity})


class Messages(Load):
    """Customers come, and others pause and go on again."""

    pause = 2.5

    def __init__(self, world: Deployment) -> None:
        self.creators: list[Customer] = []
        self.pausers: list[Customer] = []
        super().__init__(world)

    @property
    def sent(self) -> int:
        return len(self.creators) + 3 * len(self.pausers)

    def step(self) -> None:
        creator = self.world.new_customer()
        self._launch_instance(creator)
        self.world.send(creator, CREATE)
        self.creators.append(creator)
        pauser = self.world.customer_with_account()
        self.world.send(pauser, PAUSE, UNPAUSE, PAUSE)
        self.pausers.append(pauser)

    def _launch_instance(self, customer: Customer) -> None:
        """Let the customer have an instance, of an image that needs no inspection."""
        ec2 = self.world.aws.client("ec2", account_id=customer.aws_account_id)
        image = ec2.register_image(Name="Windows Server", RootDeviceName="/dev/xvda")["ImageId"]
        ec2.run_instances(ImageId=image, InstanceType="m5.large", MinCount=1, MaxCount=1)


class Logs(Load):
    """Metered customers switch instances on and off, two days ago, as CloudTrail tells now."""

    pause = 0.4

    def __init__(self, world: Deployment, customers: list[Customer]) -> None:
        self.day = datetime.now(UTC).date() - timedelta(days=2)
        self.customers = customers
        self.fleets: list[tuple[Customer, Fleet]] = []
        self._files = self._make_files()
        self._left = 0
        environment = world.product.environment["CLOUDIGRADE_ENVIRONMENT"]
        self._bucket = f"{environment}-cloudigrade-trails"
        self._s3 = world.aws.client("s3")
        super().__init__(world)

    def _make_files(self) -> Iterator[LogFile]:
        for seed, customer in enumerate(itertools.cycle(self.customers), start=1):
            fleet = Fleet(
                seed,
                account=customer.aws_account_id,
                images=[f"ami-{seed:02}{letter}" for letter in "abc"],
                start=datetime.combine(self.day, time(6), UTC),
                noise=2,
            ).live(12)
            self.fleets.append((customer, fleet))
            files = fleet.files()
            for place, file in enumerate(files):
                self._left = len(files) - place - 1
                yield file

    def step(self) -> None:
        file = next(self._files)
        self._s3.put_object(Bucket=self._bucket, Key=file.key, Body=file.body)

    def finish(self) -> None:
        """End it when the last fleet's story is told to the end."""
        super().finish()
        while self._left:
            self.step()

    def fleets_of(self, customer: Customer) -> list[Fleet]:
        return [fleet for owner, fleet in self.fleets if owner == customer]
