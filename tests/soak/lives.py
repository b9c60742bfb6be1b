"""Lets customers live: a thread for those of some days, and one for those who come."""

import random
import threading
import time
from collections import Counter
from datetime import UTC, datetime
from functools import partial
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError
from requests import RequestException

from deployment.local.aws import AwsControl
from deployment.local.blocks import store_disk
from deployment.local.demo.disk import disk
from tests.e2e.sources_environment import CREATE, DESTROY, PAUSE, UNPAUSE
from tests.generators.fleet import LogFile
from tests.soak import customers
from tests.soak.customers import Change, Live, Metered
from tests.soak.deployment import SoakDeployment

KINDS = (
    customers.BUSY,
    customers.BUSY,
    customers.STEADY,
    customers.PAUSING,
    customers.LEAVING,
)
ROOT_DEVICE = "/dev/sda1"
TIMEOUT_SECONDS = 600.0
"""Seconds in which an account is enabled, described, or gone, while everything is broken."""


class Bucket:
    """Where CloudTrail puts files, some of them late and some twice."""

    def __init__(
        self, deployment: SoakDeployment, chance: random.Random, done: Counter[str]
    ) -> None:
        environment = deployment.product.environment["CLOUDIGRADE_ENVIRONMENT"]
        self._name = f"{environment}-cloudigrade-trails"
        self._aws = AwsControl(deployment.services.env["AWS_ENDPOINT_URL"])
        self._chance = chance
        self._done = done
        self._waiting: list[tuple[float, LogFile]] = []

    def bring(self, file: LogFile) -> None:
        """Deliver a file now or within a minute, and perhaps once more."""
        now = time.monotonic()
        delays = [self._chance.choice((0, 0, 5, 20, 60))]
        if self._chance.random() < 0.2:
            delays.append(self._chance.choice((0, 30, 90)))
            self._done["log delivered twice"] += 1
        if max(delays) > 0:
            self._done["log delivered late"] += 1
        self._waiting += [(now + delay, file) for delay in delays]

    def deliver_due(self, *, everything: bool = False) -> None:
        """Put the files whose time has come."""
        now = time.monotonic()
        due = [one for one in self._waiting if everything or one[0] <= now]
        for one in due:
            _, file = one
            put = self._aws.client("s3").put_object
            insist(lambda put=put, file=file: put(Bucket=self._name, Key=file.key, Body=file.body))
            self._waiting.remove(one)
            self._done["log delivered"] += 1


def insist(call: Any) -> Any:
    """Call a cloud until it answers: our own calls meet faults, too."""
    deadline = time.monotonic() + TIMEOUT_SECONDS
    while True:
        try:
            return call()
        except (ClientError, BotoCoreError, RequestException):
            if time.monotonic() > deadline:
                raise
            time.sleep(0.3)


class Lives:
    """Something that goes on in a thread until it is finished."""

    pause = 0.3

    def __init__(self, deployment: SoakDeployment, seed: int, done: Counter[str]) -> None:
        self.deployment = deployment
        self.seed = seed
        self.done = done
        self.chance = random.Random(f"{seed} {type(self).__name__}")
        self.bucket = Bucket(deployment, self.chance, done)
        self.aws = AwsControl(deployment.services.env["AWS_ENDPOINT_URL"])
        self.failure: BaseException | None = None
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def start(self) -> None:
        self._thread.start()

    def step(self) -> None:
        """Do the next thing."""
        raise NotImplementedError

    def finish(self) -> None:
        """Begin nothing new, and bring what is under way to its end."""
        self._ended.set()
        self._thread.join()
        if self.failure is None:
            self.bucket.deliver_due(everything=True)

    def _run(self) -> None:
        try:
            while not self._ended.wait(self.pause):
                self.step()
                self.bucket.deliver_due()
        except BaseException as error:
            self.failure = error


class OldCustomers(Lives):
    """Customers of some days, of whose past logs tell now."""

    def __init__(
        self, deployment: SoakDeployment, seed: int, done: Counter[str], metered: list[Metered]
    ) -> None:
        super().__init__(deployment, seed, done)
        self.metered = metered
        self._next_at = 0.0

    def step(self) -> None:
        if time.monotonic() < self._next_at:
            return
        self._next_at = time.monotonic() + self.chance.uniform(5, 20)
        for file in self.chance.choice(self.metered).next_history():
            self.bucket.bring(file)


