"""A worker is killed after each step of an inspection, and either its task is delivered again, or
Redis has lost all queues and only the periodic tasks are left (spec 05 §11.3, 08 DR-1).

``pytest -s`` prints the table of what came of it.
"""

from collections import Counter
from datetime import timedelta
from types import ModuleType
from typing import NamedTuple

import pytest

from api.clouds.aws.inspection import disk_copies
from api.clouds.aws.provisioning import queues
from api.inspection import attempts, cleanup, request, shares
from api.inspection.results import read
from api.inspection.steps import copy, launch
from api.models import MachineImage, SnapshotShare
from tests.api.inspection import testbed as names
from tests.api.inspection.fault_injection import killed
from tests.api.inspection.testbed import REGION, fresh, result
from tests.api.inspection.testbed import attempts as attempts_at
from tests.celery_fixtures import QueuedTask
from util import clock
from util.tasks import enqueue

AGAIN, LOST = "delivered again", "queues lost"
LINE = "{:<36}{:<29}{:<17}{:<12}{:<10}{:>8}{:>8}{:>12}{:>11}"


class Place(NamedTuple):
    """Where a worker is killed: in which run of which task, and after, or before, what.

    Without a function it is killed when all is done, and only the acknowledgement is missing.
    """

    task: str
    module: ModuleType | None = None
    function: str = ""
    after: bool = True
    run: int = 1

    def __str__(self) -> str:
        task = self.task.rpartition(".")[-1].removesuffix("_task")
        where = f"{'after' if self.after else 'before'} {self.function}" if self.function else "end"
        return f"{task}{'' if self.run == 1 else ' (reference)'}: {where}"


OWN = [
    Place(names.START, request, "_store"),
    Place(names.START),
    Place(names.COPY, disk_copies, "load_image"),
    Place(names.COPY, attempts, "note"),
    Place(names.COPY, shares, "record"),
    Place(names.COPY, disk_copies, "share"),
    Place(names.COPY, disk_copies, "find_or_copy_snapshot"),
    Place(names.COPY, attempts, "claim_copy"),
    Place(names.COPY, attempts, "note_progress"),
    Place(names.COPY),
    Place(names.REMOVE, disk_copies, "unshare"),
    Place(names.REMOVE, shares, "_forget"),
    Place(names.REMOVE),
    Place(names.LAUNCH, launch, "find_or_launch"),
    Place(names.LAUNCH, launch, "_record"),
    Place(names.LAUNCH),
    Place(names.PERSIST, read, "fetch"),
    Place(names.PERSIST, read, "save_results"),
    Place(names.PERSIST, queues, "delete"),
    Place(names.PERSIST),
    Place(names.DELETE, disk_copies, "delete_copy"),
    Place(names.DELETE),
]
FOREIGN = [
    Place(names.COPY_IMAGE, disk_copies, "load_image"),
    Place(names.COPY_IMAGE, disk_copies, "_tag", after=False),
    Place(names.COPY_IMAGE, disk_copies, "find_or_copy_image"),
    Place(names.COPY_IMAGE, copy, "record_copy"),
    Place(names.COPY_IMAGE, attempts, "note_progress"),
    Place(names.COPY_IMAGE),
    Place(names.COPY, copy, "record_copy", run=2),
    Place(names.COPY, disk_copies, "share", run=2),
    Place(names.COPY, disk_copies, "find_or_copy_snapshot", run=2),
    Place(names.COPY, run=2),
]


def cases(places):
    """Pair places with fates; that every task may come twice is tested elsewhere."""
    return pytest.mark.parametrize(
        ("place", "fate"),
        [
            pytest.param(place, fate, id=f"{place}, {fate}")
            for place in places
            for fate in ((AGAIN, LOST) if place.function else (LOST,))
        ],
    )


