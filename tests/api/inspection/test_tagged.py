"""Whom a customer's RHEL tag keeps from looking into an AMI (README decisions 34, 52; 05 §3)."""

import pytest

from api.images.tags import RHEL, ImageTagChange, store_tags
from api.images.users import inspect_after_all
from api.inspection.reinspection import reinspect_image
from tests.api.inspection import testbed as names
from tests.api.inspection.testbed import REGION, Testbed, attempts, fresh, result
from tests.factories import make_aws_account, make_instance, make_tags
from util import clock

pytestmark = pytest.mark.django_db


@pytest.fixture
def other(testbed: Testbed):
    """Another customer's account."""
    return make_aws_account(aws_account_id=names.OTHER)


@pytest.fixture
def tagged(testbed: Testbed):
    """An image that its only user's tag has settled."""
    image = testbed.image("ami-1")
    make_tags(account=testbed.account, image=image)
    testbed.start(image)
    assert (fresh(image).status, attempts(image)) == ("inspected", [])
    return image


def copied_by(testbed: Testbed):
    """Return the ARNs by which copies were queued."""
    return [task.args[0] for task in testbed.queued.named(names.COPY)]


def test_who_uses_it_without_the_tag_is_asked_in_place_of_who_tagged_it(testbed, other):
    image = testbed.image("ami-1")
    make_tags(account=testbed.account, image=image)
    make_instance(account=other, image=image)
    testbed.start(image)
    assert (fresh(image).status, copied_by(testbed)) == ("preparing", [other.account_arn])
    assert [attempt.arn for attempt in attempts(image)] == [other.account_arn]


def test_the_tag_of_a_customer_holds_for_all_their_accounts(testbed):
    image = testbed.image("ami-1", used=False)
    second = make_aws_account(user=testbed.account.user)
    make_tags(account=second, image=image)
    make_instance(account=testbed.account, image=image)
    testbed.start(image)
    assert (fresh(image).status, attempts(image)) == ("inspected", [])


def test_another_customers_tag_keeps_nobody_out(testbed, other):
    image = testbed.image("ami-1")
    make_tags(account=other, image=image)
    make_instance(account=other, image=image)
    testbed.start(image)
    assert copied_by(testbed) == [testbed.arn]


def test_it_is_inspected_as_soon_as_somebody_uses_it_without_the_tag(testbed, other, tagged):
    make_instance(account=other, image=tagged)
    inspect_after_all([tagged.id])
    assert fresh(tagged).status == "pending"
    assert testbed.queued == [
        (names.START, ([[other.account_arn, "ami-1", REGION]],), {}, None),
    ]
    testbed.work()
    assert [attempt.arn for attempt in attempts(tagged)] == [other.account_arn]


def test_the_restart_finds_what_nobody_noticed(testbed, other, tagged):
    testbed.run(names.RESTART)
    assert (fresh(tagged).status, testbed.queued) == ("inspected", [])
    make_instance(account=other, image=tagged)
    testbed.run(names.RESTART)
    assert fresh(tagged).status == "pending"
    assert testbed.queued.names == [names.START]


@pytest.mark.parametrize(
    "columns", [{"is_enabled": False}, {"platform_application_is_paused": True}]
)
def test_accounts_that_are_not_metered_do_not_count_as_users(testbed, tagged, columns):
    make_instance(account=make_aws_account(**columns), image=tagged)
    inspect_after_all([tagged.id])
    assert (fresh(tagged).status, testbed.queued) == ("inspected", [])


@pytest.mark.parametrize(
    "columns",
    [
        {"inspection_json": "{}"},
        {"marketplace": True},
        {"platform": "windows"},
        {"name": "RHEL-Access2-", "owner_aws_account_id": "309956199498"},
        {"status": "error"},
        {"status": "unavailable"},
    ],
)
def test_what_is_settled_by_other_things_stays_so(testbed, columns):
    image = testbed.image("ami-1", **({"status": "inspected"} | columns))
    before = fresh(image).status
    inspect_after_all([image.id])
    assert (fresh(image).status, testbed.queued) == (before, [])


def test_reinspection_is_through_whoever_has_not_tagged_it(testbed, other, tagged):
    make_instance(account=other, image=tagged)
    reinspect_image(image_id=tagged.id)
    assert testbed.queued == [
        (names.START, ([[other.account_arn, "ami-1", REGION]],), {}, None),
    ]


def test_a_turn_is_through_whoever_has_not_tagged_it(testbed, other, settings):
    settings.MAX_CONCURRENT_INSPECTIONS = 0
    image = testbed.image("ami-1")
    make_tags(account=testbed.account, image=image)
    make_instance(account=other, image=image)
    testbed.start(image)
    assert fresh(image).status == "pending"
    settings.MAX_CONCURRENT_INSPECTIONS = 1
    testbed.run(names.RESTART)
    assert copied_by(testbed) == [other.account_arn]


def test_a_result_counts_for_those_without_the_tag(testbed, other, tagged):
    make_instance(account=other, image=tagged)
    inspect_after_all([tagged.id])
    testbed.work()
    testbed.deliver(result("ami-1", entry={"rhel_release_files_found": False}))
    assert testbed.persist() == (1, 0)
    image = fresh(tagged)
    assert (image.status, image.rhel_detected_by_tag, image.is_rhel) == ("inspected", True, True)
    store_tags([ImageTagChange(testbed.account.id, image.id, RHEL, False, clock.now(), {})])
    image = fresh(tagged)
    assert (image.rhel_detected_by_tag, image.is_rhel) == (False, False)
