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


def test_scenario_01_w01(environment):
    environment.instance("on 10T01, off 10T02")
    environment.recalculate("11T01")
    assert environment.totals(9, 11) == [0, 1, 0]
    entries = environment.row(10).maximum_counts
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
def test_scenario_02_w02_to_w04(environment, text, expected):
    environment.instance(text)
    environment.recalculate("12T01", since="08T00")
    assert environment.totals(8, 12) == expected
    assert [environment.row(number).maximum_counts == [] for number in range(8, 13)] == [
        total == 0 for total in expected
    ]


def test_scenario_03_w05(environment):
    environment.instance("on 09T22, off 10T00")
    environment.instance("on 09T23, off 10T05")
    environment.instance("on 10T00, off 10T06")
    environment.recalculate("11T01")
    assert environment.totals(9, 11) == [2, 2, 0]


@pytest.mark.parametrize("swapped", [False, True])
def test_scenario_04_w06_and_w07(environment, swapped):
    texts = ["on 10T01, off 10T02", "on 10T02, off 10T03"]
    for text in reversed(texts) if swapped else texts:
        environment.instance(text)
    environment.recalculate("11T01")
    assert environment.total(10) == 1
    environment.instance("on 10T11, off 10T12, on 10T13, off 10T14")
    environment.recalculate("11T02")
    assert environment.total(10) == 1


def test_scenario_05_w08(environment):
    instance = environment.instance("off 10T00, on 10T01, on 10T02, off 10T03, off 10T04, on 10T05")
    environment.recalculate("12T01")
    assert environment.runs(instance) == [(at("10T01"), at("10T03")), (at("10T05"), None)]
    assert environment.totals(10, 13) == [1, 1, 1, None]


def test_scenario_06_w09(environment):
    instance = environment.instance("on 10T01, on 10T03, off 10T04", stored="10T05")
    environment.recalculate("10T06")
    run = Run.objects.get()
    environment.store(instance, "off 10T02", stored="10T07")
    environment.recalculate("10T08")
    assert environment.runs(instance) == [(at("10T01"), at("10T02")), (at("10T03"), at("10T04"))]
    assert environment.total(10) == 1
    assert Run.objects.order_by("start_time").first().id == run.id
    assert Run.objects.order_by("start_time").last().id != run.id


def test_scenario_07_w10_late_first_start(environment):
    instance = environment.instance("on 10T10, off 10T12", stored="10T13")
    environment.recalculate("10T14")
    environment.store(instance, "on 10T09", stored="10T15")
    environment.recalculate("10T16")
    assert environment.runs(instance) == [(at("10T09"), at("10T12"))]
    assert environment.total(10) == 1


def test_scenario_08_off_stored_before_on(environment):
    instance = environment.instance()
    environment.store(instance, "off 10T05", stored="10T06")
    environment.recalculate("10T06:30")
    environment.store(instance, "on 10T03", stored="10T07")
    environment.recalculate("10T08")
    assert environment.runs(instance) == [(at("10T03"), at("10T05"))]


def test_scenario_09_w11(environment):
    first = environment.instance("on 10T05, off 10T05")
    second = environment.instance("off 10T05, on 10T05")
    environment.recalculate("10T06")
    assert environment.runs(first) == [(at("10T05"), at("10T05"))]
    assert environment.runs(second) == [(at("10T05"), None)]
    assert len(environment.row(10).maximum_counts) == 24
    assert environment.total(10) == 1


def test_scenario_10_w12(environment):
    arm = rhel_result(
        syspurpose={
            "role": SERVER,
            "service_level_agreement": "Standard",
            "usage": "Production",
            "service_type": "L3",
        }
    )
    environment.instance("on 10T01, off 10T05")
    environment.instance(
        "on 10T03, off 10T07", image=environment.image(result=arm, architecture="arm64")
    )
    environment.instance(
        "on 10T06, off 10T08", image=environment.image(result=rhel_result(syspurpose=None))
    )
    environment.recalculate("11T01")
    counts = environment.counts(10)
    assert len(counts) == 62
    assert (counts[TOTAL], counts[key(arch="x86_64")], counts[key(arch="arm64")]) == (2, 1, 1)
    assert (counts[key(role=SERVER)], counts[key(role="")]) == (2, 1)
    assert [counts[key(sla=sla)] for sla in ("Premium", "Standard", "")] == [1, 1, 1]
    assert counts[key(usage="Production", service_type="L3")] == 2
    assert key(arch="arm64", sla="Premium") not in counts


