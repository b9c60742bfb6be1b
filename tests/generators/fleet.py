"""A customer's machines over some time, as CloudTrail logs and as what must come of them.

The answer is kept while the history is made up, independently of the product: which events there
must be, when each machine was on and of which type, and what tags its image has in the end.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from tests.generators import cloudtrail as trail
from tests.generators.cloudtrail import NOON, Record, launched

TYPES = ("t3.micro", "m5.large", "c5.xlarge", "r5.2xlarge")
DELIVERY = timedelta(minutes=5)

Event = tuple[str, str, datetime]
"""Instance, what happened, when."""

Span = tuple[str, datetime, datetime | None, str]
"""Instance, on from, on until, of which type."""


@dataclass
class Machine:
    """One instance in the course of its life."""

    id: str
    image: str
    type: str
    is_spot: bool = False
    on_since: datetime | None = None
    on_type: str = ""
    is_gone: bool = False


@dataclass
class LogFile:
    """One delivered file."""

    key: str
    records: list[Record]

    @property
    def body(self) -> bytes:
        return trail.log_file(self.records)


@dataclass
class Expected:
    """What must come of all files, in whatever order and however often they are delivered."""

    events: set[Event] = field(default_factory=set)
    spans: list[Span] = field(default_factory=list)
    images: dict[str, str] = field(default_factory=dict)
    rhel: set[str] = field(default_factory=set)
    openshift: set[str] = field(default_factory=set)


class Fleet:
    """Makes up a history, action by action; time only goes forward."""

    def __init__(
        self,
        seed: int,
        *,
        account: str = trail.ACCOUNT,
        region: str = trail.REGION,
        images: Sequence[str] = ("ami-0a", "ami-0b", "ami-0c"),
        start: datetime = NOON,
        noise: int = 20,
    ) -> None:
        self.random = random.Random(seed)
        self.account = account
        self.region = region
        self.images = images
        self.now = start
        self.noise = noise
        self.seed = seed
        self.machines: list[Machine] = []
        self.records: list[tuple[datetime, Record]] = []
        self.expected = Expected()

    def live(self, actions: int) -> "Fleet":
        """Let that many things happen."""
        for _ in range(actions):
            self.now += timedelta(seconds=self.random.randint(1, 900))
            self._choose()()
            for _ in range(self.random.randint(0, 2 * self.noise)):
                self._write(trail.noise(self.random.randrange(10**6), **self._common()))
        return self

    def _choose(self):
        running = [one for one in self.machines if one.on_since]
        stopped = [one for one in self.machines if not one.on_since and not one.is_gone]
        actions = [self._launch, self._launch, self._fail, self._tag, self._untag]
        if running:
            actions += [self._stop, self._stop, self._terminate, self._reboot, self._protect]
        if stopped:
            actions += [self._start, self._start, self._resize, self._terminate_stopped]
        if any(one.is_spot for one in running):
            actions.append(self._interrupt)
        return self.random.choice(actions)

    def _common(self):
        return {"at": self.now, "account": self.account, "region": self.region}

    def _write(self, record: Record) -> None:
        self.records.append((self.now, record))

    def _pick(self, *, running: bool, most: int = 4, spot: bool = False) -> list[Machine]:
        fit = [
            one
            for one in self.machines
            if bool(one.on_since) == running and not one.is_gone and (one.is_spot or not spot)
        ]
        return self.random.sample(fit, self.random.randint(1, min(most, len(fit))))

    def _launch(self) -> None:
        image = self.random.choice(self.images)
        shape = self.random.choice(["plain", "template", "fleet", "spot", "autoscaling"])
        first = len(self.machines)
        made = [
            Machine(
                id=f"i-{self.seed:04x}{first + place:013x}",
                image=image,
                type=self.random.choice(TYPES),
                is_spot=shape == "spot",
            )
            for place in range(self.random.randint(1, 5))
        ]
        if shape == "plain":
            for one in made:
                one.type = made[0].type
        others = {"instanceLifecycle": "spot"} if shape == "spot" else {}
        items = [
            launched(one.id, image=image, type=one.type, at=self.now, **others) for one in made
        ]
        identity = {
            "fleet": trail.fleet(self.account),
            "spot": trail.spot(self.account),
            "autoscaling": trail.autoscaling(self.account),
        }.get(shape)
        self._write(
            trail.run_instances(
                *items,
                type=made[0].type if shape == "plain" else None,
                template=None if shape == "plain" else "lt-0123",
                identity=identity,
                **self._common(),
            )
        )
        self.machines += made
        for one in made:
            self.expected.images[one.id] = image
            self._switch_on(one)

    def _fail(self) -> None:
        code = self.random.choice(["Client.InstanceLimitExceeded", "Client.UnauthorizedOperation"])
        item = launched("i-never", at=self.now)
        self._write(trail.run_instances(item, errorCode=code, **self._common()))

    def _stop(self) -> None:
        self._end(trail.stop_instances, self._pick(running=True))

    def _terminate(self) -> None:
        chosen = self._pick(running=True)
        self._end(trail.terminate_instances, chosen)
        for one in chosen:
            one.is_gone = True

    def _terminate_stopped(self) -> None:
        chosen = self._pick(running=False)
        self._end(trail.terminate_instances, chosen)
        for one in chosen:
            one.is_gone = True

    def _interrupt(self) -> None:
        chosen = self._pick(running=True, spot=True)
        self._end(trail.spot_interruption, chosen)
        for one in chosen:
            one.is_gone = True

    def _end(self, make, chosen: Sequence[Machine]) -> None:
        self._write(make(*(one.id for one in chosen), **self._common()))
        for one in chosen:
            self._event(one, "power_off")
            if one.on_since:
                self.expected.spans.append((one.id, one.on_since, self.now, one.on_type))
                one.on_since = None

    def _start(self) -> None:
        chosen = self._pick(running=False)
        self._write(trail.start_instances(*(one.id for one in chosen), **self._common()))
        for one in chosen:
            self._switch_on(one)

    def _switch_on(self, machine: Machine) -> None:
        self._event(machine, "power_on")
        machine.on_since, machine.on_type = self.now, machine.type

    def _resize(self) -> None:
        (chosen,) = self._pick(running=False, most=1)
        chosen.type = self.random.choice(TYPES)
        self._write(trail.modify_instance(chosen.id, chosen.type, **self._common()))
        self._event(chosen, "attribute_change")

    def _reboot(self) -> None:
        chosen = self._pick(running=True)
        self._write(trail.reboot_instances(*(one.id for one in chosen), **self._common()))

    def _protect(self) -> None:
        (chosen,) = self._pick(running=True, most=1)
        self._write(trail.modify_instance(chosen.id, **self._common()))

    def _tag(self) -> None:
        image, tags = self._choose_tags()
        self._write(trail.create_tags(image, "i-else", tags=[*tags, "Name"], **self._common()))
        if trail.RHEL_TAG in tags:
            self.expected.rhel.add(image)
        if trail.OPENSHIFT_TAG in tags:
            self.expected.openshift.add(image)

    def _untag(self) -> None:
        image, tags = self._choose_tags()
        self._write(trail.delete_tags(image, tags=tags, **self._common()))
        if trail.RHEL_TAG in tags:
            self.expected.rhel.discard(image)
        if trail.OPENSHIFT_TAG in tags:
            self.expected.openshift.discard(image)

    def _choose_tags(self) -> tuple[str, list[str]]:
        tags = [trail.RHEL_TAG, trail.OPENSHIFT_TAG, "team"]
        count = self.random.randint(1, 3)
        return self.random.choice(self.images), self.random.sample(tags, count)

    def _event(self, machine: Machine, kind: str) -> None:
        self.expected.events.add((machine.id, kind, self.now))

    @property
    def spans(self) -> list[Span]:
        """When machines were on; those that still are have no end."""
        open_ones = [
            (one.id, one.on_since, None, one.on_type) for one in self.machines if one.on_since
        ]
        return sorted([*self.expected.spans, *open_ones], key=lambda span: span[:2])

    def files(self) -> list[LogFile]:
        """Put the records into files as CloudTrail does: every few minutes, late, some twice."""
        buckets: dict[datetime, list[Record]] = {}
        for moment, record in self.records:
            delivered = moment + DELIVERY * self.random.randint(1, 3)
            buckets.setdefault(_slot(delivered), []).append(record)
            if self.random.random() < 0.02:
                buckets.setdefault(_slot(delivered + DELIVERY), []).append(record)
        return [
            LogFile(
                trail.log_key(
                    account=self.account,
                    region=self.region,
                    at=slot,
                    name=trail.event_id(self.seed, slot)[:8],
                ),
                records,
            )
            for slot, records in sorted(buckets.items())
        ]


def _slot(moment: datetime) -> datetime:
    return moment.replace(minute=moment.minute - moment.minute % 5, second=0, microsecond=0)
