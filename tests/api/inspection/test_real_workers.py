"""Direct inspections by real workers, one of which is killed (spec 13 §4).

They need more than five seconds: two worker processes start, and a lost one is waited for.
``CLOUDIGRADE_INSPECTIONS`` is how many images the two workers inspect.
"""

import os
import time
from collections import Counter

import pytest
from django.db import connection

from cloudigrade import celery_app
from deployment.local.blocks import store_disk
from deployment.local.machines import Machines
from tests.api.inspection.testbed import (
    AWS_TASKS,
    COPY,
    CUSTOMER,
    DELETE,
    LAUNCH,
    PERSIST,
    REMOVE,
    attempts,
    fresh,
)
from tests.api.inspector import corpus
from tests.cloudigrade.workers import Workers, kill
from tests.deployment.processes import wait_for

pytestmark = [pytest.mark.e2e, pytest.mark.slow, pytest.mark.django_db(transaction=True)]

INSPECT = f"{AWS_TASKS}inspect_snapshot"
TASKS = (INSPECT, LAUNCH, PERSIST, DELETE, REMOVE)
CONTAINER = "cloudservices/cloudigrade-inspector:1.0.0"
RESULTS_AT_ONCE = 10
PATIENCE = 120
IMAGES = int(os.environ.get("CLOUDIGRADE_INSPECTIONS", "4"))


@pytest.fixture
def method(request, settings):
    """How these images are inspected, by default ``direct``."""
    settings.AWS_INSPECTION_METHOD = getattr(request, "param", "direct")
    settings.AWS_INSPECTION_IMAGE = CONTAINER
    return settings.AWS_INSPECTION_METHOD


@pytest.fixture
def workers(transactional_db, redis_client, tmp_path, method):
    """Workers that work on the database of the tests, and are lost after five seconds."""
    started = Workers(
        tmp_path,
        queues=",".join(name.rpartition(".")[2] for name in TASKS),
        DJANGO_DATABASE_NAME=connection.settings_dict["NAME"],
        CELERY_LOST_WORKER_SECONDS="5",
        AWS_INSPECTION_METHOD=method,
        AWS_INSPECTION_IMAGE=CONTAINER,
        AWS_SQS_MAX_HOUNDI_YIELD_COUNT=str(RESULTS_AT_ONCE),
    )
    yield started
    started.kill()


@pytest.fixture
def copied(workers, testbed):
    """Make images whose disks were copied."""

    def copied(number):
        ebs, disk = testbed.aws.client("ebs", account_id=CUSTOMER), corpus.content("rhel9-gpt-xfs")
        images = []
        for place in range(number):
            root = {"DeviceName": "/dev/xvda", "Ebs": {"SnapshotId": store_disk(ebs, disk)}}
            ami = testbed.customers.register_image(
                Name=f"image {place}", RootDeviceName="/dev/xvda", BlockDeviceMappings=[root]
            )["ImageId"]
            images.append(testbed.image(ami))
        testbed.start(*images)
        tasks = testbed.queued.named(COPY)
        testbed.queued.clear()
        for task in tasks:
            testbed.run(COPY, *task.args)
        return images

    return copied


def send(name, *arguments):
    celery_app.send_task(name, args=list(arguments), queue=name.rpartition(".")[2])


def send_what_waits(testbed, *names):
    """Send tasks that follow copies to the workers, whatever their countdown."""
    for name in names:
        for task in testbed.queued.named(name):
            send(name, *task.args)


def test_acceptance_13_a_worker_killed_while_it_reads(workers, testbed, copied):
    """Delivered again it ends the same: one result, no copy, no share, no second attempt.

    It is killed between two blocks: the second one is asked for when the first has arrived.
    """
    (image,) = copied(1)
    testbed.aws.hold("ebs", "GetSnapshotBlock", after=1)
    first = workers.start()
    send_what_waits(testbed, INSPECT, REMOVE)
    assert wait_for(lambda: len(testbed.calls("GetSnapshotBlock")) == 2, seconds=PATIENCE), (
        workers.log()
    )
    assert fresh(image).status == "inspecting"
    kill(first)
    assert (fresh(image).status, len(testbed.own_snapshots())) == ("inspecting", 1)

    testbed.aws.refuse_nothing()
    workers.start()
    assert wait_for(lambda: fresh(image).status == "inspected", seconds=PATIENCE), workers.log()
    assert wait_for(lambda: testbed.own_snapshots() == [], seconds=PATIENCE), workers.log()
    assert fresh(image).is_rhel
    (attempt,) = attempts(image)
    assert (attempt.outcome, bool(attempt.result)) == ("inspected", True)
    assert wait_for(
        lambda: testbed.shared_with(attempt.customer_snapshot_id) == [], seconds=PATIENCE
    ), workers.log()
    assert testbed.calls("RunInstances") == []


@pytest.mark.timeout(3600)
@pytest.mark.parametrize("method", ["direct", "instance"], indirect=True)
def test_two_workers_leave_nothing_over(workers, testbed, copied, method):
    """The figures of both methods in docs/performance.md are what this prints."""
    images = copied(IMAGES)
    testbed.aws.refuse_nothing()
    for _ in range(2):
        workers.start()
    machines = Machines(testbed.aws) if method == "instance" else None
    began = time.monotonic()
    send_what_waits(testbed, INSPECT, LAUNCH, REMOVE)

    def are_done():
        # The machines end, and announce their results, which the schedule has stored.
        for _ in range(0, len(machines.look()) if machines else 0, RESULTS_AT_ONCE):
            send(PERSIST)
        return {fresh(image).status for image in images} == {"inspected"}

    assert wait_for(are_done, seconds=PATIENCE + 20 * IMAGES), workers.log()
    took = time.monotonic() - began
    if method == "instance":
        # Its copies are deleted when a delay is over, those of ``direct`` at once.
        send_what_waits(testbed, DELETE)
    assert wait_for(lambda: testbed.own_snapshots() == [], seconds=PATIENCE), workers.log()
    calls = Counter(call["action"] for call in testbed.aws.calls())
    print(f"{method}, {IMAGES} images: {took:.1f} s; {sum(calls.values())} calls: {dict(calls)}")
    assert all(fresh(image).is_rhel for image in images)
    assert [len(attempts(image)) for image in images] == [1] * IMAGES
    snapshots = [attempts(image)[0].customer_snapshot_id for image in images]
    assert wait_for(
        lambda: all(testbed.shared_with(one) == [] for one in snapshots), seconds=PATIENCE
    ), workers.log()
    assert testbed.inspectors() == []
    assert calls["RunInstances"] == (IMAGES if method == "instance" else 0)
