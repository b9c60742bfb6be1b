"""Acceptance scenarios of spec 07 §19, from stored events to stored rows."""

import datetime
import json

import pytest
import time_machine

from api.images.changes import change_images
from api.metering import recalculate
from api.metering.facets import ANY, TOTAL
from api.metering.reports import daily_usage
from api.metering.staleness import mark_accounts_stale
from api.models import (
    ConcurrentUsage,
    ImageFact,
    Instance,
    MachineImage,
    Run,
    StaleUsage,
)
from tests import factories
from tests.api.metering.conftest import rhel_result
from tests.api.metering.notation import FIRST_KEYS, SERVER, at, day, key


def tell(image, **columns):
    """Let something new be known of an image, as an inspection does."""

    def change(stored):
        for name, value in columns.items():
            setattr(stored, name, value)

    change_images(image_ids=[image.id], change=change, reason=ImageFact.Reason.INSPECTION)


def inspected(image, result):
    tell(image, inspection_json=json.dumps(result))


def test_scenario_01_w01(world):
    world.instance("on 10T01, off 10T02")
    world.recalculate("11T01")
    assert world.totals(9, 11) == [0, 1, 0]
    entries = world.row(10).maximum_counts
    assert len(entries) == 24
    assert entries[0] == [ANY, ANY, ANY, ANY, ANY, 1]
    assert [entry[5] for entry in entries] == [1] * 24
    assert [tuple(entry[:5]) for entry in entries[:9]] == FIRST_KEYS


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("on 10T22, off 11T03", [0, 0, 1, 1, 0]),
        ("on 10T20, off 11T00", [0, 0, 1, 1, 0]),
        ("on 11T00, off 11T01", [0, 0, 0, 1, 0]),
    ],
)
def test_scenario_02_w02_to_w04(world, text, expected):
    world.instance(text)
    world.recalculate("12T01", since="08T00")
    assert world.totals(8, 12) == expected
    assert [world.row(number).maximum_counts == [] for number in range(8, 13)] == [
        total == 0 for total in expected
    ]


def test_scenario_03_w05(world):
    world.instance("on 09T22, off 10T00")
    world.instance("on 09T23, off 10T05")
    world.instance("on 10T00, off 10T06")
    world.recalculate("11T01")
    assert world.totals(9, 11) == [2, 2, 0]


@pytest.mark.parametrize("swapped", [False, True])
def test_scenario_04_w06_and_w07(world, swapped):
    texts = ["on 10T01, off 10T02", "on 10T02, off 10T03"]
    for text in reversed(texts) if swapped else texts:
        world.instance(text)
    world.recalculate("11T01")
    assert world.total(10) == 1
    world.instance("on 10T11, off 10T12, on 10T13, off 10T14")
    world.recalculate("11T02")
    assert world.total(10) == 1


def test_scenario_05_w08(world):
    instance = world.instance("off 10T00, on 10T01, on 10T02, off 10T03, off 10T04, on 10T05")
    world.recalculate("12T01")
    assert world.runs(instance) == [(at("10T01"), at("10T03")), (at("10T05"), None)]
    assert world.totals(10, 13) == [1, 1, 1, None]


def test_scenario_06_w09(world):
    instance = world.instance("on 10T01, on 10T03, off 10T04", stored="10T05")
    world.recalculate("10T06")
    run = Run.objects.get()
    world.store(instance, "off 10T02", stored="10T07")
    world.recalculate("10T08")
    assert world.runs(instance) == [(at("10T01"), at("10T02")), (at("10T03"), at("10T04"))]
    assert world.total(10) == 1
    assert Run.objects.order_by("start_time").first().id == run.id
    assert Run.objects.order_by("start_time").last().id != run.id


def test_scenario_07_w10_late_first_start(world):
    instance = world.instance("on 10T10, off 10T12", stored="10T13")
    world.recalculate("10T14")
    world.store(instance, "on 10T09", stored="10T15")
    world.recalculate("10T16")
    assert world.runs(instance) == [(at("10T09"), at("10T12"))]
    assert world.total(10) == 1


def test_scenario_08_off_stored_before_on(world):
    instance = world.instance()
    world.store(instance, "off 10T05", stored="10T06")
    world.recalculate("10T06:30")
    world.store(instance, "on 10T03", stored="10T07")
    world.recalculate("10T08")
    assert world.runs(instance) == [(at("10T03"), at("10T05"))]


