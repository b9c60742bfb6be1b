"""What is wrong in how RHEL is paid (spec 11 §2, §5); ``test_acceptance_N`` are its items."""

import json
import random
from datetime import timedelta

import pytest

from api.billing.findings import FindingsQuery, findings
from api.models import MachineImage, Registration
from tests import factories
from tests.api.metering.conftest import Environment
from tests.api.metering.notation import at

pytestmark = pytest.mark.django_db

BYOS, PAYG, PLAIN = "RunInstances:00g0", "RunInstances:0010", "RunInstances"
DAY = 86_400


def rows_of(environment, begin="01T00", limit="13T00", now="12T00"):
    count, rows = findings(
        FindingsQuery(environment.user.id, at(begin), at(limit), at(now)), limit=1000
    )
    assert count == len(rows)
    return rows


def found(environment, *window, **kwargs):
    """Return the findings of the customer in short: kind, id, from, until, seconds."""
    return [
        (row["kind"], row["instance"]["instance_id"], row["from"], row["until"], row["seconds"])
        for row in rows_of(environment, *window, **kwargs)
    ]


def run(instance, start, end=None, **columns):
    return factories.make_run(instance=instance, start=at(start), end=end and at(end), **columns)


def register(user, instance, since, until=None, **columns):
    return Registration.objects.create(
        user=user,
        source="file",
        registered_from=at(since),
        registered_until=until and at(until),
        **{"cloud": instance.cloud_type, "cloud_id": instance.cloud_instance_id} | columns,
    )


def own(environment):
    """Make an instance whose image is paid for by its owner."""
    return environment.instance(image=environment.image(usage_operation=BYOS))


def test_acceptance_1_tagged_and_billed(environment, observe):
    image = environment.plain_image()
    image.usage_operation = PAYG
    image.save()
    factories.make_tags(account=environment.account, image=image)
    instance = environment.instance("on 10T00, off 10T01", image=image)
    environment.recalculate(since="09T00")
    observe(instance, "10T00", usage_operation=PAYG)
    before = environment.counts(10)
    [row] = rows_of(environment)
    assert (row["kind"], row["confidence"]) == ("counted_but_billed", "certain")
    assert (row["seconds"], row["from"], row["until"]) == (3600, at("10T00"), at("10T01"))
    assert row["evidence"] == [
        {
            "name": "usage_operation", "of": "instance", "value": PAYG,
            "observed_at": at("10T00"),
        },
        {"name": "billing", "of": "instance", "value": "cloud", "observed_at": None},
    ]  # fmt: skip
    assert row["instance"]["cloud_id"] == instance.cloud_instance_id
    assert row["image"]["cloud_id"] == image.cloud_image_id
    environment.recalculate(now="12T02", since="09T00")
    assert environment.counts(10) == before
    assert environment.total(10) == 1


def test_acceptance_2_own(environment, observe):
    instance = own(environment)
    run(instance, "10T00")
    observe(instance, "10T00", usage_operation=BYOS)
    assert found(environment) == []


def test_acceptance_3_a_conversion_while_stopped(environment, observe):
    instance = own(environment)
    run(instance, "08T00", "09T00")
    run(instance, "10T00", "11T00")
    observe(instance, "08T01", usage_operation=BYOS)
    observe(instance, "10T01", usage_operation=PAYG)
    second = (instance.id, at("10T00"), at("11T00"), DAY)
    assert sorted(found(environment)) == [("converted", *second), ("counted_but_billed", *second)]


def test_acceptance_4_the_overlap_only(environment, observe):
    instance = environment.instance(image=environment.plain_image())
    run(instance, "08T00", "11T00")
    observe(instance, "08T00", usage_operation=PAYG)
    register(environment.user, instance, "09T12", "10T00:00:01")
    assert found(environment) == [
        ("registered_but_billed", instance.id, at("09T12"), at("10T00:00:01"), 43_201)
    ]


def test_acceptance_6_own_but_never_registered(environment, observe):
    eight, six = own(environment), own(environment)
    run(eight, "04T00")
    run(six, "06T00")
    for instance in (eight, six):
        observe(instance, "06T00", usage_operation=BYOS)
    assert found(environment) == [("own_not_registered", eight.id, at("04T00"), None, 8 * DAY)]


def test_acceptance_7_azure_with_its_own_registered_subscription(environment, observe):
    account = factories.make_azure_account(user=environment.user)
    for publisher, offer in (("", ""), ("RedHat", "rhel-byos"), ("RedHat", "RHEL")):
        image = factories.make_azure_image(
            user=environment.user, publisher=publisher, offer=offer, rhel_detected_by_tag=True
        )
        instance = factories.make_instance(
            account=account, image=image, vm_id=f"0000-000{image.id}-ABCD"
        )
        run(instance, "01T00")
        observe(instance, "01T00", licenses=["RHEL_BYOS"])
        register(environment.user, instance, "01T00", cloud_id=f"0000-000{image.id}-abcd")
    assert found(environment) == []
    Registration.objects.all().delete()
    kinds = [row[0] for row in found(environment)]
    assert kinds.count("own_not_registered") == 3
    assert kinds.count("converted") == 1


