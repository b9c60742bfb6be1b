"""Many inspections by both methods: what they cost, and that nothing is left over (spec 13 §4)."""

import time
from collections import Counter

import pytest

from deployment.local.blocks import store_disk
from deployment.local.machines import Machines
from tests.api.inspection.testbed import CUSTOMER, fresh
from tests.api.inspector import corpus

IMAGES = 10


@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("method", ["direct", "instance"])
def test_many_inspections_leave_nothing_over(testbed, settings, method):
    settings.AWS_INSPECTION_METHOD = method
    settings.AWS_INSPECTION_IMAGE = "cloudservices/cloudigrade-inspector:1.0.0"
    settings.AWS_SQS_MAX_HOUNDI_YIELD_COUNT = 10
    ebs, disk = testbed.aws.client("ebs", account_id=CUSTOMER), corpus.content("rhel9-gpt-xfs")
    images, snapshots = [], []
    for number in range(IMAGES):
        snapshot = store_disk(ebs, disk)
        snapshots.append(snapshot)
        ami = testbed.customers.register_image(
            Name=f"image {number}",
            RootDeviceName="/dev/xvda",
            BlockDeviceMappings=[{"DeviceName": "/dev/xvda", "Ebs": {"SnapshotId": snapshot}}],
        )["ImageId"]
        images.append(testbed.image(ami))
    testbed.aws.refuse_nothing()
    began = time.monotonic()
    testbed.start(*images)
    testbed.work(also_later=method == "direct")
    if method == "instance":
        Machines(testbed.aws).look()
        while testbed.persist() != (0, 0):
            pass
        testbed.work(also_later=True)
    took = time.monotonic() - began
    calls = Counter(call["action"] for call in testbed.aws.calls())
    print(f"{method}: {took:.1f} s for {IMAGES} images; {sum(calls.values())} calls: {dict(calls)}")
    assert {fresh(image).status for image in images} == {"inspected"}
    assert all(fresh(image).is_rhel for image in images)
    assert testbed.own_snapshots() == []
    assert testbed.inspectors() == []
    assert [testbed.shared_with(snapshot) for snapshot in snapshots] == [[]] * IMAGES
    launched = IMAGES if method == "instance" else 0
    assert calls["RunInstances"] == launched
