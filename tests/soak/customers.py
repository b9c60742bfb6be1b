"""Customers of a soak: what they do in their clouds, and what must come of it.

The truth is kept while it is made, independently of the product. Where the moment at which the
product looks decides, both ends of what is right are kept.
"""

import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from typing import NamedTuple

from deployment.local.demo.expected_usage import TOTAL, Span, expected_usage
from tests.e2e.sources_environment import Customer
from tests.generators import cloudtrail as trail
from tests.generators.fleet import Fleet, LogFile

DISK, TAGGED, WINDOWS = "disk", "tagged", "windows"
IMAGES = (TAGGED, TAGGED, DISK, WINDOWS)
"""What images there are: only its disk tells, a tag tells, no RHEL."""

STEADY, BUSY, PAUSING, LEAVING = "steady", "busy", "pausing", "leaving"


@dataclass
class Bounds:
    """A time in which an instance was on: surely within the inner ends, at most the outer."""

    image: str
    start: tuple[datetime, datetime]
    end: tuple[datetime, datetime] | None = None

    def surely(self) -> Span | None:
        """Return when it was on for sure."""
        end = self.end[0] if self.end else None
        if end is not None and end <= self.start[1]:
            return None
        return Span(self.start[1], end, arch="")

    def perhaps(self) -> Span:
        """Return when it may have been on."""
        return Span(self.start[0], self.end[1] if self.end else None, arch="")


def usage_between(spans: Iterable[Bounds], day: date) -> tuple[int, int]:
    """Return the least and the largest daily maximum that would be right."""
    spans = list(spans)
    least = [span for one in spans if (span := one.surely())]
    return (
        expected_usage(least, day).get(TOTAL, 0),
        expected_usage([one.perhaps() for one in spans], day).get(TOTAL, 0),
    )


class Metered:
    """A customer of some days whose logs come late, in any order, and some of them twice.

    EC2 knows nothing of their instances, so days after the soak began depend on when it was asked.
    """

    def __init__(self, customer: Customer, seed: int, today: date) -> None:
        self.customer = customer
        self.chance = random.Random(f"{seed} {customer.number}")
        self.days = [today - timedelta(days=past) for past in (2, 1, 0)]
        self.fleets: list[Fleet] = []

    def next_history(self) -> list[LogFile]:
        """Make up one more history, and return its files in the order in which they come."""
        number = self.customer.number * 1000 + len(self.fleets)
        fleet = Fleet(
            number,
            account=self.customer.aws_account_id,
            images=[f"ami-{number:x}{letter}" for letter in "ab"],
            start=datetime.combine(self.days[0], time(self.chance.randrange(20)), UTC),
            noise=2,
        ).live(self.chance.randint(4, 30))
        self.fleets.append(fleet)
        files = fleet.files()
        files += [file for file in files if self.chance.random() < 0.2]
        self.chance.shuffle(files)
        return files

    def truth(self) -> list[str]:
        """Say when instances were on."""
        return [str(span) for fleet in self.fleets for span in fleet.spans]

    def expected(self) -> dict[date, tuple[int, int]]:
        """Return the least and the largest right number of each day."""
        spans = [
            Bounds(image, (start, start), (end, end) if end else None)
            for fleet in self.fleets
            for machine, start, end, _ in fleet.spans
            if (image := fleet.expected.images[machine]) in fleet.expected.rhel
        ]
        return {day: usage_between(spans, day) for day in self.days}


@dataclass
class Machine:
    """An instance in EC2, and when it was on."""

    id: str
    image: str
    spans: list[Bounds] = field(default_factory=list)
    is_gone: bool = False

    @property
    def is_on(self) -> bool:
        return bool(self.spans) and self.spans[-1].end is None


@dataclass
class Image:
    """An AMI, and whether it is RHEL."""

    id: str
    kind: str
    is_rhel: bool


class Change(NamedTuple):
    """An account was asked to pause or to go on, after so many looks at its instances."""

    asked_at: datetime
    known_power_ons: int


class Newcomer:
    """A customer who comes during the soak, with machines that are really there."""

    def __init__(self, customer: Customer, kind: str, seed: int) -> None:
        self.customer = customer
        self.kind = kind
        self.chance = random.Random(f"{seed} {customer.number}")
        self.machines: Sequence[Machine] = []
        self.sent_at: datetime | None = None
        self.described_at: datetime | None = None
        self.is_deleted = False
        self.is_paused = False
        self.messages = 0

    def came(self, sent_at: datetime) -> None:
        """Note when the message about the account was sent."""
        self.sent_at = sent_at

    def end_of_all(self, between: tuple[datetime, datetime]) -> None:
        """Note that all instances stopped counting, as the account was paused or deleted."""
        for machine in self.machines:
            if machine.is_on:
                machine.spans[-1].end = between

    def rhel(self) -> set[str]:
        """Return the images that are RHEL."""
        raise NotImplementedError

    def truth(self) -> list[str]:
        """Say when instances were on."""
        raise NotImplementedError

    def expected(self, days: Iterable[date]) -> dict[date, tuple[int, int]]:
        """Return the least and the largest right number of each day."""
        rhel = self.rhel()
        spans = [one for machine in self.machines for one in machine.spans if one.image in rhel]
        return {day: (0, 0) if self.is_deleted else usage_between(spans, day) for day in days}