def test_scenario_09_w11(world):
    first = world.instance("on 10T05, off 10T05")
    second = world.instance("off 10T05, on 10T05")
    world.recalculate("10T06")
    assert world.runs(first) == [(at("10T05"), at("10T05"))]
    assert world.runs(second) == [(at("10T05"), None)]
    assert len(world.row(10).maximum_counts) == 24
    assert world.total(10) == 1


def test_scenario_10_w12(world):
    arm = rhel_result(
        syspurpose={
            "role": SERVER,
            "service_level_agreement": "Standard",
            "usage": "Production",
            "service_type": "L3",
        }
    )
    world.instance("on 10T01, off 10T05")
    world.instance("on 10T03, off 10T07", image=world.image(result=arm, architecture="arm64"))
    world.instance("on 10T06, off 10T08", image=world.image(result=rhel_result(syspurpose=None)))
    world.recalculate("11T01")
    counts = world.counts(10)
    assert len(counts) == 62
    assert (counts[TOTAL], counts[key(arch="x86_64")], counts[key(arch="arm64")]) == (2, 1, 1)
    assert (counts[key(role=SERVER)], counts[key(role="")]) == (2, 1)
    assert [counts[key(sla=sla)] for sla in ("Premium", "Standard", "")] == [1, 1, 1]
    assert counts[key(usage="Production", service_type="L3")] == 2
    assert key(arch="arm64", sla="Premium") not in counts


def test_scenario_11_w13(world):
    def image(arch, sla):
        purpose = {"role": "R", "service_level_agreement": sla}
        return world.image(result=rhel_result(syspurpose=purpose), architecture=arch)

    world.instance("on 10T01, off 10T09", image=image("x86_64", "S0"))
    world.instance("on 10T02, off 10T08", image=image("x86_64", "S1"))
    world.instance("on 10T03, off 10T07", image=image("x86_64", "S0"))
    world.instance("on 10T04, off 10T06", image=image("arm64", "S1"))
    world.instance("on 10T08, off 10T10", image=image("arm64", "S0"))
    world.recalculate("11T01")
    counts = world.counts(10)
    assert len(counts) == 48
    assert (counts[TOTAL], counts[key(arch="x86_64")], counts[key(arch="arm64")]) == (4, 3, 1)
    assert (counts[key(role="R")], counts[key(usage="")]) == (4, 4)
    assert (counts[key(sla="S0")], counts[key(sla="S1")]) == (2, 2)
    assert counts[key(arch="x86_64", sla="S0")] == 2
    assert counts[key(arch="arm64", sla="S0")] == counts[key(arch="arm64", sla="S1")] == 1


def test_scenario_12_w14_image_inspected_again(world):
    image = world.plain_image()
    world.instance("on 10T01, off 10T02", image=image)
    world.recalculate("11T01")
    assert world.row(10).maximum_counts == []
    first = world.row(10)

    inspected(image, rhel_result())
    assert world.is_withdrawn(10)
    assert not world.is_withdrawn(9)
    assert not world.is_withdrawn(11)
    assert daily_usage(user_id=world.user.id, first_day=day(9), last_day=day(11)).keys() == {
        day(9),
        day(11),
    }
    world.settle("11T02")
    assert world.total(10) == 1
    assert (world.row(10).id, world.row(10).revision) == (first.id, 2)

    inspected(image, rhel_result())
    tell(image, status=MachineImage.Status.INSPECTING)
    assert world.total(10) == 1, "unchanged facts and status steps withdraw nothing"

    inspected(image, {"rhel_release_files_found": False})
    assert world.total(10) is None
    world.settle("11T03")
    assert world.total(10) == 0
    assert world.row(10).revision == 3


def test_scenario_13_image_becomes_rhel_30_days_later(world):
    image = world.plain_image()
    world.instance("on 10T01, off 10T02", image=image)
    world.recalculate("11T01")
    with time_machine.travel(at("2023-04-09T00"), tick=False):
        inspected(image, rhel_result())
    world.settle("2023-04-09T00:05")
    assert world.total(10) == 1


def test_scenario_14_w15_image_known_later(world):
    instance = world.instance("on 10T01, off 10T02", image=False)
    world.recalculate("11T01")
    run = Run.objects.get()
    assert run.machine_image is None
    assert world.total(10) == 0
    image = world.image()
    Instance.objects.filter(id=instance.id).update(machine_image=image)
    world.recalculate("20T01")
    assert Run.objects.get().id == run.id
    assert Run.objects.get().machine_image == image
    assert world.total(10) == 1


