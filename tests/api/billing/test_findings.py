"""What is wrong in how RHEL is paid (spec 11 §2, §5); ``test_acceptance_N`` are its items."""

import pytest

from api.billing.findings import Window, findings
from api.models import Registration
from tests import factories
from tests.api.metering.notation import at

pytestmark = pytest.mark.django_db

BYOS, PAYG = "RunInstances:00g0", "RunInstances:0010"


def found(environment, begin="01T00", limit="13T00", now="12T00", **columns):
    """Return the findings of the customer in short: kind, cloud id, from, until, seconds."""
    window = Window(environment.user.id, at(begin), at(limit), at(now))
    count, rows = findings(window, limit=100)
    assert count == len(rows)
    return [
        (row["kind"], row["instance"]["instance_id"], row["from"], row["until"], row["seconds"])
        for row in rows
    ]


def run(instance, start, end=None, **columns):
    return factories.make_run(instance=instance, start=at(start), end=end and at(end), **columns)


def register(environment, instance, since, until=None, **columns):
    return Registration.objects.create(
        user=environment.user,
        cloud=instance.cloud_type,
        cloud_id=instance.cloud_instance_id.upper(),
        registered_from=at(since),
        registered_until=until and at(until),
        source="file",
        **columns,
    )


def kinds(rows):
    return [row[0] for row in rows]


def test_acceptance_3_a_conversion_while_stopped(environment, observe):
    instance = environment.instance(image=environment.image(usage_operation=BYOS))
    run(instance, "08T00", "09T00")
    run(instance, "10T00", "11T00")
    observe(instance, "08T01", usage_operation=BYOS)
    observe(instance, "10T01", usage_operation=PAYG)
    converted = ("converted", instance.id, at("10T00"), at("11T00"), 86_400)
    assert found(environment) == [("counted_but_billed", *converted[1:]), converted] or found(
        environment
    ) == [
        converted,
        ("counted_but_billed", *converted[1:]),
    ]


def test_acceptance_6_own_but_never_registered(environment, observe):
    eight, six = (
        environment.instance(image=environment.image(usage_operation=BYOS)) for _ in range(2)
    )
    run(eight, "04T00")
    run(six, "06T00")
    for instance in (eight, six):
        observe(instance, "06T00", usage_operation=BYOS)
    assert found(environment) == [("own_not_registered", eight.id, at("04T00"), None, 8 * 86_400)]


def test_acceptance_4_the_overlap_only(environment, observe):
    instance = environment.instance(image=environment.plain_image())
    run(instance, "08T00", "11T00")
    observe(instance, "08T00", usage_operation=PAYG)
    register(environment, instance, "09T12", "10T00:00:01")
    assert found(environment) == [
        ("registered_but_billed", instance.id, at("09T12"), at("10T00:00:01"), 43_201)
    ]