def test_scenario_11_w13(environment):
    def image(arch, sla):
        purpose = {"role": "R", "service_level_agreement": sla}
        return environment.image(result=rhel_result(syspurpose=purpose), architecture=arch)

    environment.instance("on 10T01, off 10T09", image=image("x86_64", "S0"))
    environment.instance("on 10T02, off 10T08", image=image("x86_64", "S1"))
    environment.instance("on 10T03, off 10T07", image=image("x86_64", "S0"))
    environment.instance("on 10T04, off 10T06", image=image("arm64", "S1"))
    environment.instance("on 10T08, off 10T10", image=image("arm64", "S0"))
    environment.recalculate("11T01")
    counts = environment.counts(10)
    assert len(counts) == 48
    assert (counts[TOTAL], counts[key(arch="x86_64")], counts[key(arch="arm64")]) == (4, 3, 1)
    assert (counts[key(role="R")], counts[key(usage="")]) == (4, 4)
    assert (counts[key(sla="S0")], counts[key(sla="S1")]) == (2, 2)
    assert counts[key(arch="x86_64", sla="S0")] == 2
    assert counts[key(arch="arm64", sla="S0")] == counts[key(arch="arm64", sla="S1")] == 1


def test_scenario_12_w14_image_inspected_again(environment):
    image = environment.plain_image()
    environment.instance("on 10T01, off 10T02", image=image)
    environment.recalculate("11T01")
    assert environment.row(10).maximum_counts == []
    first = environment.row(10)

    inspected(image, rhel_result())
    assert environment.is_unavailable(10)
    assert not environment.is_unavailable(9)
    assert not environment.is_unavailable(11)
    assert daily_usage(user_id=environment.user.id, first_day=day(9), last_day=day(11)).keys() == {
        day(9),
        day(11),
    }
    environment.settle("11T02")
    assert environment.total(10) == 1
    assert (environment.row(10).id, environment.row(10).revision) == (first.id, 2)

    inspected(image, rhel_result())
    tell(image, status=MachineImage.Status.INSPECTING)
    assert environment.total(10) == 1, "unchanged facts and status steps withdraw nothing"

    inspected(image, {"rhel_release_files_found": False})
    assert environment.total(10) is None
    environment.settle("11T03")
    assert environment.total(10) == 0
    assert environment.row(10).revision == 3


def test_scenario_13_image_becomes_rhel_30_days_later(environment):
    image = environment.plain_image()
    environment.instance("on 10T01, off 10T02", image=image)
    environment.recalculate("11T01")
    with time_machine.travel(at("2023-04-09T00"), tick=False):
        inspected(image, rhel_result())
    environment.settle("2023-04-09T00:05")
    assert environment.total(10) == 1


def test_scenario_14_w15_image_known_later(environment):
    instance = environment.instance("on 10T01, off 10T02", image=False)
    environment.recalculate("11T01")
    run = Run.objects.get()
    assert run.machine_image is None
    assert environment.total(10) == 0
    image = environment.image()
    Instance.objects.filter(id=instance.id).update(machine_image=image)
    environment.recalculate("20T01")
    assert Run.objects.get().id == run.id
    assert Run.objects.get().machine_image == image
    assert environment.total(10) == 1


def test_scenario_15_w16_type_change(environment):
    factories.make_definition(instance_type="t2.micro", vcpu="1.00", memory_mib=1024)
    factories.make_definition(instance_type="t2.large", vcpu="2.75", memory_mib=8192)
    factories.make_definition(cloud_type="azure", instance_type="t2.micro", vcpu=9, memory_mib=9)
    instance = environment.instance("on 10T01", instance_type="t2.micro")
    environment.store(instance, "off 10T02")
    environment.store(instance, "on 10T02:30", instance_type="t2.large")
    instance.events.filter(occurred_at=at("10T02:30")).update(event_type="attribute_change")
    environment.store(instance, "on 10T03, off 10T04")
    environment.recalculate("11T01")
    facts = Run.objects.order_by("start_time").values_list("instance_type", "vcpu", "memory")
    assert list(facts) == [("t2.micro", 1, 1024.0), ("t2.large", 2, 8192.0)]
    assert environment.total(10) == 1


