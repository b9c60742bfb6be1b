"""Changes of tags that CloudTrail left out of its logs are described (decisions 34 and 46)."""

import random

import pytest
import time_machine

from api.clouds.aws.describe import read, sync
from api.clouds.aws.describe.requests import DESCRIBE
from api.images.tags import distrust_tags
from api.models import ImageTags, MachineImage
from tests.api.clouds.aws.describe.scans import NOW, describe, ec2
from tests.api.clouds.aws.testbed import at, make_account
from tests.generators import cloudtrail as trail
from util import clock

TAG = [{"Key": trail.RHEL_TAG, "Value": ""}]


@pytest.fixture
def ami(testbed, queued, monkeypatch):
    """An image that an instance of the customer uses, and that was described."""
    monkeypatch.setattr(sync, "DatabaseClock", lambda: clock)
    monkeypatch.setattr(sync, "describe_regions", lambda arn: ["us-east-1"])
    found = testbed.image()
    testbed.instance(found)
    with time_machine.travel(at(0, 30), tick=False):
        describe(testbed)
    with time_machine.travel(NOW, tick=False):
        yield found


def change(testbed, ami, present, *, moment, omitted=False):
    """Put our tag on an image, or take it off; gives what CloudTrail writes."""
    if present:
        ec2(testbed).create_tags(Resources=[ami], Tags=TAG)
    else:
        ec2(testbed).delete_tags(Resources=[ami], Tags=TAG)
    make = trail.create_tags if present else trail.delete_tags
    return make(ami, at=moment) | ({"requestParameters": trail.OMITTED} if omitted else {})


def is_tagged(ami):
    return MachineImage.objects.get(cloud_image_id=ami).rhel_detected_by_tag


@pytest.mark.parametrize("present", [True, False])
def test_what_was_left_out_is_found_by_a_description(testbed, ami, queued, present):
    before = change(testbed, ami, not present, moment=at(1))
    old = testbed.deliver(before)
    testbed.run()
    queued.clear()
    testbed.ingest(change(testbed, ami, present, moment=at(2), omitted=True))
    assert is_tagged(ami) is not present
    assert [task.args for task in queued.named(DESCRIBE)] == [(testbed.account.id,)]
    describe(testbed)
    assert is_tagged(ami) is present
    testbed.announce(old)
    testbed.run()
    assert is_tagged(ami) is present
    testbed.ingest(change(testbed, ami, not present, moment=at(3)))
    assert is_tagged(ami) is not present


def test_each_image_is_described_once_more(testbed, ami):
    asked = len(testbed.asked("DescribeImages"))
    testbed.ingest(change(testbed, ami, True, moment=at(2), omitted=True))
    describe(testbed)
    describe(testbed)
    assert len(testbed.asked("DescribeImages")) == asked + 1


def test_an_answer_from_before_the_change_is_not_believed(testbed, ami, monkeypatch):
    """It was on its way when the change was made, and the log came before it was stored."""
    testbed.ingest(change(testbed, ami, True, moment=at(1), omitted=True))
    ask = read.describe_images

    def describe_images(*arguments):
        found = list(ask(*arguments))
        testbed.ingest(change(testbed, ami, False, moment=at(13), omitted=True))
        return found

    monkeypatch.setattr(read, "describe_images", describe_images)
    describe(testbed)
    assert not is_tagged(ami)
    assert ImageTags.objects.get().described_at is None
    monkeypatch.undo()


def test_other_accounts_and_other_images_are_left_alone(testbed, ami):
    other = make_account("210987654321")
    image = MachineImage.objects.get(cloud_image_id=ami)
    ImageTags.objects.create(cloud_account=other, machine_image=image, described_at=at(1))
    distrust_tags([(testbed.account.id, at(2)), (testbed.account.id, at(1))])
    assert ImageTags.objects.get(cloud_account=other).described_at == at(1)
    testbed.account.refresh_from_db()
    assert testbed.account.tags_unread_until == at(2).replace(second=1)
    other.refresh_from_db()
    assert other.tags_unread_until is None


@pytest.mark.random_history
@pytest.mark.parametrize("seed", range(12))
def test_whatever_the_order_the_tag_is_as_it_is(testbed, ami, queued, seed):
    """Changes told and left out, logs late, in any order and twice, looks in between."""
    draw = random.Random(seed)
    keys: list[str] = []
    waiting: list[str] = []
    for minute in range(12):
        moment = at(1, minute)
        record = change(
            testbed, ami, draw.random() < 0.5, moment=moment, omitted=draw.random() < 0.4
        )
        keys.append(testbed.put(record))
        waiting.append(keys[-1])
        with time_machine.travel(at(1, minute).replace(second=30), tick=False):
            while waiting and draw.random() < 0.6:
                testbed.announce(waiting.pop(draw.randrange(len(waiting))))
                testbed.run()
            if draw.random() < 0.3:
                describe(testbed)
    draw.shuffle(waiting)
    for key in [*waiting, *draw.choices(keys, k=3)]:
        testbed.announce(key)
        testbed.run()
    if queued.named(DESCRIBE):
        describe(testbed)
    assert is_tagged(ami) is bool(
        ec2(testbed).describe_tags(Filters=[{"Name": "resource-id", "Values": [ami]}])["Tags"]
    )
