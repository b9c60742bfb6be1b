"""The database is asked as often for many records as for few (spec 04 §12)."""

from datetime import UTC, datetime

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from api.clouds.aws.cloudtrail import enrich, read
from api.clouds.aws.describe.ec2 import RUNNING, DescribedInstance
from api.clouds.aws.provisioning.queues import Message
from api.models import InstanceEvent
from tests.api.clouds.aws.testbed import at, ingest, make_account
from tests.factories import make_aws_image, make_event, make_instance, make_tags, number
from tests.generators import cloudtrail as trail
from tests.generators.cloudtrail import launched

pytestmark = pytest.mark.django_db


@pytest.fixture
def account(monkeypatch, queued):
    def described(arn, region, ids):
        for name in ids:
            yield DescribedInstance(name, "ami-gone", "m5.large", None, RUNNING, False, {})

    monkeypatch.setattr(enrich, "describe_instances", described)
    monkeypatch.setattr(enrich, "describe_images", lambda *_: iter(()))
    return make_account(trail.ACCOUNT)


def statements(monkeypatch, records):
    key = trail.log_key(name=f"N{number()}")
    data = trail.log_file(records)
    content = read.Content(data, "", "", len(data))
    monkeypatch.setattr(read, "fetch", lambda notified: content)
    message = Message("m", "r", trail.notification("b", key), datetime.now(UTC), 1)
    with CaptureQueriesContext(
        connection,
    ) as queries:
        assert ingest([message]) == [message]
    return len(queries)


def test_of_known_instances(account, monkeypatch):
    image = make_aws_image()
    make_tags(account=account, image=image, rhel=False, described_at=at(0, day=1))
    instances = [make_instance(account=account, image=image) for _ in range(20)]
    for instance in instances:
        make_event(instance=instance, occurred_at=at(0, day=1))

    def records(count, day):
        return [
            trail.stop_instances(
                instances[place % 20].cloud_instance_id,
                at=at(place // 60, place % 60, day=day),
            )
            for place in range(count)
        ]

    few = statements(monkeypatch, records(10, 2))
    many = statements(monkeypatch, records(1000, 3))
    assert few == many <= 60
    assert InstanceEvent.objects.count() == 20 + 10 + 1000


def test_of_new_instances_and_images(account, monkeypatch):
    def records(count, day):
        return [
            trail.run_instances(
                launched(f"i-{day}{place}", image=f"ami-{day}{place % 100}"), at=at(0, day=day)
            )
            for place in range(count)
        ]

    few = statements(monkeypatch, records(10, 2))
    many = statements(monkeypatch, records(1000, 3))
    assert few == many <= 60


def test_of_instances_that_have_to_be_described(account, monkeypatch):
    def records(count, day):
        return [
            trail.start_instances(f"i-{day}{place}", at=at(1, day=day)) for place in range(count)
        ]

    few = statements(monkeypatch, records(10, 2))
    many = statements(monkeypatch, records(1000, 3))
    assert many <= few <= 60


def test_of_tags(account, monkeypatch):
    images = [make_aws_image().cloud_image_id for _ in range(300)]

    def records(some):
        return [trail.create_tags(one, at=at(1)) for one in some]

    few = statements(monkeypatch, records(images[:10]))
    many = statements(monkeypatch, records(images[10:]))
    assert few == many <= 60
