"""Several workers at the same logs (spec 04 §8.9, §12; 03 §11)."""

from functools import partial

import pytest

from api.models import IngestHour, IngestObject, Instance, InstanceEvent, MachineImage
from tests.api.clouds.aws.testbed import ingest, make_account, runs
from tests.generators import cloudtrail as trail
from tests.generators.fleet import Fleet
from tests.threads import in_threads

pytestmark = pytest.mark.django_db(transaction=True)

WORKERS = 4


def work_at_once(batches):
    """Let each worker ingest its batches, all beginning together; nothing may fail."""

    def work(mine):
        return [one for batch in mine for one in batch if one not in ingest(batch)]

    assert in_threads(*[partial(work, mine) for mine in batches]) == [[]] * len(batches)


def in_batches(messages, size=5):
    return [messages[first : first + size] for first in range(0, len(messages), size)]


def test_the_same_logs_at_the_same_time(logs):
    make_account(trail.ACCOUNT)
    fleet = Fleet(1, noise=1).live(40)
    messages = logs.notified(fleet.files())
    work_at_once([in_batches(messages) for _ in range(WORKERS)])
    assert InstanceEvent.objects.count() == len(fleet.expected.events)
    assert runs() == fleet.spans
    stored = sum(IngestObject.objects.values_list("stored", flat=True))
    assert stored == InstanceEvent.objects.count()
    assert sum(IngestHour.objects.values_list("stored", flat=True)) == stored


def test_the_logs_of_several_customers_that_share_images(logs):
    """Everybody uses the same AMIs, which nobody knows at first, in orders of their own."""
    fleets = []
    images = [f"ami-{number:02}" for number in range(30)]
    for place in range(WORKERS):
        account = make_account(f"{place + 1:012}")
        order = images[place * 7 :] + images[: place * 7]
        fleets.append(Fleet(50 + place, account=account.aws_account_id, images=order).live(40))
    messages = logs.notified([file for fleet in fleets for file in fleet.files()])
    work_at_once([in_batches(messages[place::WORKERS]) for place in range(WORKERS)])
    assert runs() == sorted(span for fleet in fleets for span in fleet.spans)
    owners = Instance.objects.values_list("cloud_instance_id", "cloud_account__aws_account_id")
    assert dict(owners) == {one.id: fleet.account for fleet in fleets for one in fleet.machines}
    used = {image for fleet in fleets for image in fleet.expected.images.values()}
    known = MachineImage.objects.values_list("cloud_image_id", flat=True)
    assert len(known) == len(set(known))
    assert used <= set(known)
