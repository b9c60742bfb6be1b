"""Hours, vCPU-hours and high-water marks (spec 11 §1, §5)."""

import pytest
import time_machine
from django.db import connection
from django.test.utils import CaptureQueriesContext

from api.images.changes import change_images
from api.metering import recalculate
from api.models import ConcurrentUsage, InstanceFact, UsageRevision
from tests import factories
from tests.api.internal.callers import ANYBODY, B
from tests.api.metering.conftest import Environment
from tests.api.metering.notation import at, day
from tests.api.public.callers import caller_for

pytestmark = pytest.mark.django_db

DAYS = "start=2023-03-10&end=2023-03-12"
HOUR = 3600


def seconds(rows, name="instance_seconds"):
    return [row[name] for row in rows]


def test_row_has_the_members_of_the_specification(environment, usage):
    environment.instance("on 10T00, off 11T00", instance_type="m5.large")
    environment.recalculate()
    [row] = usage("start=2023-03-10&end=2023-03-11")
    assert row == {
        "start": "2023-03-10T00:00:00Z",
        "end": "2023-03-11T00:00:00Z",
        "group": {},
        "instance_seconds": 86400,
        "vcpu_seconds": 172800,
        "memory_mib_seconds": 707788800,
        "unsized_seconds": 0,
        "instance_hours": "24.000000",
        "vcpu_hours": "48.000000",
        "peak": 1,
        "final": True,
    }


def test_acceptance_2_run_over_midnight(environment, usage):
    environment.instance("on 10T22, off 11T03")
    environment.recalculate()
    assert seconds(usage(DAYS)) == [2 * HOUR, 3 * HOUR]
    environment.settle()


def test_acceptance_3_run_that_ends_at_midnight(environment, usage):
    environment.instance("on 10T20, off 11T00")
    environment.recalculate()
    rows = usage(DAYS)
    assert seconds(rows) == [4 * HOUR, 0]
    assert seconds(rows, "peak") == [1, 1]
    # In groups too the second day is there.
    assert len(usage(f"{DAYS}&group_by[arch]=*")) == 2
    assert len(usage(f"{DAYS}&group_by[account]=*")) == 2
    hours = usage("granularity=hour&start=2023-03-11T00:00&end=2023-03-11T02:00")
    assert seconds(hours, "peak") == [1, 0]


@pytest.mark.parametrize("now", ["12T02", "10T18"])
def test_acceptance_4_resize_in_mid_run(environment, usage, now):
    """2 vCPU from 10:00 to 12:30, 4 from then on; stored and computed from the runs."""
    instance = environment.instance("on 10T10, off 10T16", instance_type="m5.large")
    factories.make_event(
        instance=instance,
        event_type="attribute_change",
        occurred_at=at("10T12:30"),
        instance_type="m5.xlarge",
    )
    with time_machine.travel(at("10T17"), tick=False):
        recalculate.recalculate_runs_of_instance(instance_id=instance.id)
        recalculate.recalculate_usage_of_all_users()
    environment.recalculate(now=now)
    assert len(environment.runs()) == 1
    small, large = 2 * HOUR + HOUR // 2, 3 * HOUR + HOUR // 2
    [row] = usage("start=2023-03-10&end=2023-03-11", now=now)
    assert row["instance_seconds"] == small + large
    assert row["vcpu_seconds"] == 2 * small + 4 * large
    assert row["memory_mib_seconds"] == 8192 * small + 16384 * large
    assert row["peak"] == 1
    by_type = usage("start=2023-03-10&end=2023-03-11&group_by[instance_type]=*", now=now)
    assert [(row["group"]["instance_type"], row["instance_seconds"]) for row in by_type] == [
        ("m5.large", small),
        ("m5.xlarge", large),
    ]
    [only] = usage("start=2023-03-10&end=2023-03-11&filter[instance_type]=m5.xlarge", now=now)
    assert (only["instance_seconds"], only["peak"]) == (large, 1)


