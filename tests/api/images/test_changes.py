"""Changes of images: history, stale usage, and calculations that run at the same time."""

from datetime import date

import pytest
from django.db import transaction

from api.images.changes import change_images, create_images
from api.metering.usage import calculate_usage
from api.models import (
    Cause,
    CloudType,
    ConcurrentUsage,
    ImageFact,
    MachineImage,
    StaleUsage,
)
from tests import factories
from tests.factories import utc
from tests.threads import in_thread, in_threads

RED_HAT = "309956199498"


def make_rhel(image):
    factories.set_rhel(image, True)
    return {"rules": ["rhel_release_files"]}


def total(user):
    counts = ConcurrentUsage.objects.get(user=user, date=date(2023, 3, 10)).maximum_counts
    return counts[0][-1] if counts else 0


@pytest.mark.django_db
def test_a_new_image_has_its_facts_and_their_history():
    image = MachineImage(
        cloud_type=CloudType.AWS,
        cloud_image_id="ami-1",
        name="RHEL-9-ACCESS2-x",
        owner_aws_account_id=RED_HAT,
        architecture="x86_64",
    )
    (created,) = create_images(images=[image], reason=ImageFact.Reason.DESCRIBE, ref="7")
    assert (created.is_rhel, created.is_cloud_access, created.is_marketplace) == (True, True, False)
    (fact,) = created.facts.all()
    assert (fact.is_rhel, fact.architecture, fact.reason, fact.ref) == (
        True,
        "x86_64",
        "describe",
        "7",
    )


@pytest.mark.django_db
def test_a_known_image_is_left_as_it_is():
    known = factories.make_aws_image(cloud_image_id="ami-1", name="first")
    again = MachineImage(cloud_type=CloudType.AWS, cloud_image_id="ami-1", name="second")
    assert create_images(images=[again], reason=ImageFact.Reason.DESCRIBE) == []
    known.refresh_from_db()
    assert known.name == "first"


@pytest.mark.django_db
def test_a_change_that_does_not_count_withdraws_nothing():
    image = factories.make_aws_image()
    factories.make_run(
        instance=factories.make_instance(image=image), start=utc("2023-03-10T01:00:00")
    )
    StaleUsage.objects.all().delete()

    def prepare(image):
        image.status = MachineImage.Status.PREPARING

    assert change_images(image_ids=[image.id], change=prepare, reason="operator") == 0
    assert StaleUsage.objects.count() == 0
    assert image.facts.count() == 0


@pytest.mark.django_db
def test_a_result_withdraws_the_days_of_the_images_runs():
    image = factories.make_aws_image()
    run = factories.make_run(
        instance=factories.make_instance(image=image),
        start=utc("2023-03-10T01:00:00"),
        end=utc("2023-03-11T00:00:00"),
    )
    StaleUsage.objects.all().delete()
    assert (
        change_images(image_ids=[image.id], change=make_rhel, reason="inspection", ref="e-1") == 1
    )
    mark = StaleUsage.objects.get()
    assert (mark.user, mark.first_day, mark.last_day, mark.cause) == (
        run.cloud_account.user,
        date(2023, 3, 10),
        date(2023, 3, 11),
        Cause.IMAGE_CHANGED,
    )
    fact = image.facts.get()
    assert (fact.is_rhel, fact.reason, fact.evidence) == (
        True,
        "inspection",
        {"rules": ["rhel_release_files"]},
    )
    assert change_images(image_ids=[image.id], change=make_rhel, reason="inspection") == 0


@pytest.mark.django_db(transaction=True)
def test_a_run_stored_while_its_image_changes_is_counted_right():
    """The change does not see the run, whose days are then calculated before the change commits."""
    user = factories.make_user()
    account = factories.make_aws_account(user=user)
    image = factories.make_aws_image()
    instance = factories.make_instance(account=account, image=image)
    with transaction.atomic():
        change_images(image_ids=[image.id], change=make_rhel, reason="inspection")
        # Naming an image in a run does not wait for a change of the image, a calculation does.
        in_threads(lambda: _store_run(instance, user))
        calculation = in_thread(lambda: calculate_usage(user_id=user.id))
        with pytest.raises(TimeoutError):
            calculation.result(1)
    calculation.result(30)
    calculate_usage(user_id=user.id)
    assert total(user) == 1


def _store_run(instance, user):
    with transaction.atomic():
        factories.make_run(
            instance=instance,
            start=utc("2023-03-10T01:00:00"),
            end=utc("2023-03-10T02:00:00"),
        )
        StaleUsage.objects.create(
            user=user,
            first_day=date(2023, 3, 10),
            last_day=date(2023, 3, 10),
            cause=Cause.RUN_ADDED,
        )