def test_acceptance_8_registrations_of_others(environment, observe):
    instance = environment.instance(image=environment.plain_image())
    run(instance, "08T00")
    observe(instance, "08T00", usage_operation=PAYG)
    register(factories.make_user(), instance, "01T00")
    register(environment.user, instance, "01T00", cloud="gcp")
    assert found(environment) == []


def test_acceptance_9_an_unknown_operation(environment, observe, caplog):
    for _ in range(2):
        instance = environment.instance()
        run(instance, "10T00", "11T00")
        observe(instance, "10T00", usage_operation="RunInstances:9999")
    for _ in range(2):
        assert [(row["kind"], row["confidence"]) for row in rows_of(environment)] == [
            ("unknown_class", "certain")
        ] * 2
    told = [record for record in caplog.records if "RunInstances:9999" in record.getMessage()]
    assert len(told) == 1


def test_stretches_that_touch_are_one(environment, observe):
    instance = environment.instance(image=environment.image(usage_operation=PAYG))
    run(instance, "08T00", "09T00", vcpu=2)
    run(instance, "09T00", "10T00", vcpu=4)
    run(instance, "10T01", "10T02", vcpu=4)
    observe(instance, "08T00", usage_operation=PAYG)
    observe(instance, "09T00", usage_operation="RunInstances:1010")
    rows = rows_of(environment)
    assert [(row["from"], row["until"], row["seconds"], row["vcpu_seconds"]) for row in rows] == [
        (at("08T00"), at("10T00"), 2 * DAY, 6 * DAY),
        (at("10T01"), at("10T02"), 3600, 4 * 3600),
    ]


def test_seconds_are_those_of_the_window(environment):
    run(
        environment.instance(image=environment.image(usage_operation=PAYG)), "08T00:00:00.6", vcpu=2
    )
    [row] = rows_of(environment, "09T00", "10T00")
    assert (row["seconds"], row["vcpu_seconds"]) == (DAY, 2 * DAY)
    assert (row["from"], row["until"]) == (at("08T00"), None)
    [row] = rows_of(environment, "12T00", "13T00", "12T01")
    assert row["seconds"] == 3600
    assert rows_of(environment, "06T00", "07T00") == []


def test_options_of_the_processor_win_and_unknown_sizes_are_not_guessed(environment):
    """As measures have it: CPU options before the type, and each part of a run by its own type."""
    factories.make_definition(instance_type="m5.xlarge", vcpu=4)
    image = environment.image(usage_operation=PAYG)
    sizes = {}
    half_past = (at("10T00:30") - at("1970-01-01T00")) // timedelta(microseconds=1)
    for columns, expected in (
        ({"vcpu": 2, "cpus": 1}, 3600),
        ({"vcpu": None}, None),
        ({"vcpu": 2, "resizes": [[half_past, "t3.huge", None]]}, None),
        ({"vcpu": 2, "cpus": 2, "resizes": [[half_past, "m5.xlarge", None]]}, 3 * 3600),
        ({"vcpu": 2, "cpus": 2, "resizes": [[half_past + 1, "m5.xlarge", 1]]}, 3600 + 1800),
    ):
        instance = environment.instance(image=image)
        run(instance, "10T00", "10T01", **columns)
        sizes[instance.id] = expected
    shown = {row["instance"]["instance_id"]: row["vcpu_seconds"] for row in rows_of(environment)}
    assert shown == sizes


def test_the_longest_come_first(environment):
    image = environment.image(usage_operation=PAYG)
    short, long, same = (environment.instance(image=image) for _ in range(3))
    run(short, "10T00", "10T01")
    run(long, "10T00", "10T03")
    run(same, "10T05", "10T06")
    assert [row[1] for row in found(environment)] == [long.id, short.id, same.id]