def test_acceptance_5_cpu_options(environment, usage):
    instance = environment.instance("on 10T00, off 10T02", instance_type="m5.large")
    InstanceFact.objects.create(
        instance=instance,
        observed_at=at("10T00"),
        source="cloudtrail",
        instance_type="m5.large",
        cpu_cores=1,
        threads_per_core=1,
    )
    environment.recalculate()
    for query in (DAYS, f"{DAYS}&group_by[account]=*"):
        row = usage(query)[0]
        assert row["vcpu_seconds"] == 2 * HOUR
        assert row["memory_mib_seconds"] == 2 * HOUR * 8192
        assert row["unsized_seconds"] == 0


def test_acceptance_6_unknown_type(environment, usage):
    environment.instance("on 10T00, off 10T02", instance_type="x9.huge")
    environment.instance("on 10T00, off 10T01")
    environment.recalculate()
    for query in (DAYS, f"{DAYS}&group_by[account]=*"):
        row = usage(query)[0]
        assert (row["instance_seconds"], row["unsized_seconds"]) == (3 * HOUR, 3 * HOUR)
        assert (row["vcpu_seconds"], row["memory_mib_seconds"]) == (0, 0)
        assert (row["vcpu_hours"], row["peak"]) == ("0.000000", 2)


def test_type_that_becomes_known_later_is_sized_at_once(environment, usage):
    environment.instance("on 10T00, off 10T02", instance_type="x9.huge")
    environment.recalculate()
    factories.make_definition(instance_type="x9.huge", vcpu=448, memory_mib=1)
    row = usage(DAYS)[0]
    assert (row["vcpu_seconds"], row["unsized_seconds"]) == (448 * 2 * HOUR, 0)


def test_acceptance_8_more_than_31_days_of_hours(ask):
    assert ask.get("/usage/?granularity=hour&start=2023-02-08&end=2023-03-12", 400) == {
        "end": ["Must be at most 31 days after start for granularity hour."]
    }
    ask.get("/usage/?granularity=hour&start=2023-02-09&end=2023-03-12")


def test_acceptance_9_high_water_of_march(environment, usage):
    environment.many(2, "on 03T01, off 03T02")
    environment.many(3, "on 09T01, off 09T02")
    environment.many(3, "on 20T01, off 20T02")
    environment.recalculate(now="31T23")
    daily = [environment.total(number) or 0 for number in range(1, 32)]
    for query in ("", "&group_by[role]=*", "&group_by[account]=*"):
        [row] = usage(f"granularity=month&start=2023-03-01&end=2023-04-01{query}", now="31T23")
        assert row["peak"] == max(daily) == 3
        assert row["peak_date"] == f"2023-03-{daily.index(3) + 1:02}" == "2023-03-09"
        assert row["final"] is False


def make_rhel(image):
    factories.set_rhel(image, True)
    return {}


def test_acceptance_10_image_becomes_rhel(environment, usage):
    image = environment.plain_image()
    environment.instance("on 10T00, off 10T02", image=image, instance_type="m5.large")
    environment.recalculate()
    assert usage(DAYS)[0]["instance_seconds"] == 0
    with time_machine.travel(at("12T01"), tick=False):
        change_images(
            image_ids=[image.id],
            change=make_rhel,
            reason="inspection",
        )
    stale = usage(DAYS)[0]
    assert (stale["instance_seconds"], stale["final"]) == (2 * HOUR, False)
    environment.settle()
    fresh = usage(DAYS)[0]
    assert (fresh["vcpu_seconds"], fresh["final"]) == (4 * HOUR, True)
    revision = UsageRevision.objects.get(user=environment.user, date=day(10))
    assert revision.causes == ["image_changed"]


def test_defaults_are_the_day_before(environment, ask):
    environment.instance("on 11T00, off 11T01")
    environment.recalculate()
    [row] = ask.get("/usage/")["data"]
    assert (row["start"], row["end"]) == ("2023-03-11T00:00:00Z", "2023-03-12T00:00:00Z")
    assert row["instance_seconds"] == HOUR


