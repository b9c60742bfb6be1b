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
from tests.api.inspection.testbed import (
    AWS_TASKS,
    COPY,
    CUSTOMER,
    DELETE,
    REMOVE,
    attempts,
    fresh,
)
from tests.api.inspector import corpus
from tests.cloudigrade.workers import Workers, kill
from tests.deployment.processes import wait_for

pytestmark = [pytest.mark.e2e, pytest.mark.slow, pytest.mark.django_db(transaction=True)]

INSPECT = f"{AWS_TASKS}inspect_snapshot"
QUEUES = [name.rpartition(".")[2] for name in (INSPECT, DELETE, REMOVE)]
PATIENCE = 120
IMAGES = int(os.environ.get("CLOUDIGRADE_INSPECTIONS", "4"))


@pytest.fixture
def workers(transactional_db, redis_client, tmp_path):
    """Workers that work on the database of the tests, and are lost after three seconds."""
    started = Workers(
        tmp_path,
        queues=",".join(QUEUES),
        DJANGO_DATABASE_NAME=connection.settings_dict["NAME"],
        CELERY_LOST_WORKER_SECONDS="3",
        AWS_INSPECTION_METHOD="direct",
    )
    yield started
    started.kill()


@pytest.fixture
def copied(workers, testbed, settings):
    """Make images whose disks were copied."""
    settings.AWS_INSPECTION_METHOD = "direct"

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


def send_what_comes_next(testbed):
    """Send the tasks that follow copies to the workers."""
    for name in (INSPECT, REMOVE):
        for task in testbed.queued.named(name):
            celery_app.send_task(name, args=list(task.args), queue=name.rpartition(".")[2])


def test_acceptance_13_a_worker_killed_while_it_reads(workers, testbed, copied):
    """Delivered again it ends the same: one result, no copy, no share, no second attempt."""
    testbed.aws.refuse("ebs", "GetSnapshotBlock", "ThrottlingException", times=1000)
    (image,) = copied(1)
    first = workers.start()
    send_what_comes_next(testbed)
    assert wait_for(lambda: testbed.calls("GetSnapshotBlock") != [], seconds=PATIENCE), (
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


def test_two_workers_leave_nothing_over(workers, testbed, copied):
    images = copied(IMAGES)
    testbed.aws.refuse_nothing()
    for _ in range(2):
        workers.start()
    began = time.monotonic()
    send_what_comes_next(testbed)

    def are_done():
        return {fresh(image).status for image in images} == {"inspected"}

    assert wait_for(are_done, seconds=PATIENCE + 10 * IMAGES), workers.log()
    took = time.monotonic() - began
    assert wait_for(lambda: testbed.own_snapshots() == [], seconds=PATIENCE), workers.log()
    calls = Counter(call["action"] for call in testbed.aws.calls())
    print(f"{IMAGES} images: {took:.1f} s; {sum(calls.values())} calls: {dict(calls)}")
    assert all(fresh(image).is_rhel for image in images)
    assert [len(attempts(image)) for image in images] == [1] * IMAGES
    snapshots = [attempts(image)[0].customer_snapshot_id for image in images]
    assert wait_for(
        lambda: all(testbed.shared_with(one) == [] for one in snapshots), seconds=PATIENCE
    ), workers.log()
    assert "RunInstances" not in calls