class Live(Newcomer):
    """One with real instances in the fake EC2.

    ``ec2`` is a client inside their account. All that happens after the first look has its record
    in a log that is delivered later.
    """

    def __init__(self, customer: Customer, kind: str, seed: int) -> None:
        super().__init__(customer, kind, seed)
        self.images: list[Image] = []
        self.machines: list[Machine] = []
        self.change: Change | None = None
        self._files = 0
        self._pending: list[trail.Record] = []

    def arrive(self, ec2, make_disk_image) -> None:
        """Have images and instances, from before we came."""
        for number in range(self.chance.randint(1, 2)):
            kind = self.chance.choice(IMAGES)
            self.images.append(_register(ec2, kind, number, make_disk_image))
            for _ in range(self.chance.randint(1, 3)):
                answer = ec2.run_instances(
                    ImageId=self.images[-1].id, InstanceType="m5.large", MinCount=1, MaxCount=1
                )
                instance_id = answer["Instances"][0]["InstanceId"]
                self.machines.append(Machine(instance_id, self.images[-1].id))

    def was_described(self, seen_at: datetime) -> None:
        """Note when the first look at the account was seen to be over."""
        assert self.sent_at is not None
        self.described_at = seen_at
        for machine in self.machines:
            machine.spans.append(Bounds(machine.image, (self.sent_at, seen_at)))

    def act(self, ec2) -> None:
        """Do something to instances or images that a log tells later."""
        running = [one for one in self.machines if one.is_on]
        stopped = [one for one in self.machines if not one.is_on and not one.is_gone]
        tagged = [one for one in self.images if one.kind == TAGGED]
        actions = [self._launch]
        if running:
            actions += [self._stop, self._stop, self._terminate]
        if stopped:
            actions += [self._start, self._start]
        if tagged:
            actions.append(self._tag)
        action = self.chance.choice(actions)
        record = action(ec2, datetime.now(UTC).replace(microsecond=0))
        self._pending.append(record)

    def next_file(self) -> LogFile:
        """Put what has no file yet into one."""
        records, self._pending = self._pending, []
        self._files += 1
        account = self.customer.aws_account_id
        key = trail.log_key(
            account=account,
            region=trail.REGION,
            at=datetime.now(UTC),
            name=f"{self.customer.number:04}{self._files:04}",
        )
        return LogFile(key, records)

    def begin_of_all(self, between: tuple[datetime, datetime]) -> None:
        """Note that what is on counts again."""
        for machine in self.machines:
            if not machine.is_gone and not machine.is_on:
                machine.spans.append(Bounds(machine.image, between))

    def truth(self) -> list[str]:
        """Say when instances were on."""
        return [str(one) for one in (*self.images, *self.machines)]

    def rhel(self) -> set[str]:
        """Return the images that are RHEL."""
        return {image.id for image in self.images if image.is_rhel}

    def _common(self, at: datetime):
        return {"at": at, "account": self.customer.aws_account_id}

    def _launch(self, ec2, now: datetime) -> trail.Record:
        image = self.chance.choice(self.images)
        answer = ec2.run_instances(
            ImageId=image.id, InstanceType="m5.large", MinCount=1, MaxCount=1
        )
        instance_id = answer["Instances"][0]["InstanceId"]
        self.machines.append(Machine(instance_id, image.id, [Bounds(image.id, (now, now))]))
        item = trail.launched(instance_id, image=image.id, at=now)
        return trail.run_instances(item, **self._common(now))

    def _stop(self, ec2, now: datetime) -> trail.Record:
        machine = self.chance.choice([one for one in self.machines if one.is_on])
        ec2.stop_instances(InstanceIds=[machine.id])
        machine.spans[-1].end = (now, now)
        return trail.stop_instances(machine.id, **self._common(now))

    def _terminate(self, ec2, now: datetime) -> trail.Record:
        machine = self.chance.choice([one for one in self.machines if one.is_on])
        ec2.terminate_instances(InstanceIds=[machine.id])
        machine.spans[-1].end = (now, now)
        machine.is_gone = True
        return trail.terminate_instances(machine.id, **self._common(now))

    def _start(self, ec2, now: datetime) -> trail.Record:
        machine = self.chance.choice(
            [one for one in self.machines if not one.is_on and not one.is_gone]
        )
        ec2.start_instances(InstanceIds=[machine.id])
        machine.spans.append(Bounds(machine.image, (now, now)))
        return trail.start_instances(machine.id, **self._common(now))

    def _tag(self, ec2, now: datetime) -> trail.Record:
        image = self.chance.choice([one for one in self.images if one.kind == TAGGED])
        tags = [{"Key": trail.RHEL_TAG, "Value": ""}]
        if image.is_rhel:
            ec2.delete_tags(Resources=[image.id], Tags=tags)
            record = trail.delete_tags(image.id, **self._common(now))
        else:
            ec2.create_tags(Resources=[image.id], Tags=tags)
            record = trail.create_tags(image.id, **self._common(now))
        image.is_rhel = not image.is_rhel
        return record


def _register(ec2, kind: str, number: int, make_disk_image) -> Image:
    if kind == DISK:
        return Image(make_disk_image(), kind, is_rhel=True)
    name = "Windows Server" if kind == WINDOWS else "server"
    image_id = ec2.register_image(Name=f"{name} {number}", RootDeviceName="/dev/xvda")["ImageId"]
    if kind == TAGGED:
        ec2.create_tags(Resources=[image_id], Tags=[{"Key": trail.RHEL_TAG, "Value": ""}])
    return Image(image_id, kind, is_rhel=kind == TAGGED)