class NewCustomers(Lives):
    """Customers who come, do all sorts of things, and partly go."""

    def __init__(
        self, deployment: SoakDeployment, seed: int, done: Counter[str], most: int
    ) -> None:
        super().__init__(deployment, seed, done)
        self.most = most
        self.all: list[Live] = []
        self._next_at: dict[int, float] = {}
        self._next_arrival = 0.0

    @property
    def messages(self) -> int:
        """How many messages of the sources service were sent."""
        return sum(one.messages for one in self.all)

    def step(self) -> None:
        now = time.monotonic()
        if now >= self._next_arrival and len(self.all) < self.most:
            self._next_arrival = now + self.chance.uniform(2, 12)
            self._arrive()
        for one in list(self.all):
            if not one.is_deleted and now >= self._next_at.get(one.customer.number, 0.0):
                self._next_at[one.customer.number] = now + one.chance.uniform(4, 15)
                self._live(one)

    def finish(self) -> None:
        """See everybody's first look, and what accounts were asked for, too."""
        super().finish()
        if self.failure is None:
            for one in self.all:
                wait_for = partial(self.deployment.wait_for, seconds=TIMEOUT_SECONDS)
                wait_for(partial(self._see, one), f"{one.customer} is seen")
                wait_for(partial(self._see_change, one), self._changing(one))

    def _arrive(self) -> None:
        kind = self.chance.choice(KINDS)
        one = Live(self.deployment.new_customer(), kind, self.seed)
        account = one.customer.aws_account_id
        ec2 = insist(lambda: self.aws.client("ec2", account_id=account))
        one.arrive(ec2, lambda: self._disk_image(account))
        one.came(datetime.now(UTC))
        self._send(one, CREATE)
        self.all.append(one)

    def _disk_image(self, account: str) -> str:
        """Register an image with a real disk, which nothing but the disk tells to be RHEL."""
        snapshot_id = store_disk(self.aws.client("ebs", account_id=account), disk())
        image_id: str = self.aws.client("ec2", account_id=account).register_image(
            Name="unknown",
            Architecture="x86_64",
            RootDeviceName=ROOT_DEVICE,
            BlockDeviceMappings=[{"DeviceName": ROOT_DEVICE, "Ebs": {"SnapshotId": snapshot_id}}],
        )["ImageId"]
        return image_id

    def _send(self, one: Live, message: str) -> None:
        self.deployment.send(one.customer, message)
        one.messages += 1

    def _see(self, one: Live) -> bool:
        if one.described_at is None and self._power_ons(one) >= len(one.machines):
            one.was_described(datetime.now(UTC))
        return one.described_at is not None

    def _live(self, one: Live) -> None:
        if not self._see(one):
            return
        match one.kind:
            case customers.BUSY:
                account = one.customer.aws_account_id
                one.act(insist(lambda: self.aws.client("ec2", account_id=account)))
                self.bucket.bring(one.next_file())
            case customers.PAUSING:
                self._pause_or_go_on(one)
            case customers.LEAVING if one.chance.random() < 0.2:
                self._send(one, DESTROY)
                one.is_deleted = True
            case _:
                pass

    def _pause_or_go_on(self, one: Live) -> None:
        """Have an account pause or go on; others live on until that is done."""
        if one.change is None:
            one.change = Change(datetime.now(UTC), self._power_ons(one))
            self._send(one, UNPAUSE if one.is_paused else PAUSE)
        elif not self._see_change(one):
            age = (datetime.now(UTC) - one.change.asked_at).total_seconds()
            assert age < TIMEOUT_SECONDS, f"not in {TIMEOUT_SECONDS:g} s: {self._changing(one)}"

    def _see_change(self, one: Live) -> bool:
        """Note that what was asked for is done, if it is; return whether nothing is under way."""
        if one.change is None:
            return True
        asked_at, known = one.change.asked_at, one.change.known_power_ons
        if one.is_paused:
            if self._power_ons(one) < known + len(one.machines):
                return False
            one.begin_of_all((asked_at, datetime.now(UTC)))
        else:
            if self._is_enabled(one):
                return False
            one.end_of_all((asked_at, datetime.now(UTC)))
        one.is_paused = not one.is_paused
        one.change = None
        return True

    def _changing(self, one: Live) -> str:
        return f"{one.customer} {'goes on' if one.is_paused else 'is paused'}"

    def _is_enabled(self, one: Live) -> bool:
        account = self.deployment.account(one.customer)
        return bool(account and account["enabled"])

    def _power_ons(self, one: Live) -> int:
        """Count how often an instance was seen to be on."""
        return self.deployment.query(
            "SELECT count(*) FROM api_instanceevent event"
            " JOIN api_cloudaccount account ON account.id = event.cloud_account_id"
            " WHERE event_type = 'power_on' AND platform_application_id = %s",
            one.customer.application_id,
        )[0][0]