class TestOwnNotRegistered:
    """At least seven days on in the fourteen before, registered at no time of them."""

    def check(self, environment, observe, runs, registrations=(), now="20T00"):
        instance = own(environment)
        for start, end in runs:
            run(instance, start, end)
        observe(instance, runs[0][0], usage_operation=BYOS)
        for since, until in registrations:
            register(environment.user, instance, since, until)
        return [(row[2], row[3]) for row in found(environment, "01T00", now, now)]

    def test_days_are_summed_up(self, environment, observe):
        runs = [("01T00", "04T00"), ("05T00", "08T00"), ("10T00", "11T00")]
        assert self.check(environment, observe, runs) == [(at("10T00"), at("11T00"))]

    def test_a_second_is_missing(self, environment, observe):
        runs = [("01T00", "04T00"), ("05T00", "08T00"), ("10T00", "10T23:59:59")]
        assert self.check(environment, observe, runs) == []

    def test_what_is_longer_ago_does_not_count(self, environment, observe):
        runs = [("01T00", "04T00"), ("05T00", "08T00"), ("15T00:00:01", "16T00:00:01")]
        assert self.check(environment, observe, runs) == []

    def test_of_a_run_only_its_last_fourteen_days_count(self, environment, observe):
        runs = [("01T00", "04T00"), ("12T00", "16T00")]
        assert self.check(environment, observe, runs) == []

    def test_registered_for_a_moment(self, environment, observe):
        assert self.check(environment, observe, [("01T00", None)], [("10T00", "10T01")]) == []

    def test_registered_long_ago(self, environment, observe):
        found = self.check(environment, observe, [("01T00", None)], [("01T00", "05T00")])
        assert found == [(at("01T00"), None)]

    def test_registered_while_it_was_off(self, environment, observe):
        runs = [("01T00", "09T00"), ("11T00", "12T00")]
        assert len(self.check(environment, observe, runs, [("09T00", "11T00")])) == 2

    def test_registered_later_than_what_is_asked_for(self, environment, observe):
        registered = [("21T00", None)]
        assert len(self.check(environment, observe, [("01T00", None)], registered)) == 1

    def test_certain_only_if_registrations_are_known_at_all(self, environment, observe):
        self.check(environment, observe, [("01T00", None)])
        assert [row["confidence"] for row in rows_of(environment)] == ["likely"]
        register(environment.user, own(environment), "01T00")
        assert [row["confidence"] for row in rows_of(environment)] == ["certain"]


def hint(image, **members):
    result = json.loads(image.inspection_json) | members
    MachineImage.objects.filter(id=image.id).update(inspection_json=json.dumps(result))


def test_hints_in_the_image_move_the_confidence_only(environment):
    image = environment.image(usage_operation=PAYG)
    run(environment.instance(image=image), "10T00")
    assert [row["confidence"] for row in rows_of(environment)] == ["likely"]
    hint(image, rhui_client_found=True)
    [row] = rows_of(environment)
    assert row["confidence"] == "certain"
    assert {"name": "rhui_client_found", "of": "image", "value": True, "observed_at": None} in row[
        "evidence"
    ]
    hint(image, rhui_client_found=True, consumer_cert_found=True)
    assert [row["confidence"] for row in rows_of(environment)] == ["likely"]


def test_overlapping_registrations_are_one(environment, observe):
    instance = environment.instance(image=environment.plain_image())
    run(instance, "08T00", "11T00")
    observe(instance, "08T00", usage_operation=PAYG)
    register(environment.user, instance, "08T12", "09T12")
    register(environment.user, instance, "09T00", "10T00")
    register(environment.user, instance, "10T12")
    assert [(row[2], row[3]) for row in found(environment)] == [
        (at("08T12"), at("10T00")),
        (at("10T12"), at("11T00")),
    ]


def test_many_random_instances_against_plain_python(environment, observe):
    """Sums per kind and instance, second by second of coarse hours, from a walk in Python."""
    rng = random.Random(7)
    images = {op: environment.image(usage_operation=op) for op in (BYOS, PAYG, "RunInstances:9999")}
    expected = {}
    for _ in range(40):
        operation = rng.choice(list(images))
        instance = environment.instance(image=images[operation])
        hours = set()
        hour = rng.randrange(0, 24)
        while hour < 200:
            length = rng.randrange(1, 60)
            begin = at("01T00") + timedelta(hours=hour)
            factories.make_run(instance=instance, start=begin, end=begin + timedelta(hours=length))
            hours |= set(range(hour, hour + length))
            hour += length + rng.randrange(0, 30)
        registered = set()
        if rng.random() < 0.5:
            first = rng.randrange(0, 200)
            length = rng.randrange(1, 100)
            begin = at("01T00") + timedelta(hours=first)
            Registration.objects.create(
                user=environment.user,
                cloud="aws",
                cloud_id=instance.cloud_instance_id,
                source="file",
                registered_from=begin,
                registered_until=begin + timedelta(hours=length),
            )
            registered = set(range(first, first + length))
        window = set(range(48, 216))
        if operation == PAYG:
            expected["counted_but_billed", instance.id] = len(hours & window)
            expected["registered_but_billed", instance.id] = len(hours & registered & window)
        elif operation != BYOS:
            expected["unknown_class", instance.id] = len(hours & window)
    sums = {}
    for kind, instance_id, _, _, seconds in found(environment, "03T00", "10T00"):
        if kind != "own_not_registered":
            sums[kind, instance_id] = sums.get((kind, instance_id), 0) + seconds
    assert sums == {key: hours * 3600 for key, hours in expected.items() if hours}


def test_customers_are_apart(environment):
    other = Environment()
    run(other.instance(image=other.image(usage_operation=PAYG)), "10T00")
    assert found(environment) == []
    assert len(found(other)) == 1