class Play:
    """An inspection of which one step is cut off."""

    def __init__(self, testbed, image, place, fate, monkeypatch):
        self.testbed = testbed
        self.image = image
        self.place = place
        self.fate = fate
        self.monkeypatch = monkeypatch
        self.runs = Counter()
        self.status_then = ""

    def go_on(self):
        """Do what is queued, let inspectors tell and end, and clean up."""
        queued = self.testbed.queued
        while ready := [task for task in queued if not task.countdown]:
            queued._tasks.remove(ready[0])
            self.run(ready[0])
        for inspector in self.testbed.inspectors():
            self.testbed.deliver(result(self.image.cloud_image_id))
            self.testbed.own.terminate_instances(InstanceIds=[inspector["InstanceId"]])
        self.run(QueuedTask(names.PERSIST))
        for task in list(queued):
            queued._tasks.remove(task)
            self.run(task)

    def run(self, task):
        self.runs[task.name] += 1
        if (task.name, self.runs[task.name]) != (self.place.task, self.place.run):
            self.testbed.run(task.name, *task.args)
            return
        self.kill(task)
        self.status_then = fresh(self.image).status
        if self.fate == LOST:
            self.testbed.queued.clear()
            self.run(QueuedTask(names.PERSIST))
        else:
            self.testbed.run(task.name, *task.args)

    def kill(self, task):
        if not self.place.module:
            self.testbed.run(task.name, *task.args)
            return
        with (
            self.monkeypatch.context() as patch,
            killed(patch, self.place.module, self.place.function, after=self.place.after),
        ):
            # The message is shown again at once.
            patch.setattr(read, "HOLD_SECONDS", 0)
            self.testbed.run(task.name, *task.args)

    def left(self):
        """Return what is left in either account that should not be."""
        customers = self.testbed.customers.describe_snapshots(OwnerIds=["self"])["Snapshots"]
        tagged = [{"Name": "tag:cloudigrade-environment", "Values": ["test"]}]
        return [
            *(
                one["SnapshotId"]
                for one in customers
                if self.testbed.shared_with(one["SnapshotId"])
            ),
            *(one["SnapshotId"] for one in self.testbed.own_snapshots()),
            *(one["InstanceId"] for one in self.testbed.inspectors()),
            *self.testbed.own.describe_volumes(Filters=tagged)["Volumes"],
            *SnapshotShare.objects.all(),
        ]


@pytest.fixture(scope="module")
def table():
    """The lines of the table, printed when all are there."""
    lines = []
    yield lines
    heads = ("task", "killed", "then", "image then", "at last")
    counts = ("attempts", "copies", "inspectors", "left over")
    print("\n" + LINE.format(*heads, *counts))
    print("\n".join(lines))


@cases(OWN)
def test_killed_while_it_inspects_an_own_image(
    testbed, monkeypatch, time_machine, table, place, fate
):
    image = testbed.image()
    play(Play(testbed, image, place, fate, monkeypatch), time_machine, table)


@cases(FOREIGN)
def test_killed_while_it_inspects_a_foreign_image(
    testbed, monkeypatch, time_machine, table, place, fate
):
    image = testbed.image(testbed.foreign(share_disk=True)[0], owner_aws_account_id=names.OTHER)
    play(Play(testbed, image, place, fate, monkeypatch), time_machine, table)
    assert len(testbed.customers.describe_images(Owners=["self"])["Images"]) == 1


def play(inspection, time_machine, table):
    testbed, image, place = inspection.testbed, inspection.image, inspection.place
    enqueue(names.START, [[testbed.arn, image.cloud_image_id, REGION]])
    inspection.go_on()
    assert inspection.status_then, "the place was not reached"
    if inspection.fate == LOST:
        if fresh(image).status != MachineImage.Status.INSPECTED:
            time_machine.move_to(clock.now() + timedelta(hours=13))
            testbed.run(names.RESTART)
            inspection.go_on()
        testbed.queued.clear()
        time_machine.move_to(clock.now() + timedelta(hours=3))
        testbed.run(names.SWEEP)
    copies, launches = testbed.calls("CopySnapshot"), testbed.calls("RunInstances")
    task, _, where = str(place).partition(": ")
    table.append(
        LINE.format(
            task,
            where,
            inspection.fate,
            inspection.status_then,
            fresh(image).status,
            len(attempts_at(image)),
            len(copies),
            len(launches),
            len(inspection.left()) or "none",
        )
    )
    assert (fresh(image).status, fresh(image).is_rhel) == ("inspected", True)
    assert inspection.left() == []
    most = 1 if inspection.fate == AGAIN else 2
    assert max(len(attempts_at(image)), len(copies), len(launches)) <= most


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
def test_killed_while_it_sweeps(testbed, monkeypatch, time_machine, after):
    image = testbed.image()
    testbed.start(image)
    testbed.run(names.COPY, testbed.arn, image.cloud_image_id, REGION)
    (launch,) = testbed.queued.named(names.LAUNCH)
    testbed.run(launch.name, *launch.args)
    testbed.deliver(result(image.cloud_image_id))
    testbed.run(names.PERSIST)
    testbed.queued.clear()
    time_machine.move_to(clock.now() + timedelta(hours=3))
    for _ in range(3):
        with killed(monkeypatch, cleanup, "remove", after=after):
            testbed.run(names.SWEEP)
    testbed.run(names.SWEEP)
    assert Play(testbed, image, None, AGAIN, monkeypatch).left() == []
