"""Whether an instance's RHEL is its owner's, the cloud's, or nobody knows (spec 11 §2)."""

from datetime import datetime
from typing import NamedTuple

import pytest
from django.db import connection

from api.billing.classes import billing_class
from api.billing.stretches import STRETCHES
from api.models import Run
from tests import factories
from tests.api.metering.notation import at

pytestmark = pytest.mark.django_db

SOLD = [{"ProductCodeId": "abc", "ProductCodeType": "marketplace"}]
RED_HAT = "309956199498"
BYOS, PAYG, STRANGE = "RunInstances:00g0", "RunInstances:0010", "RunInstances:9999"
GOOGLE = "https://www.googleapis.com/compute/v1/projects/rhel-cloud/global/licenses"

AWS = [
    # (columns of the image, columns of the fact, RHEL by inspection, class)
    ({}, {"usage_operation": "RunInstances:00g0"}, True, "own"),
    ({}, {"usage_operation": "RunInstances:0010"}, True, "cloud"),
    ({}, {"usage_operation": "RunInstances:1010"}, False, "cloud"),
    ({}, {"usage_operation": "RunInstances:0014"}, True, "cloud"),
    ({}, {"usage_operation": "RunInstances:1014"}, True, "cloud"),
    ({}, {"usage_operation": "RunInstances:1110"}, True, "cloud"),
    ({}, {"usage_operation": "RunInstances:0110"}, True, "cloud"),
    ({}, {"usage_operation": "RunInstances:0210"}, True, "cloud"),
    ({}, {"usage_operation": "RunInstances"}, True, "own"),
    ({}, {"usage_operation": "RunInstances"}, False, "unknown"),
    ({}, {"usage_operation": "RunInstances:0004"}, True, "own"),
    ({}, {"usage_operation": "RunInstances:9999"}, True, "unknown"),
    ({}, {"usage_operation": "RunInstances:0002"}, True, "unknown"),
    ({}, {"usage_operation": "RunInstances", "product_codes": SOLD}, True, "cloud"),
    ({}, {"usage_operation": "RunInstances:00g0", "product_codes": SOLD}, True, "own"),
    ({}, {"product_codes": [{"ProductCodeId": "x", "ProductCodeType": "devpay"}]}, True, "own"),
    # The instance says more than its image.
    ({"usage_operation": PAYG}, {"usage_operation": BYOS}, True, "own"),
    ({"usage_operation": PAYG}, {"usage_operation": STRANGE}, True, "unknown"),
    # Without a word about the instance its image decides.
    ({"usage_operation": "RunInstances:0010"}, {}, True, "cloud"),
    ({"usage_operation": "RunInstances:0010"}, None, True, "cloud"),
    ({"usage_operation": None}, None, True, "unknown"),
    ({"marketplace": True}, None, False, "cloud"),
    ({"owner_aws_account_id": RED_HAT, "name": "RHEL-9-Hourly2-GP2"}, None, False, "cloud"),
    ({"owner_aws_account_id": "1" * 12, "name": "RHEL-9-Hourly2-GP2"}, None, False, "unknown"),
    ({"owner_aws_account_id": RED_HAT, "name": "RHEL-9-Access2-GP2"}, None, False, "own"),
]

AZURE = [
    ({}, {"licenses": ["RHEL_BYOS"]}, True, "own"),
    ({}, {"licenses": ["rhel_byos"]}, True, "own"),
    ({}, {"licenses": ["RHEL_BASE"]}, True, "cloud"),
    ({}, {"licenses": ["RHEL_SAPHA"]}, False, "cloud"),
    ({}, {"licenses": ["SLES_BYOS"]}, True, "unknown"),
    ({}, {}, True, "own"),
    ({}, {}, False, "unknown"),
    ({"publisher": "RedHat", "offer": "RHEL"}, {}, False, "cloud"),
    ({"publisher": "RedHat", "offer": "rhel-byos"}, {}, True, "own"),
    ({"publisher": "RedHat", "offer": "RHEL"}, {"licenses": ["RHEL_BYOS"]}, True, "own"),
    ({"publisher": "RedHat", "offer": "rhel-byos"}, {"licenses": ["RHEL_BASE"]}, True, "cloud"),
    ({"publisher": "RedHat", "offer": "RHEL"}, {"licenses": ["None"]}, True, "cloud"),
    ({"publisher": "RedHat", "offer": "RHEL"}, None, True, "cloud"),
    (
        {"publisher": "", "offer": ""},
        {"image": {"id": "x", "plan": {"publisher": "redhat", "product": "rhel-byos"}}},
        False,
        "own",
    ),
]


class Stretch(NamedTuple):
    run_id: int
    since: datetime
    until: datetime | None
    billing: str


def stretches(*, user_id, begin, limit):
    with connection.cursor() as cursor:
        cursor.execute(
            f"WITH {STRETCHES} SELECT run_id, since, until, billing FROM billed"
            " ORDER BY run_id, since",
            {"user": user_id, "begin": begin, "limit": limit},
        )
        return list(map(Stretch._make, cursor.fetchall()))


def class_of_run(environment):
    [stretch] = stretches(user_id=environment.user.id, begin=at("09T00"), limit=at("11T00"))
    return stretch.billing


def check(environment, observe, instance, fact, expected):
    factories.make_run(instance=instance, start=at("10T00"))
    if fact is not None:
        observe(instance, "10T00", **fact)
    assert class_of_run(environment) == expected