def test_today_counts_up_to_now(environment, usage):
    environment.instance("on 12T00:30")
    environment.recalculate()
    [row] = usage("start=2023-03-12&end=2023-03-13", now="12T02:00:10")
    assert (row["instance_seconds"], row["peak"], row["final"]) == (5410, 1, False)
    hours = usage("granularity=hour&start=2023-03-12T00Z&end=2023-03-12T03", now="12T02:00:10")
    assert seconds(hours) == [1800, 3600, 10]


def test_open_run_covers_past_days_whenever_they_were_calculated(environment, usage):
    environment.instance("on 10T12")
    environment.recalculate(now="10T13")
    environment.recalculate(now="11T01")
    rows = usage(DAYS, now="12T05")
    assert seconds(rows) == [12 * HOUR, 24 * HOUR]


def test_boundaries_are_cut_down_to_their_second(environment, usage):
    environment.instance("on 10T01:00:00.900000, off 10T01:00:02.100000")
    environment.instance("on 10T01:00:05.100000, off 10T01:00:05.900000")
    environment.recalculate()
    for query in (DAYS, f"{DAYS}&group_by[account]=*"):
        assert usage(query)[0]["instance_seconds"] == 2


def test_empty_buckets_are_there_without_groups_only(environment, usage):
    environment.instance("on 10T00, off 10T02")
    environment.recalculate()
    assert seconds(usage("start=2023-03-08&end=2023-03-12")) == [0, 0, 2 * HOUR, 0]
    for dimension in ("arch", "account", "region"):
        rows = usage(f"start=2023-03-08&end=2023-03-12&group_by[{dimension}]=*")
        assert [row["start"][:10] for row in rows] == ["2023-03-10"]