def test_scenario_16_definition_missing_then_learnt(environment):
    environment.instance("on 10T01, off 10T02", instance_type="x9.huge")
    environment.recalculate("11T01")
    run = Run.objects.get()
    assert (run.instance_type, run.vcpu, run.memory) == ("x9.huge", None, None)
    assert environment.total(10) == 1
    factories.make_definition(instance_type="x9.huge", vcpu="0.75", memory_mib=512)
    environment.recalculate("11T02")
    assert Run.objects.get().id == run.id
    assert (Run.objects.get().vcpu, Run.objects.get().memory) == (0, 512.0)
    assert environment.row(10).revision == 1
    stamp = Run.objects.get().updated_at
    environment.recalculate("11T03")
    assert Run.objects.get().updated_at == stamp, "a fractional vcpu is compared as stored"


def test_scenario_17_w19_disabled_account(environment):
    instance = environment.instance("on 10T01", instance_type="t2.micro")
    environment.store(instance, "off 11T05")
    environment.recalculate("12T01")
    assert environment.runs(instance) == [(at("10T01"), at("11T05"))]
    assert environment.totals(10, 12) == [1, 1, 0]


def test_scenario_17_w20_sharing_a_prefix(environment):
    for role in ("R" * 64 + "aaa", "R" * 64 + "bbb"):
        image = environment.image(result=rhel_result(syspurpose={"role": role, "usage": ""}))
        environment.instance("on 10T01, off 10T02", image=image)
    environment.recalculate("11T01")
    assert len(environment.counts(10)) == 24
    assert environment.counts(10)[key(role="R" * 64)] == 2


def test_scenario_17_w21_partly_missing_syspurpose(environment):
    role = environment.image(result=rhel_result(syspurpose={"role": "R"}))
    environment.instance("on 10T01, off 10T02", image=role)
    nothing = environment.image(result={"rhel_signed_packages_found": True})
    environment.instance("on 10T01:30, off 10T02:30", image=nothing)
    environment.recalculate("11T01")
    assert sorted(environment.counts(10).values()) == [1] * 16 + [2] * 16


def test_scenario_17_w22_not_rhel_and_two_customers(environment):
    environment.instance("on 10T01, off 10T02")
    environment.instance("on 10T01, off 10T02", image=environment.plain_image())
    other = factories.make_aws_account(user=factories.make_user(date_joined=at("2023-01-01T00")))
    environment.instance("on 10T01, off 10T02", account=other)
    environment.recalculate("11T01")
    assert environment.total(10) == 1
    assert environment.total(10, other.user) == 1
    assert len(environment.counts(10)) == len(environment.counts(10, other.user)) == 24


def test_scenario_17_w23_case_and_blanks(environment):
    for role in ("Server", "server", " Server"):
        image = environment.image(result=rhel_result(syspurpose={"role": role}))
        environment.instance("on 10T01, off 10T02", image=image)
    environment.recalculate("11T01")
    assert len(environment.counts(10)) == 40
    assert environment.total(10) == 3


@pytest.mark.parametrize(
    "syspurpose", [{"role": None, "usage": 5}, None, [], "text", 7, {"role": ["x"]}, {}]
)
def test_scenario_18_odd_syspurpose(environment, syspurpose):
    image = environment.image(result=rhel_result(syspurpose=syspurpose))
    environment.instance("on 10T01, off 10T02", image=image)
    environment.recalculate("11T01")
    counts = environment.counts(10)
    assert len(counts) == 24
    assert key(role="") in counts
    assert key(sla="", usage="", service_type="") in counts


def test_scenario_19_sla_that_reads_like_any(environment):
    image = environment.image(result=rhel_result(syspurpose={"service_level_agreement": ANY}))
    environment.instance("on 10T01, off 10T02", image=image)
    environment.recalculate("11T01")
    assert environment.total(10) == 1
    assert len(environment.counts(10)) == 12