@pytest.mark.parametrize(("image", "fact", "is_rhel", "expected"), AWS)
def test_class_of_an_ec2_instance(environment, observe, image, fact, is_rhel, expected):
    made = environment.image(result={"rhel_release_files_found": is_rhel}, **image)
    check(environment, observe, environment.instance(image=made), fact, expected)


@pytest.mark.parametrize(("image", "fact", "is_rhel", "expected"), AZURE)
def test_class_of_an_azure_machine(environment, observe, image, fact, is_rhel, expected):
    account = factories.make_azure_account(user=environment.user)
    made = factories.make_azure_image(user=environment.user, rhel_detected_by_tag=is_rhel, **image)
    instance = factories.make_instance(account=account, image=made)
    check(environment, observe, instance, fact, expected)


@pytest.mark.parametrize(
    ("licenses", "expected"),
    [
        ([f"{GOOGLE}/rhel-8-byos"], "own"),
        (["projects/rhel-cloud/global/licenses/rhel-8-server"], "cloud"),
        (["rhel-9-server"], "cloud"),
        (["projects/debian-cloud/global/licenses/debian-11"], "unknown"),
        (None, "unknown"),
    ],
)
def test_class_by_a_google_licence(environment, observe, licenses, expected):
    observe(environment.instance(image=False), "10T00", licenses=licenses)
    expression = billing_class(cloud_type="'gcp'", is_rhel="true")
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT {expression}"
            " FROM api_instancefact fact LEFT JOIN api_machineimage image ON false"
        )
        assert cursor.fetchall() == [(expected,)]


def test_a_tag_of_the_customer_makes_a_plain_instance_own(environment, observe):
    image = environment.plain_image()
    instance = environment.instance(image=image)
    factories.make_run(instance=instance, start=at("10T00"))
    observe(instance, "10T00", usage_operation="RunInstances")
    factories.make_tags(account=factories.make_aws_account(), image=image)
    assert class_of_run(environment) == "unknown"
    other = factories.make_aws_account(user=environment.user)
    factories.make_tags(account=other, image=image)
    assert class_of_run(environment) == "own"


def of_runs(environment):
    found = stretches(user_id=environment.user.id, begin=at("01T00"), limit=at("12T00"))
    return [(one.since, one.until, one.billing) for one in found]


def make_runs(instance, *spans):
    for start, end in spans:
        factories.make_run(instance=instance, start=at(start), end=end and at(end))


def test_a_conversion_holds_from_the_start_that_followed_it(environment, observe):
    instance = environment.instance()
    make_runs(instance, ("08T00", "09T00"), ("10T00", None))
    observe(instance, "08T06", usage_operation="RunInstances:00g0")
    observe(instance, "10T06", usage_operation="RunInstances:0010")
    assert of_runs(environment) == [
        (at("08T00"), at("09T00"), "own"),
        (at("10T00"), None, "cloud"),
    ]


def test_a_conversion_seen_while_stopped_holds_for_the_next_run(environment, observe):
    instance = environment.instance()
    make_runs(instance, ("08T00", "09T00"), ("10T00", None))
    observe(instance, "08T06", usage_operation="RunInstances:00g0")
    observe(instance, "09T06", usage_operation="RunInstances:0010")
    assert [one[2] for one in of_runs(environment)] == ["own", "cloud"]


def test_a_conversion_without_a_stop_that_is_known_divides_the_run(environment, observe):
    make_runs(instance := environment.instance(), ("08T00", None))
    observe(instance, "08T06", usage_operation="RunInstances:00g0")
    observe(instance, "10T06", usage_operation="RunInstances:0010")
    assert of_runs(environment) == [
        (at("08T00"), at("10T06"), "own"),
        (at("10T06"), None, "cloud"),
    ]


def test_an_azure_licence_changes_while_the_machine_is_on(environment, observe):
    account = factories.make_azure_account(user=environment.user)
    image = factories.make_azure_image(user=environment.user, rhel_detected_by_tag=True)
    instance = factories.make_instance(account=account, image=image)
    make_runs(instance, ("08T00", "09T00"), ("10T00", None))
    observe(instance, "08T00", licenses=["RHEL_BYOS"])
    observe(instance, "10T06", licenses=["RHEL_BASE"])
    assert of_runs(environment) == [
        (at("08T00"), at("09T00"), "own"),
        (at("10T00"), at("10T06"), "own"),
        (at("10T06"), None, "cloud"),
    ]


def test_what_the_first_describe_says_holds_from_the_launch(environment, observe):
    make_runs(instance := environment.instance(), ("08T00", None))
    observe(instance, "08T00", zone="us-east-1a")
    observe(instance, "08T09", zone="us-east-1a", usage_operation="RunInstances:0010")
    assert {one[2] for one in of_runs(environment)} == {"cloud"}


def test_an_instance_that_nobody_described_has_its_images_class(environment):
    make_runs(environment.instance(), ("08T00", "08T00"))
    assert of_runs(environment) == [(at("08T00"), at("08T00"), "own")]


def test_runs_of_other_customers_and_times_are_left_out(environment):
    make_runs(environment.instance(), ("08T00", "09T00"))
    make_runs(factories.make_instance(image=environment.image()), ("08T00", None))
    user = environment.user.id
    assert not stretches(user_id=user, begin=at("09T01"), limit=at("12T00"))
    assert not stretches(user_id=user, begin=at("06T00"), limit=at("07T00"))
    assert Run.objects.count() == 2