def test_scenario_15_w16_type_change(world):
    factories.make_definition(instance_type="t2.micro", vcpu="1.00", memory_mib=1024)
    factories.make_definition(instance_type="t2.large", vcpu="2.75", memory_mib=8192)
    factories.make_definition(cloud_type="azure", instance_type="t2.micro", vcpu=9, memory_mib=9)
    instance = world.instance("on 10T01", instance_type="t2.micro")
    world.store(instance, "off 10T02")
    world.store(instance, "on 10T02:30", instance_type="t2.large")
    instance.events.filter(occurred_at=at("10T02:30")).update(event_type="attribute_change")
    world.store(instance, "on 10T03, off 10T04")
    world.recalculate("11T01")
    facts = Run.objects.order_by("start_time").values_list("instance_type", "vcpu", "memory")
    assert list(facts) == [("t2.micro", 1, 1024.0), ("t2.large", 2, 8192.0)]
    assert world.total(10) == 1


def test_scenario_16_definition_missing_then_learnt(world):
    world.instance("on 10T01, off 10T02", instance_type="x9.huge")
    world.recalculate("11T01")
    run = Run.objects.get()
    assert (run.instance_type, run.vcpu, run.memory) == ("x9.huge", None, None)
    assert world.total(10) == 1
    factories.make_definition(instance_type="x9.huge", vcpu="0.75", memory_mib=512)
    world.recalculate("11T02")
    assert Run.objects.get().id == run.id
    assert (Run.objects.get().vcpu, Run.objects.get().memory) == (0, 512.0)
    assert world.row(10).revision == 1
    stamp = Run.objects.get().updated_at
    world.recalculate("11T03")
    assert Run.objects.get().updated_at == stamp, "a fractional vcpu is compared as stored"


def test_scenario_17_w19_disabled_account(world):
    instance = world.instance("on 10T01", instance_type="t2.micro")
    world.store(instance, "off 11T05")
    world.recalculate("12T01")
    assert world.runs(instance) == [(at("10T01"), at("11T05"))]
    assert world.totals(10, 12) == [1, 1, 0]


def test_scenario_17_w20_sharing_a_prefix(world):
    for role in ("R" * 64 + "aaa", "R" * 64 + "bbb"):
        image = world.image(result=rhel_result(syspurpose={"role": role, "usage": ""}))
        world.instance("on 10T01, off 10T02", image=image)
    world.recalculate("11T01")
    assert len(world.counts(10)) == 24
    assert world.counts(10)[key(role="R" * 64)] == 2


def test_scenario_17_w21_partly_missing_syspurpose(world):
    role = world.image(result=rhel_result(syspurpose={"role": "R"}))
    world.instance("on 10T01, off 10T02", image=role)
    nothing = world.image(result={"rhel_signed_packages_found": True})
    world.instance("on 10T01:30, off 10T02:30", image=nothing)
    world.recalculate("11T01")
    assert sorted(world.counts(10).values()) == [1] * 16 + [2] * 16


def test_scenario_17_w22_not_rhel_and_two_customers(world):
    world.instance("on 10T01, off 10T02")
    world.instance("on 10T01, off 10T02", image=world.plain_image())
    other = factories.make_aws_account(user=factories.make_user(date_joined=at("2023-01-01T00")))
    world.instance("on 10T01, off 10T02", account=other)
    world.recalculate("11T01")
    assert world.total(10) == 1
    assert world.total(10, other.user) == 1
    assert len(world.counts(10)) == len(world.counts(10, other.user)) == 24


def test_scenario_17_w23_case_and_blanks(world):
    for role in ("Server", "server", " Server"):
        image = world.image(result=rhel_result(syspurpose={"role": role}))
        world.instance("on 10T01, off 10T02", image=image)
    world.recalculate("11T01")
    assert len(world.counts(10)) == 40
    assert world.total(10) == 3


@pytest.mark.parametrize(
    "syspurpose", [{"role": None, "usage": 5}, None, [], "text", 7, {"role": ["x"]}, {}]
)
def test_scenario_18_odd_syspurpose(world, syspurpose):
    image = world.image(result=rhel_result(syspurpose=syspurpose))
    world.instance("on 10T01, off 10T02", image=image)
    world.recalculate("11T01")
    counts = world.counts(10)
    assert len(counts) == 24
    assert key(role="") in counts
    assert key(sla="", usage="", service_type="") in counts


def test_scenario_19_sla_that_reads_like_any(world):
    image = world.image(result=rhel_result(syspurpose={"service_level_agreement": ANY}))
    world.instance("on 10T01, off 10T02", image=image)
    world.recalculate("11T01")
    assert world.total(10) == 1
    assert len(world.counts(10)) == 12


