"""Migrations 0008 and 0009: tags of AMIs become tags of accounts (README decision 34)."""

from importlib import import_module
from types import SimpleNamespace

import pytest
from django.db import connection

from api.images.tags import RHEL, SeenTags, store_tags
from api.metering import recalculate
from api.models import ImageFact, ImageTags, MachineImage
from tests import factories
from tests.factories import utc
from util import clock

pytestmark = pytest.mark.django_db

schema = import_module("api.migrations.0008_image_tags")
data = import_module("api.migrations.0009_image_tags_data")

NOON = utc("2023-03-10T12:00:00")


def migrate():
    with connection.cursor() as cursor:
        cursor.execute(data.ACCOUNTS)
        cursor.execute(data.HISTORY)


def total(user):
    factories.make_stale(user=user, first_day=NOON.date(), last_day=NOON.date())
    recalculate.recalculate_usage_of_user(user_id=user.id, since=NOON.date())
    counts = user.concurrent_usage.get(date=NOON.date()).maximum_counts
    return counts[0][-1] if counts else 0


@pytest.fixture
def image():
    """An AMI as the previous version had it: tagged, nobody knows by whom."""
    image = factories.make_aws_image()
    MachineImage.objects.filter(id=image.id).update(
        rhel_detected_by_tag=True, is_rhel=True, rhel_tag_at=NOON
    )
    return image


@pytest.fixture
def accounts(image):
    """Two customers' accounts in which it ran."""
    made = [factories.make_aws_account() for _ in range(2)]
    for account in made:
        factories.make_run(
            instance=factories.make_instance(account=account, image=image),
            start=NOON,
            end=utc("2023-03-10T13:00:00"),
        )
    return made


def test_no_count_changes(image, accounts, queued):
    migrate()
    assert [total(account.user) for account in accounts] == [1, 1]
    assert ImageFact.objects.filter(user=None).get().is_rhel is False
    told = ImageFact.objects.filter(is_rhel=True, reason="tag").values_list("user_id", flat=True)
    assert set(told) == {account.user_id for account in accounts}


def test_the_owner_keeps_the_tag_and_strangers_get_none(image, accounts, queued):
    owner, stranger = factories.make_aws_account(), factories.make_aws_account()
    MachineImage.objects.filter(id=image.id).update(owner_aws_account_id=owner.aws_account_id)
    migrate()
    tagged = ImageTags.objects.filter(rhel=True, rhel_at=None, described_at=None)
    ids = {account.id for account in (*accounts, owner)}
    assert set(tagged.values_list("cloud_account_id", flat=True)) == ids
    assert stranger.id not in ids


def test_what_a_description_says_later_is_believed(image, accounts, queued):
    migrate()
    mine, theirs = accounts
    store_tags(
        [],
        [
            SeenTags(mine.id, image.id, frozenset({RHEL}), clock.now(), NOON),
            SeenTags(theirs.id, image.id, frozenset(), clock.now(), NOON),
        ],
    )
    assert [total(account.user) for account in accounts] == [1, 0]


def test_images_without_tags_get_no_rows(queued):
    factories.make_instance(account=factories.make_aws_account(), image=factories.make_aws_image())
    migrate()
    assert not ImageTags.objects.exists()
    assert not ImageFact.objects.exists()


def test_the_previous_version_deletes_without_knowing_the_rows(image, accounts, queued):
    migrate()
    account = accounts[0]
    with connection.cursor() as cursor:
        for table in ("api_run", "api_instance"):
            cursor.execute(f"DELETE FROM {table} WHERE cloud_account_id = %s", [account.id])
        cursor.execute("DELETE FROM api_cloudaccount WHERE id = %s", [account.id])
        cursor.execute("DELETE FROM api_usertasklock WHERE user_id = %s", [account.user_id])
        cursor.execute("DELETE FROM api_staleusage WHERE user_id = %s", [account.user_id])
        cursor.execute("DELETE FROM api_user WHERE id = %s", [account.user_id])
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
    assert not ImageTags.objects.filter(cloud_account_id=account.id).exists()
    assert not ImageFact.objects.filter(user_id=account.user_id).exists()


@pytest.mark.django_db(transaction=True)
def test_the_tables_may_be_made_twice(transactional_db):
    schema.change_tables(None, SimpleNamespace(connection=connection))
    assert not ImageTags.objects.exists()