def test_groups(environment, usage, ask):
    other = factories.make_aws_account(user=environment.user)
    azure = factories.make_azure_account(user=environment.user)
    arm = environment.image(architecture="arm64")
    x64 = factories.make_azure_image(user=environment.user, architecture="x64", offer="rhel-byos")
    x64.rhel_detected_by_tag = True
    x64.save()
    one = environment.instance("on 10T00, off 10T01", image=arm)
    two = environment.instance("on 10T00, off 10T02", account=other)
    three = environment.instance("on 10T00, off 10T03", account=azure, image=x64)
    environment.recalculate()

    def groups(query):
        rows = usage(f"start=2023-03-10&end=2023-03-11&{query}")
        return [(list(row["group"].values()), row["instance_seconds"] // HOUR) for row in rows]

    assert groups("group_by[account]=*") == [
        ([one.cloud_account_id], 1),
        ([two.cloud_account_id], 2),
        ([three.cloud_account_id], 3),
    ]
    assert groups("group_by[arch]=*") == [
        (["arm64", "arm64"], 1),
        (["x64", "x86_64"], 3),
        (["x86_64", "x86_64"], 2),
    ]
    assert groups("group_by[cloud_type]=*") == [(["aws"], 3), (["azure"], 3)]
    assert groups("group_by[region]=*") == [(["eastus"], 3), (["us-east-1"], 3)]
    # By the names of the dimensions, whatever the order of the query.
    assert groups("group_by[region]=*&group_by[cloud_type]=*") == [
        (["aws", "us-east-1"], 3),
        (["azure", "eastus"], 3),
    ]
    assert groups("group_by[image]=*") == [
        ([image_id], hours)
        for image_id, hours in sorted([(arm.id, 1), (two.machine_image_id, 2), (x64.id, 3)])
    ]
    assert groups("group_by[role]=*&filter[arch]=x64,arm64")[-1][1] == 1
    assert groups("exclude[account]=" + str(other.id)) == [([], 4)]
    assert groups("filter[billing]=own&filter[cloud_type]=azure") == [([], 3)]
    assert sum(hours for _, hours in groups("group_by[billing]=*")) == 6
    page = ask.get("/usage/?start=2023-03-10&end=2023-03-11&group_by[account]=*&limit=2&offset=1")
    assert page["meta"] == {"count": 3}
    assert [row["instance_seconds"] // HOUR for row in page["data"]] == [2, 3]
    assert "group_by%5Baccount%5D=%2A" in page["links"]["first"]
    beyond = ask.get("/usage/?start=2023-03-10&end=2023-03-11&group_by[account]=*&offset=9")
    assert (beyond["meta"], beyond["data"]) == ({"count": 3}, [])


@pytest.mark.parametrize(
    ("query", "names"),
    [
        ("granularity=week", {"granularity"}),
        ("start=potato", {"start"}),
        ("start=2023-03-10T00:30&granularity=hour", {"start"}),
        ("start=2023-03-10T01:00", {"start"}),
        ("end=2023-03-11T00:00:01Z", {"end"}),
        ("start=2023-03-02&end=2023-04-01&granularity=month", {"start"}),
        ("end=2023-03-14", {"end"}),
        ("start=2023-03-11&end=2023-03-10", {"end"}),
        ("start=2022-03-10&end=2023-03-12", {"end"}),
        ("start=2018-02-01&end=2023-04-01&granularity=month", {"end"}),
        ("start=2022-12-01&end=2023-03-12&group_by[region]=*", {"end"}),
        ("start=2022-12-01&end=2023-03-12&filter[image]=1", {"end"}),
        ("filter[foo]=1", {"filter[foo]"}),
        ("filter[account]=x&start=-1", {"filter[account]", "start"}),
        ("filter[cloud_type]=gcp", {"filter[cloud_type]"}),
        ("group_by[foo]=*", {"group_by[foo]"}),
        ("group_by[arch]=x", {"group_by[arch]"}),
        ("group_by[arch]=*&group_by[role]=*&group_by[sla]=*", {"group_by[sla]"}),
        ("order_by[arch]=asc", {"order_by[arch]"}),
    ],
)
def test_wrong_parameters_are_named(ask, query, names):
    assert set(ask.get(f"/usage/?{query}", 400)) == names


def test_limits_can_be_reached(ask):
    ask.get("/usage/?start=2022-03-11&end=2023-03-12")
    ask.get("/usage/?start=2018-04-01&end=2023-04-01&granularity=month")
    ask.get("/usage/?start=2022-12-10&end=2023-03-12&group_by[region]=*")
    ask.get("/usage/?start=2023-03-12&end=2023-03-13")
    ask.get("/usage/?start=0001-01-01&end=0001-01-02")


def test_more_than_a_thousand_groups(environment, ask, monkeypatch):
    monkeypatch.setattr("api.measures.usage.MOST_GROUPS", 1)
    environment.instance("on 10T00, off 10T01")
    environment.instance(
        "on 10T00, off 10T01", account=factories.make_aws_account(user=environment.user)
    )
    environment.instance("on 10T00, off 10T01", image=environment.image(architecture="arm64"))
    environment.recalculate()
    for dimension in ("account", "arch"):
        answer = ask.get(f"/usage/?{DAYS}&group_by[{dimension}]=*", 400)
        assert set(answer) == {"group_by"}


def test_facet_that_reads_like_any_is_a_group(environment, usage):
    environment.instance("on 10T00, off 10T01", image=environment.image(architecture="_ANY"))
    environment.recalculate()
    rows = usage(f"{DAYS}&group_by[arch]=*")
    assert [(row["group"]["arch"], row["peak"]) for row in rows] == [("_ANY", 1)]


def test_days_calculated_before_sums_were_stored(environment, usage):
    """They are computed from the runs until an hourly pass has made the sums."""
    environment.instance("on 09T00, off 10T02", instance_type="m5.large")
    environment.recalculate()
    rows = ConcurrentUsage.objects.filter(user=environment.user)
    rows.update(sums=None, summed_at=None)
    assert seconds(usage(DAYS), "vcpu_seconds") == [4 * HOUR, 0]
    # So does the previous version: it renews the row and leaves the sums alone.
    rows.update(sums=[], summed_at=at("01T00"))
    assert seconds(usage(DAYS), "vcpu_seconds") == [4 * HOUR, 0]
    revisions = dict(rows.values_list("date", "revision"))
    environment.recalculate()
    row = rows.get(date=day(10))
    assert row.summed_at == row.computed_at
    assert row.sums[0][-3:] == ["m5.large", None, 2 * HOUR]
    assert dict(rows.values_list("date", "revision")) == revisions


def test_days_that_become_stale_between_two_statements(environment, usage, monkeypatch):
    """What was thought to be stored is asked of the runs, never taken for zero."""
    environment.instance("on 10T00, off 10T02", instance_type="m5.large")
    environment.recalculate()
    monkeypatch.setattr(
        "api.measures.usage.number_of_stored_buckets", lambda question, days: len(question.buckets)
    )
    factories.make_stale(user=environment.user, first_day=day(10))
    for query in (DAYS, f"{DAYS}&group_by[arch]=*"):
        assert usage(query)[0]["vcpu_seconds"] == 4 * HOUR


def test_size_learnt_later_changes_sums_but_withdraws_nothing(environment, usage):
    instance = environment.instance("on 10T00, off 10T02", instance_type="m5.large")
    environment.recalculate()
    run = instance.runs.get()
    factories.make_event(
        instance=instance,
        event_type="attribute_change",
        occurred_at=at("10T01"),
        instance_type="m5.xlarge",
    )
    with time_machine.travel(at("12T01"), tick=False):
        recalculate.recalculate_runs_of_instance(instance_id=instance.id)
    assert not environment.is_unavailable(10)
    assert instance.runs.get().updated_at == run.updated_at
    for _ in range(2):
        assert usage(DAYS)[0]["vcpu_seconds"] == (2 + 4) * HOUR
        environment.recalculate()
    assert environment.row(10).summed_at == environment.row(10).computed_at


def test_tenants_never_see_each_other(environment, ask):
    environment.instance("on 10T00, off 10T01")
    stranger = Environment()
    foreign = stranger.instance("on 10T00, off 10T05")
    environment.recalculate()
    for query in (
        "",
        "&group_by[account]=*",
        "&group_by[image]=*",
        f"&filter[account]={foreign.cloud_account_id}",
        f"&filter[image]={foreign.machine_image_id}",
        "&granularity=hour",
        "&group_by[billing]=*",
    ):
        rows = ask.get(f"/usage/?{DAYS}{query}&limit=100")["data"]
        assert sum(seconds(rows)) == (0 if "filter" in query else HOUR)
    own = caller_for(stranger.user).get(f"/usage/?{DAYS}").json()["data"]
    assert seconds(own) == [5 * HOUR, 0]


def test_internal_twin(environment, ask):
    environment.instance("on 10T00, off 10T01")
    environment.recalculate()
    with time_machine.travel(at("12T02"), tick=False):
        answer = ANYBODY.get(f"{B}/usage/?user_id={environment.user.id}&{DAYS}")
        assert answer.json()["data"] == ask.get(f"/usage/?{DAYS}")["data"]
        for user_id in ("", "0", "potato", "9" * 30):
            wrong = ANYBODY.get(f"{B}/usage/?user_id={user_id}&{DAYS}")
            assert (wrong.status_code, set(wrong.json())) == (400, {"user_id"})


@pytest.mark.parametrize("query", [DAYS, f"{DAYS}&group_by[arch]=*", f"{DAYS}&group_by[region]=*"])
def test_statements_do_not_grow_with_rows(environment, ask, query):
    def statements():
        with CaptureQueriesContext(
            connection,
        ) as context:
            ask.get(f"/usage/?{query}")
        return len([one for one in context if "SELECT" in one["sql"]])

    environment.instance("on 10T00, off 10T01")
    environment.recalculate()
    before = statements()
    environment.many(20, "on 10T00, off 11T01")
    environment.instance("on 10T00, off 10T01", image=environment.image(architecture="arm64"))
    environment.recalculate()
    assert statements() == before <= 5


def test_hours_are_rounded_to_six_decimals(environment, usage):
    environment.instance("on 10T00, off 10T00:00:01")
    environment.recalculate()
    assert usage(DAYS)[0]["instance_hours"] == "0.000278"


def test_leap_day_and_years_before_anything(usage):
    rows = usage("granularity=month&start=2020-01-01&end=2020-03-01")
    assert [row["end"][:10] for row in rows] == ["2020-02-01", "2020-03-01"]
    assert [row["peak_date"] for row in rows] == [None, None]
    assert all(row["final"] for row in rows)