def test_scenario_20_huge_sla(world):
    purpose = {"service_level_agreement": "\u00e9" * 10_000_000}
    image = world.image(result=rhel_result(syspurpose=purpose))
    world.instance("on 10T01, off 10T02", image=image)
    world.recalculate("11T01")
    assert world.counts(10)[key(sla="\u00e9" * 64)] == 1


def test_scenario_21_twice_without_new_events(world):
    world.instance("on 10T01, off 10T02, on 10T03")
    world.instance("on 10T01, off 10T02", image=False)
    world.recalculate("11T01")

    def state():
        runs = Run.objects.order_by("id").values_list("id", "updated_at")
        rows = ConcurrentUsage.objects.order_by("id").values_list(
            "id", "updated_at", "computed_at", "revision"
        )
        return [*runs, *rows]

    before = state()
    world.recalculate("11T02")
    assert state() == before


def test_scenario_22_days_from_joining_on(world):
    user = factories.make_user(date_joined=at("09T23:59:59"))
    world.recalculate("10T00:30")
    assert [world.row(number, user) is not None for number in (8, 9, 10, 11)] == [
        False,
        True,
        True,
        False,
    ]
    late = factories.make_user(date_joined=at("08T12"))
    with time_machine.travel(at("10T00:30"), tick=False):
        recalculate.recalculate_usage_of_user(user_id=late.id, since=day(11))
        assert not ConcurrentUsage.objects.filter(user=late).exists()
        recalculate.recalculate_usage_of_user(user_id=late.id, since=day(1))
    assert list(
        ConcurrentUsage.objects.filter(user=late).order_by("date").values_list("date", flat=True)
    ) == [day(8), day(9), day(10)]


def test_scenario_23_new_run_in_an_existing_day(world):
    world.instance("on 10T01, off 10T02", stored="10T03")
    world.recalculate("10T04")
    row = world.row(10)
    world.instance("on 10T01:30, off 10T02:30", stored="10T05")
    world.recalculate("10T06")
    assert world.total(10) == 2
    assert world.row(10).id == row.id
    assert world.row(10).updated_at > row.updated_at


def test_scenario_24_run_added_to_a_day_long_past(world):
    world.instance("on 10T01, off 10T02")
    world.recalculate("11T01")
    with time_machine.travel(at("30T00"), tick=False):
        late = world.instance("on 10T01:30, off 10T02:30", stored="30T00")
        recalculate.recalculate_runs_of_instance(instance_id=late.id)
    assert world.total(10) is None
    world.settle("30T00:01")
    assert world.total(10) == 2


def test_scenario_26_new_image_touches_nobody(world):
    world.instance("on 10T01, off 10T02", image=False)
    world.recalculate("11T01")
    other = factories.make_aws_account()
    world.instance("on 10T01", account=other, image=world.image())
    assert not StaleUsage.objects.exists()
    assert world.total(10) == 0


def test_scenario_36_account_deleted(world):
    doomed = factories.make_aws_account(user=world.user)
    world.instance("on 10T01, off 10T02", account=doomed)
    world.instance("on 10T01, off 10T02")
    world.instance("on 11T01, off 11T02")
    world.recalculate("11T05")
    assert world.totals(10, 11) == [2, 1]
    mark_accounts_stale(account_ids=[doomed.id])
    doomed.delete()
    assert world.totals(10, 11) == [None, 1]
    world.settle("11T06")
    assert world.totals(10, 11) == [1, 1]


def test_w17_long_run_over_a_leap_day(world):
    world.user.date_joined = at("2024-02-01T00")
    world.user.save()
    world.instance("on 2024-02-28T12, off 2024-03-01T00:00:00", stored="2024-03-01T01")
    world.recalculate("2024-03-02T01", since="2024-02-27T00")
    days = ConcurrentUsage.objects.order_by("date")
    assert [(row.date, bool(row.maximum_counts)) for row in days] == [
        (datetime.date(2024, 2, 27), False),
        (datetime.date(2024, 2, 28), True),
        (datetime.date(2024, 2, 29), True),
        (datetime.date(2024, 3, 1), True),
        (datetime.date(2024, 3, 2), False),
    ]


def test_w18_open_run_and_time(world):
    instance = world.instance("on 10T05", stored="10T05:30")
    world.recalculate("10T06")
    assert world.totals(10, 11) == [1, None]
    world.recalculate("11T01")
    assert world.totals(10, 11) == [1, 1]
    world.store(instance, "off 12T03", stored="12T03:30")
    world.recalculate("12T04")
    assert world.totals(10, 12) == [1, 1, 1]
    world.recalculate("13T01")
    assert world.totals(10, 13) == [1, 1, 1, 0]
