"""Only so many inspections at once; the others wait for their turn, and each gets it (05 §11.7)."""

from collections import Counter
from datetime import timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from api.clouds.aws.errors import AwsError, NotReadyError
from api.clouds.provider import TransientCloudError
from api.images.users import InspectionRequest
from api.inspection import attempts, slots
from api.inspection.reinspection import reinspect_image
from api.inspection.request import start_inspections, start_waiting
from api.inspection.restart import inspect_pending_images
from api.models import InspectionAttempt, MachineImage
from tests.api.inspection import testbed as names
from tests.api.inspection.testbed import REGION, fresh, result
from tests.factories import make_aws_account, make_aws_image, make_instance, make_tags, utc
from tests.threads import in_threads
from util import clock

NOON = utc("2024-05-06T12:00:00")


@pytest.fixture
def noon(time_machine):
    time_machine.move_to(NOON, tick=False)


def images_of(account, number):
    """Store new images that instances of an account use."""
    images = [make_aws_image(status="pending") for _ in range(number)]
    for image in images:
        make_instance(account=account, image=image, region=REGION)
    return images


def start(account, images):
    start_inspections(
        InspectionRequest(account.account_arn, one.cloud_image_id, REGION) for one in images
    )


def statuses():
    return Counter(MachineImage.objects.values_list("status", flat=True))


def begun(images):
    """Return which of these images have been started, in their order."""
    return [place for place, image in enumerate(images) if fresh(image).status == "preparing"]


def finish(number=None):
    """Let inspections that are in progress end well."""
    found = InspectionAttempt.objects.filter(finished_at__isnull=True).order_by("id")[:number]
    image_ids = list(found.values_list("machine_image_id", flat=True))
    MachineImage.objects.filter(id__in=image_ids).update(status="inspected")
    attempts.close(image_ids, outcome=attempts.INSPECTED)


@pytest.mark.django_db
def test_a_thousand_new_images_cost_few_statements_and_all_get_their_turn(queued):
    account = make_aws_account()
    images = images_of(account, 1000)
    with CaptureQueriesContext(connection) as statements:
        start(account, images)
    print(f"\nstarting 1,000 images of one describe: {len(statements)} statements")
    assert len(statements) < 20
    assert statuses() == {"preparing": 100, "pending": 900}
    assert InspectionAttempt.objects.count() == len(queued.named(names.COPY)) == 100
    waves = [task.countdown or 0 for task in queued]
    assert (waves, max(Counter(waves).values())) == (sorted(waves), 20)
    for more in range(2, 11):
        finish()
        with CaptureQueriesContext(connection) as statements:
            inspect_pending_images()
        assert len(statements) < 20
        assert InspectionAttempt.objects.count() == more * 100
    assert statuses() == {"preparing": 100, "inspected": 900}
    assert set(Counter(task.args[1] for task in queued).values()) == {1}


@pytest.mark.django_db(transaction=True)
def test_starts_at_the_same_time_keep_to_one_limit(queued, settings):
    settings.MAX_CONCURRENT_INSPECTIONS = 7
    accounts = [make_aws_account() for _ in range(4)]
    images = {account: images_of(account, 6) for account in accounts}
    in_threads(*(lambda one=one: start(one, images[one]) for one in accounts * 2))
    assert statuses() == {"preparing": 7, "pending": 17}
    for _ in range(10):
        finish(5)
        in_threads(start_waiting, inspect_pending_images, start_waiting)
        assert statuses()["preparing"] <= 7
    assert statuses() == {"inspected": 24}
    every = InspectionAttempt.objects.values_list("machine_image_id", flat=True)
    assert set(Counter(every).values()) == {1}
    assert InspectionAttempt.objects.count() == 24


