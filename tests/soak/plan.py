"""What happens in a soak, and when: made from a seed alone, to be had again. Pure.

A lane is a list of steps that follow each other; lanes run beside each other. A step is begun when
it is due and the one before it in its lane is over, so on a slow machine steps come later, but they
are the same, in the same order.
"""

import random
from dataclasses import dataclass
from typing import Any

PARTS = ("api", "worker", "beat", "listener")
SLOTS = {"api": 2, "worker": 3, "beat": 1, "listener": 1}
"""How many processes there are of each kind."""

SPARED = ("api-1", "worker-1")
"""Processes that live from the beginning to the end, so that growth would be seen."""

SHIFTS = (-300, -90, 0, 0, 90, 300)
"""By how many seconds a process's clock may be wrong."""

SESSION = 3
"""For how many seconds Kafka and its consumer may not hear of each other: half a session.

Whoever loses it joins the group anew, which the broker of these tests does not survive if somebody
ends meanwhile.
"""

THROTTLED = (
    ("ec2", "DescribeInstances", "RequestLimitExceeded"),
    ("ec2", "DescribeImages", "RequestLimitExceeded"),
    ("ec2", "DescribeRegions", "RequestLimitExceeded"),
    ("ec2", "CopySnapshot", "RequestLimitExceeded"),
    ("ec2", "DeleteSnapshot", "RequestLimitExceeded"),
    ("ec2", "DescribeSnapshots", "RequestLimitExceeded"),
    ("sts", "GetCallerIdentity", "Throttling"),
    ("sts", "AssumeRole", "Throttling"),
    ("cloudtrail", "DescribeTrails", "ThrottlingException"),
    ("cloudtrail", "CreateTrail", "ThrottlingException"),
    ("cloudtrail", "PutEventSelectors", "ThrottlingException"),
    ("cloudtrail", "DeleteTrail", "ThrottlingException"),
)
BROKEN = (
    ("ec2", "DescribeInstances", "InternalError"),
    ("ec2", "DescribeImages", "Unavailable"),
    ("ec2", "ModifySnapshotAttribute", "InternalError"),
    ("sts", "AssumeRole", "InternalFailure"),
    ("sqs", "ReceiveMessage", "InternalFailure"),
    ("sqs", "DeleteMessageBatch", "ServiceUnavailable"),
    ("cloudtrail", "StartLogging", "InternalFailure"),
)

AZURE_FAULTS: dict[str, dict[str, Any]] = {
    "throttled": {"request": "GET /subscriptions", "status": 429, "retry_after": 1},
    "out of order": {"request": "GET /subscriptions", "status": 500},
    "no JSON": {"request": "GET /subscriptions", "status": 200, "body": '{"value": ['},
    "no list": {"request": "GET /subscriptions", "status": 200, "body": {"nextLink": None}},
    "hangs": {"request": "GET /subscriptions", "hang": 1.5},
    "a page fails": {"request": "skiptoken", "status": 503},
    "no states": {"request": "statusOnly", "status": 500},
    "no scale sets": {"request": "virtualMachineScaleSets[?]", "status": 500},
    "a scale set is out of order": {"request": "virtualMachineScaleSets/", "status": 500},
    "a scale set is refused": {"request": "virtualMachineScaleSets/", "status": 403},
    "no login": {"request": "POST .*/token", "status": 503},
}
"""What may pass by itself: whatever else Azure answers, the customer is told."""


@dataclass(frozen=True)
class Step:
    """Something that happens ``at`` seconds after the beginning, to whom, and how much of it."""

    at: float
    kind: str
    target: str = ""
    amount: float = 0.0


@dataclass(frozen=True)
class Pace:
    """How many seconds lie between two steps of a lane, on average."""

    processes: float = 6.0
    services: float = 15.0
    clouds: float = 1.5
    azure: float = 8.0


def lanes(seed: int, seconds: float, pace: Pace | None = None) -> dict[str, list[Step]]:
    """Return the faults of a soak of this length."""
    pace = pace or Pace()
    makers = {
        "processes": (_process_fault, pace.processes),
        "other processes": (_process_fault, pace.processes),
        "services": (_service_fault, pace.services),
        "clouds": (_cloud_fault, pace.clouds),
        "azure": (_azure_fault, pace.azure),
    }
    found = {}
    for name, (make, between) in makers.items():
        # A text as a seed does not depend on PYTHONHASHSEED.
        chance = random.Random(f"{seed} {name}")
        steps = []
        at = chance.uniform(0, between)
        while at < seconds:
            steps.append(make(chance, at, name))
            at += chance.uniform(0.5, 1.5) * between
        found[name] = steps
    return found


def slots(part: str) -> list[str]:
    """Return the names of the processes of one kind."""
    return [f"{part}-{number + 1}" for number in range(SLOTS[part])]


def shift(chance: random.Random) -> int:
    """Choose by how much a process's clock is wrong, in seconds."""
    return chance.choice(SHIFTS)


def _process_fault(chance: random.Random, at: float, lane: str) -> Step:
    """Each of the two lanes has its own processes, so that they never do the same at once."""
    parts = ("worker",) if lane == "processes" else ("api", "beat", "listener")
    names = [name for part in parts for name in slots(part)]
    kind = chance.choices(("kill", "restart", "freeze"), (5, 3, 2))[0]
    mortal = [name for name in names if kind == "freeze" or name not in SPARED]
    name = chance.choice(mortal)
    longest = SESSION if name.startswith("listener") else 6
    return Step(at, kind, name, round(chance.uniform(1, longest), 1))


def _service_fault(chance: random.Random, at: float, _: str) -> Step:
    kinds = {
        ("hang", "kafka"): 4,
        ("hang", "valkey"): 3,
        ("hang", "postgres"): 2,
        ("hang", "aws"): 2,
        ("hang", "azure"): 2,
        ("lose", "valkey"): 3,
        ("flush", "valkey"): 2,
        ("lose", "postgres"): 1,
        ("lose", "azure"): 1,
        ("fail", "sources"): 4,
        ("slow", "sources"): 2,
    }
    kind, target = chance.choices(list(kinds), list(kinds.values()))[0]
    longest = SESSION if target == "kafka" else 5
    return Step(at, kind, target, round(chance.uniform(1, longest), 1))


def _cloud_fault(chance: random.Random, at: float, _: str) -> Step:
    kind = chance.choices(("throttle", "break", "deny"), (5, 3, 1))[0]
    seconds = round(chance.uniform(0.5, 2), 1)
    if kind == "deny":
        return Step(at, kind, "ec2 DescribeInstances UnauthorizedOperation", seconds)
    target = chance.choice(THROTTLED if kind == "throttle" else BROKEN)
    return Step(at, kind, " ".join(target), seconds)


def _azure_fault(chance: random.Random, at: float, _: str) -> Step:
    """Some are shorter than a request is repeated for, others spoil a whole poll."""
    kind = chance.choice(list(AZURE_FAULTS))
    return Step(at, "disturb", kind, round(chance.uniform(1, 12), 1))
