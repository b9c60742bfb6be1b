"""Several workers at the same logs (spec 04 §8.9, §12; 03 §11)."""

import threading
from datetime import UTC, datetime

import pytest
from django.db import connection

from api.clouds.aws import deliveries, lookup
from api.clouds.aws.ingest import ingest
from api.clouds.aws.queues import Message
from api.models import IngestHour, IngestObject, Instance, InstanceEvent, MachineImage
from tests.api.clouds.aws.scene import make_account, runs
from tests.generators import cloudtrail as trail
from tests.generators.fleet import Fleet

pytestmark = pytest.mark.django_db(transaction=True)

WORKERS = 4


@pytest.fixture
def store(monkeypatch, queued):
    contents: dict[str, bytes] = {}

    def fetch(announced):
        data = contents[announced.key]
        return deliveries.Content(data, "", "", len(data))

    monkeypatch.setattr(deliveries, "_fetch", fetch)
    monkeypatch.setattr(lookup, "describe_instances", lambda *_: iter(()))
    monkeypatch.setattr(lookup, "describe_images", lambda *_: iter(()))
    return contents


def messages_of(store, files):
    for file in files:
        store[file.key] = file.body
    return [
        Message(file.key, "r", trail.notification("b", file.key), datetime.now(UTC), 1)
        for file in files
    ]


def work_at_once(batches):
    """Let each worker ingest its batches, all beginning together; nothing may fail."""
    ready = threading.Barrier(len(batches))
    failures = []

    def work(mine):
        try:
            ready.wait()
            for batch in mine:
                failures.extend(one for one in batch if one not in ingest(batch))
        except BaseException as error:
            failures.append(error)
            raise
        finally:
            connection.close()

    threads = [threading.Thread(target=work, args=(mine,)) for mine in batches]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []


def in_batches(messages, size=5):
    return [messages[first : first + size] for first in range(0, len(messages), size)]


def test_the_same_logs_at_the_same_time(store):
    make_account(trail.ACCOUNT)
    fleet = Fleet(1, noise=1).live(40)
    messages = messages_of(store, fleet.files())
    work_at_once([in_batches(messages) for _ in range(WORKERS)])
    assert InstanceEvent.objects.count() == len(fleet.expected.events)
    assert runs() == fleet.spans
    stored = sum(IngestObject.objects.values_list("stored", flat=True))
    assert stored == InstanceEvent.objects.count()
    assert sum(IngestHour.objects.values_list("stored", flat=True)) == stored


def test_the_logs_of_several_customers_that_share_images(store):
    """Everybody uses the same AMIs, which nobody knows at first, in orders of their own."""
    fleets = []
    images = [f"ami-{number:02}" for number in range(30)]
    for place in range(WORKERS):
        account = make_account(f"{place + 1:012}")
        order = images[place * 7 :] + images[: place * 7]
        fleets.append(Fleet(50 + place, account=account.aws_account_id, images=order).live(40))
    messages = messages_of(store, [file for fleet in fleets for file in fleet.files()])
    work_at_once([in_batches(messages[place::WORKERS]) for place in range(WORKERS)])
    assert runs() == sorted(span for fleet in fleets for span in fleet.spans)
    owners = Instance.objects.values_list("cloud_instance_id", "cloud_account__aws_account_id")
    assert dict(owners) == {one.id: fleet.account for fleet in fleets for one in fleet.machines}
    used = {image for fleet in fleets for image in fleet.expected.images.values()}
    known = MachineImage.objects.values_list("cloud_image_id", flat=True)
    assert len(known) == len(set(known))
    assert used <= set(known)
