"""An image that two customers use: each sees what their own tags say (README decision 34)."""

import pytest

from tests import factories

pytestmark = pytest.mark.django_db


@pytest.fixture
def image(customer_a, customer_b):
    """An AMI that A tagged in an account without instances, and that A and B use in others."""
    image = factories.make_aws_image()
    for user in (customer_a, customer_b):
        factories.make_instance(account=factories.make_aws_account(user=user), image=image)
    factories.make_tags(
        account=factories.make_aws_account(user=customer_a), image=image, openshift=True
    )
    return image


FLAGS = ("rhel", "rhel_detected", "rhel_detected_by_tag", "openshift", "openshift_detected")


def flags(answer):
    return {answer[name] for name in FLAGS}


def test_list_and_detail(as_a, as_b, image):
    for caller, expected in ((as_a, True), (as_b, False)):
        (listed,) = caller.get("/images/").json()["data"]
        assert listed == caller.get(f"/images/{image.id}/").json()
        assert flags(listed) == {expected}


def test_filter(as_a, as_b, image):
    for caller, expected in ((as_a, True), (as_b, False)):
        for value in (True, False):
            listed = caller.get(f"/images/?rhel_detected={value}").json()
            assert listed["meta"]["count"] == (value == expected)
            detail = caller.get(f"/images/{image.id}/?rhel_detected={value}")
            assert detail.status_code == (200 if value == expected else 404)


def test_what_an_inspection_found_is_everybodys(as_a, as_b, image):
    image.inspection_json = '{"rhel_release_files_found": true}'
    factories.facts.apply(image).save()
    for caller, tagged in ((as_a, True), (as_b, False)):
        shown = caller.get(f"/images/{image.id}/").json()
        assert (shown["rhel"], shown["rhel_detected_by_tag"]) == (True, tagged)


def test_an_azure_image_is_its_customers_alone(as_a, customer_a):
    account = factories.make_azure_account(user=customer_a)
    image = factories.make_azure_image(
        user=customer_a, rhel_detected_by_tag=True, openshift_detected=True
    )
    factories.make_instance(account=account, image=image)
    assert flags(as_a.get(f"/images/{image.id}/").json()) == {True}
    assert as_a.get("/images/?rhel_detected=true").json()["meta"]["count"] == 1


def test_a_tag_on_an_image_that_is_not_used_shows_nothing(as_a, customer_a):
    image = factories.make_aws_image()
    factories.make_tags(account=factories.make_aws_account(user=customer_a), image=image)
    assert as_a.get("/images/").json()["data"] == []
    assert as_a.get(f"/images/{image.id}/").status_code == 404