def test_scenario_20_huge_sla(environment):
    purpose = {"service_level_agreement": "\u00e9" * 10_000_000}
    image = environment.image(result=rhel_result(syspurpose=purpose))
    environment.instance("on 10T01, off 10T02", image=image)
    environment.recalculate("11T01")
    assert environment.counts(10)[key(sla="\u00e9" * 64)] == 1


def test_scenario_21_twice_without_new_events(environment):
    environment.instance("on 10T01, off 10T02, on 10T03")
    environment.instance("on 10T01, off 10T02", image=False)
    environment.recalculate("11T01")

    def state():
        runs = Run.objects.order_by("id").values_list("id", "updated_at")
        rows = ConcurrentUsage.objects.order_by("id").values_list(
            "id", "updated_at", "computed_at", "revision"
        )
        return [*runs, *rows]

    before = state()
    environment.recalculate("11T02")
    assert state() == before


def test_scenario_22_days_from_joining_on(environment):
    user = factories.make_user(date_joined=at("09T23:59:59"))
    environment.recalculate("10T00:30")
    assert [environment.row(number, user) is not None for number in (8, 9, 10, 11)] == [
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


def test_scenario_23_new_run_in_an_existing_day(environment):
    environment.instance("on 10T01, off 10T02", stored="10T03")
    environment.recalculate("10T04")
    row = environment.row(10)
    environment.instance("on 10T01:30, off 10T02:30", stored="10T05")
    environment.recalculate("10T06")
    assert environment.total(10) == 2
    assert environment.row(10).id == row.id
    assert environment.row(10).updated_at > row.updated_at


def test_scenario_24_run_added_to_a_day_long_past(environment):
    environment.instance("on 10T01, off 10T02")
    environment.recalculate("11T01")
    with time_machine.travel(at("30T00"), tick=False):
        late = environment.instance("on 10T01:30, off 10T02:30", stored="30T00")
        recalculate.recalculate_runs_of_instance(instance_id=late.id)
    assert environment.total(10) is None
    environment.settle("30T00:01")
    assert environment.total(10) == 2


def test_scenario_26_new_image_touches_nobody(environment):
    environment.instance("on 10T01, off 10T02", image=False)
    environment.recalculate("11T01")
    other = factories.make_aws_account()
    environment.instance("on 10T01", account=other, image=environment.image())
    assert not StaleUsage.objects.exists()
    assert environment.total(10) == 0


def test_scenario_36_account_deleted(environment):
    doomed = factories.make_aws_account(user=environment.user)
    environment.instance("on 10T01, off 10T02", account=doomed)
    environment.instance("on 10T01, off 10T02")
    environment.instance("on 11T01, off 11T02")
    environment.recalculate("11T05")
    assert environment.totals(10, 11) == [2, 1]
    mark_accounts_stale(account_ids=[doomed.id])
    doomed.delete()
    assert environment.totals(10, 11) == [None, 1]
    environment.settle("11T06")
    assert environment.totals(10, 11) == [1, 1]


def test_w17_long_run_over_a_leap_day(environment):
    environment.user.date_joined = at("2024-02-01T00")
    environment.user.save()
    environment.instance("on 2024-02-28T12, off 2024-03-01T00:00:00", stored="2024-03-01T01")
    environment.recalculate("2024-03-02T01", since="2024-02-27T00")
    days = ConcurrentUsage.objects.order_by("date")
    assert [(row.date, bool(row.maximum_counts)) for row in days] == [
        (datetime.date(2024, 2, 27), False),
        (datetime.date(2024, 2, 28), True),
        (datetime.date(2024, 2, 29), True),
        (datetime.date(2024, 3, 1), True),
        (datetime.date(2024, 3, 2), False),
    ]


def test_w18_open_run_and_time(environment):
    instance = environment.instance("on 10T05", stored="10T05:30")
    environment.recalculate("10T06")
    assert environment.totals(10, 11) == [1, None]
    environment.recalculate("11T01")
    assert environment.totals(10, 11) == [1, 1]
    environment.store(instance, "off 12T03", stored="12T03:30")
    environment.recalculate("12T04")
    assert environment.totals(10, 12) == [1, 1, 1]
    environment.recalculate("13T01")
    assert environment.totals(10, 13) == [1, 1, 1, 0]