@pytest.mark.django_db
class TestOrder:
    @pytest.fixture(autouse=True)
    def _limit(self, settings, queued, noon):
        settings.MAX_CONCURRENT_INSPECTIONS = 4

    def test_accounts_take_turns(self):
        large, small = make_aws_account(), make_aws_account()
        many, few = images_of(large, 20), images_of(small, 2)
        start(large, many)
        start(small, few)
        assert (begun(many), begun(few)) == ([0, 1, 2, 3], [])
        finish(3)
        start_waiting()
        assert (begun(many), begun(few)) == ([3, 4, 5], [0])
        finish(2)
        start_waiting()
        assert (begun(many), begun(few)) == ([5, 6], [0, 1])

    def test_who_comes_later_waits_behind_the_others(self, time_machine):
        account = make_aws_account()
        first, second = images_of(account, 6), images_of(account, 2)
        start(account, first)
        time_machine.shift(60)
        finish(1)
        start(account, second)
        assert (begun(first), begun(second)) == ([1, 2, 3, 4], [])
        start(account, second)
        finish(2)
        start_waiting()
        assert (begun(first), begun(second)) == ([3, 4, 5], [0])

    def test_those_that_can_not_be_inspected_now_hold_nobody_up(self):
        account, paused = make_aws_account(), make_aws_account()
        start(paused, held := images_of(paused, 6))
        finish()
        paused.platform_application_is_paused = True
        paused.save()
        start(account, images := images_of(account, 2))
        assert (begun(images), begun(held)) == ([0, 1], [])
        paused.platform_application_is_paused = False
        paused.save()
        inspect_pending_images()
        assert begun(held) == [4, 5]

    def test_waiting_costs_no_attempt_and_is_no_reason_for_a_restart(self, time_machine):
        account = make_aws_account()
        images = images_of(account, 5)
        start(account, images)
        last = images[-1]
        for _ in range(3):
            InspectionAttempt.objects.update(updated_at=clock.now())
            MachineImage.objects.filter(status="preparing").update(updated_at=clock.now())
            inspect_pending_images()
            time_machine.shift(3600)
        assert fresh(last).waiting_since == NOON
        time_machine.shift(24 * 3600)
        finish()
        inspect_pending_images()
        assert (fresh(last).status, fresh(last).waiting_since) == ("preparing", None)
        assert last.inspection_attempts.count() == 1

    def test_what_got_stuck_waits_like_others(self, time_machine):
        account = make_aws_account()
        images = images_of(account, 6)
        start(account, images)
        stuck = InspectionAttempt.objects.filter(machine_image=images[0])
        time_machine.shift(24 * 3600)
        InspectionAttempt.objects.exclude(machine_image=images[0]).update(updated_at=clock.now())
        MachineImage.objects.exclude(id=images[0].id).update(updated_at=clock.now())
        inspect_pending_images()
        assert (begun(images), fresh(images[0]).status) == ([1, 2, 3, 4], "pending")
        assert stuck.get().outcome == "replaced"
        finish(2)
        inspect_pending_images()
        assert begun(images) == [0, 3, 4, 5]

    def test_what_is_to_be_inspected_again_waits_like_others(self, queued):
        account = make_aws_account()
        images = images_of(account, 5)
        start(account, images[:4])
        queued.clear()
        reinspect_image(image_id=images[4].id)
        (task,) = queued
        start_inspections(InspectionRequest(*one) for one in task.args[0])
        assert fresh(images[4]).status == "pending"
        finish(1)
        start_waiting()
        assert fresh(images[4]).status == "preparing"

    def test_what_is_settled_at_once_needs_no_room(self):
        account = make_aws_account()
        start(account, images_of(account, 5))
        sold = make_aws_image(status="pending", marketplace=True)
        tagged = make_aws_image(status="pending")
        make_tags(account=account, image=tagged)
        start(account, [sold, tagged])
        assert (fresh(sold).status, fresh(tagged).status) == ("inspected", "inspected")

    def test_a_higher_limit_takes_effect_and_a_lower_one_ends_nothing(self, settings):
        account = make_aws_account()
        start(account, images_of(account, 9))
        settings.MAX_CONCURRENT_INSPECTIONS = 6
        inspect_pending_images()
        assert statuses() == {"preparing": 6, "pending": 3}
        settings.MAX_CONCURRENT_INSPECTIONS = 2
        inspect_pending_images()
        assert (statuses(), slots.free()) == ({"preparing": 6, "pending": 3}, 0)


class TestRoom:
    """What takes up room, and when it does so no more."""

    @pytest.fixture(autouse=True)
    def _limit(self, settings):
        settings.MAX_CONCURRENT_INSPECTIONS = 1

    @pytest.fixture
    def image(self, testbed):
        image = testbed.image()
        testbed.start(image)
        return image

    @pytest.fixture
    def other(self, testbed, image):
        other = testbed.image()
        testbed.start(other)
        assert fresh(other).status == "pending"
        return other

    def test_a_result_makes_room(self, testbed, image, other):
        testbed.deliver(result(image.cloud_image_id))
        assert testbed.persist() == (1, 0)
        assert fresh(other).status == "preparing"

    def test_what_can_not_be_inspected_makes_room(self, testbed, image, other):
        testbed.customers.deregister_image(ImageId=image.cloud_image_id)
        testbed.run(names.COPY, testbed.arn, image.cloud_image_id, REGION)
        testbed.run(names.RESTART)
        assert (fresh(image).status, fresh(other).status) == ("error", "preparing")

    def test_a_failure_that_nobody_repeats_makes_room_until_it_goes_on(self, testbed, image, other):
        testbed.refuse("CopySnapshot", "SomethingElse", times=1)
        with pytest.raises(AwsError):
            testbed.run(names.COPY, testbed.arn, image.cloud_image_id, REGION)
        (attempt,) = image.inspection_attempts.all()
        assert (attempt.outcome, attempt.finished_at) == ("stalled", None)
        testbed.run(names.RESTART)
        assert (fresh(image).status, fresh(other).status) == ("preparing", "preparing")
        testbed.run(names.COPY, testbed.arn, image.cloud_image_id, REGION)
        attempt.refresh_from_db()
        assert (attempt.outcome, attempt.error, slots.free()) == ("", "", 0)

    def test_what_waits_for_aws_keeps_its_room(self, testbed, image, other):
        for code in ("ResourceLimitExceeded", "RequestLimitExceeded"):
            testbed.refuse("CopySnapshot", code, times=1)
            with pytest.raises((NotReadyError, TransientCloudError)):
                testbed.run(names.COPY, testbed.arn, image.cloud_image_id, REGION)
            assert image.inspection_attempts.get().outcome == ""
        testbed.run(names.RESTART)
        assert fresh(other).status == "pending"

    def test_what_nothing_is_heard_of_makes_room(self, testbed, image, other):
        long_ago = clock.now() - slots.STALE_AFTER - timedelta(minutes=1)
        InspectionAttempt.objects.update(updated_at=long_ago)
        testbed.run(names.RESTART)
        assert fresh(other).status == "preparing"
