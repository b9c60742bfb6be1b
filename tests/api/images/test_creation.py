"""Storing images that are new, among many that are not (spec 05 §1, README decision 25)."""

import pytest
from django.db import connection

from api.images.changes import _rows_of, create_images
from api.models import CloudType, ImageFact, MachineImage
from tests.factories import make_aws_image, make_azure_image, make_user

pytestmark = pytest.mark.django_db

REASON = ImageFact.Reason.DESCRIBE


def sku(user, name="8-lvm"):
    return MachineImage(
        cloud_type=CloudType.AZURE,
        user=user,
        publisher="redhat",
        offer="rhel",
        cloud_image_id=name,
    )


def test_customers_who_use_one_sku_have_a_row_each():
    users = [make_user() for _ in range(3)]
    for user in users:
        (created,) = create_images(images=[sku(user)], reason=REASON)
        assert created.user == user
        assert create_images(images=[sku(user)], reason=REASON) == []
    assert MachineImage.objects.count() == ImageFact.objects.count() == 3


def test_the_rows_of_other_customers_are_not_read(monkeypatch):
    for _ in range(20):
        make_azure_image(user=make_user(), publisher="redhat", offer="rhel", cloud_image_id="8-lvm")
    read = []
    from_db = MachineImage.from_db
    monkeypatch.setattr(
        MachineImage, "from_db", lambda *row: read.append(row) or from_db(*row), raising=True
    )
    user = make_user()
    created = create_images(images=[sku(user), sku(user, "9-lvm")], reason=REASON)
    assert len(created) == len(read) == 2


def test_known_images_are_not_read_with_their_results(monkeypatch):
    make_aws_image(cloud_image_id="ami-1", inspection_json='{"a": 1}')
    monkeypatch.setattr(MachineImage, "from_db", lambda *row: pytest.fail("was read"))
    ami = MachineImage(cloud_type=CloudType.AWS, cloud_image_id="ami-1")
    assert create_images(images=[ami], reason=REASON) == []
    assert create_images(images=[], reason=REASON) == []


def test_images_are_looked_up_by_indexes():
    ami = MachineImage(cloud_type=CloudType.AWS, cloud_image_id="ami-1")
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL enable_seqscan = off")
    for images in ([ami], [sku(make_user())], [ami, sku(make_user())]):
        assert "Seq Scan" not in _rows_of(images).explain()
