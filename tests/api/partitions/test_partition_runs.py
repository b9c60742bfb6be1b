"""Partitions of runs by the month in which they ended, on a scratch database (spec 15 §2)."""

from datetime import timedelta

import pytest
from django.db import IntegrityError, connection, transaction

from api.clouds.load import NewEvent, save_events
from api.metering.runs import recalculate_runs
from api.models import InstanceEvent, Run
from api.partitions import catalog, partitioning
from api.partitions.catalog import PartitionsError, exists, value
from api.partitions.months import Month
from api.partitions.tables import RUNS
from tests.api.partitions.commands import all_rows, explained, partition_until, run
from tests.factories import make_aws_account, make_event, make_instance, make_run, utc

pytestmark = pytest.mark.usefixtures("scratch")

ENDS = ("2026-03-01T00:00:00", "2026-03-31T23:59:59.999999", "2026-04-01T00:00:00")
MARCH, APRIL = Month(2026, 3), Month(2026, 4)


@pytest.fixture
def runs(monkeypatch):
    """Two instances: runs that ended at the bounds of months, and one of each that goes on."""
    monkeypatch.setattr(partitioning, "ROWS_AT_ONCE", 3)
    account = make_aws_account()
    for _ in range(2):
        instance = make_instance(account=account)
        for end in ENDS:
            make_run(instance=instance, start=utc(end) - timedelta(hours=1), end=utc(end))
        make_run(instance=instance, start=utc("2026-04-20T00:00:00"))
    return all_rows(RUNS)


def month_of(found: Run) -> str:
    """Return the name of the partition in which a run is."""
    return value("SELECT tableoid::regclass::text FROM api_run WHERE id = %s", [found.id])


def test_a_plan_counts_what_goes_on_apart(runs):
    code, told = run("--plan", "--table", "runs")
    assert code == 0
    counts = {one["month"]: one["rows"] for one in told if one.get("rows")}
    assert counts == {"2026-03": 4, "2026-04": 2, "none": 2}
    assert all_rows(RUNS) == runs


def test_runs_are_where_they_ended(runs):
    assert run("--confirm", "--table", "runs")[0] == 0
    assert all_rows(RUNS) == runs
    assert value(f"SELECT count(*) FROM {RUNS.partition(MARCH)}") == 4
    assert value(f"SELECT count(*) FROM {RUNS.partition(APRIL)}") == 2
    assert value(f"SELECT count(*) FROM {RUNS.default} WHERE end_time IS NULL") == 2
    assert value(f"SELECT count(*) FROM {RUNS.default}") == 2
    assert not exists(RUNS.old)
    assert not exists(RUNS.twin)
    added = make_run(instance=make_instance(), start=utc("2026-05-01T00:00:00"))
    assert added.id == runs[-1][0] + 1
    assert {"month": "none", "rows": 3, "partition": True}.items() <= run(
        "--plan", "--table", "runs"
    )[1][-1].items()


def test_keys_still_refuse_what_cannot_be(runs):
    """One run that goes on an instance, and no run twice."""
    run("--confirm", "--table", "runs")
    ended = Run.objects.filter(end_time__isnull=False).first()
    for twice in (
        {"start": utc("2026-04-25T00:00:00")},
        {"start": ended.start_time, "end": ended.end_time},
    ):
        with pytest.raises(IntegrityError), transaction.atomic():
            make_run(instance=ended.instance, **twice)
    with pytest.raises(IntegrityError), transaction.atomic():
        make_run(instance=make_instance(), id=ended.id, start=ended.start_time, end=ended.end_time)
    assert all_rows(RUNS) == runs


def test_a_run_that_ends_goes_to_its_month_and_back(runs):
    """Metering writes as ever: the run ends, and goes on again once the event is gone."""
    instance = make_instance()
    make_event(instance=instance, occurred_at=utc("2026-03-10T00:00:00"))
    run("--confirm", "--table", "runs")

    def recalculated() -> Run:
        recalculate_runs(user_id=instance.cloud_account.user_id, instance_ids=[instance.id])
        return Run.objects.get(instance=instance)

    begun = recalculated()
    assert month_of(begun) == RUNS.default
    end = NewEvent(
        instance.id, instance.cloud_account_id, "power_off", utc("2026-03-12T00:00:00"), None,
        None, "cloudtrail", "x",
    )  # fmt: skip
    assert len(save_events([end])) == 1
    ended = recalculated()
    assert (ended.id, month_of(ended)) == (begun.id, RUNS.partition(MARCH))
    InstanceEvent.objects.filter(event_type="power_off", instance=instance).delete()
    again = recalculated()
    assert again.end_time is None
    assert month_of(again) == RUNS.default


def test_a_day_reads_no_month_before_it(runs):
    run("--confirm", "--table", "runs")
    plan = explained(RUNS, "end_time >= '2026-04-02 00:00+00' OR end_time IS NULL")
    assert RUNS.partition(APRIL) in plan
    assert RUNS.default in plan
    assert RUNS.partition(MARCH) not in plan


@pytest.mark.parametrize("after", [1, 2, 4, 5, 7, 8, 9])
def test_what_was_interrupted_ends_the_same(runs, after):
    """After each step runs end, begin and vanish, and the next run goes on."""
    partition_until(RUNS, after)
    one, other = Run.objects.filter(end_time__isnull=True)
    Run.objects.filter(id=one.id).update(end_time=utc("2026-04-21T00:00:00"))
    Run.objects.filter(id=runs[0][0]).update(end_time=utc("2026-05-21T00:00:00"))
    Run.objects.filter(id=runs[2][0]).delete()
    make_run(instance=one.instance, start=utc("2026-04-22T00:00:00"))
    expected = all_rows(RUNS)
    assert run("--confirm", "--table", "runs")[0] == 0
    assert all_rows(RUNS) == expected
    assert month_of(one) == RUNS.partition(APRIL)
    assert month_of(other) == RUNS.default
    assert not exists(RUNS.old)
    assert not exists(RUNS.twin)
    assert value("SELECT count(*) FROM pg_proc WHERE proname = %s", [RUNS.mirror]) == 0


def test_what_ended_late_leaves_the_default_partition(runs):
    run("--confirm", "--table", "runs")
    late = make_run(
        instance=make_instance(), start=utc("2025-01-01T00:00:00"), end=utc("2025-01-02T00:00:00")
    )
    assert month_of(late) == RUNS.default
    assert run("--confirm", "--table", "runs")[0] == 0
    assert month_of(late) == RUNS.partition(Month(2025, 1))
    assert value(f"SELECT count(*) FROM {RUNS.default}") == 2


def test_erasing_an_account_takes_its_runs_away(runs):
    run("--confirm", "--table", "runs")
    Run.objects.get(id=runs[0][0]).instance.cloud_account.delete()
    assert all_rows(RUNS) == []


def test_a_server_without_such_keys_is_refused(runs, monkeypatch):
    """PostgreSQL 14 has no unique key in which empty values are equal."""
    monkeypatch.setattr(catalog, "NULLS_ARE_EQUAL", (99,))
    assert run("--confirm", "--table", "runs") == (2, [])
    with pytest.raises(PartitionsError, match="15 is needed"):
        partitioning.partition(RUNS, print)
    assert not exists(RUNS.twin)
    assert run("--confirm")[0] == 0, "events have no empty value there"


@pytest.mark.parametrize("way", [("--detach", "2026-03"), ("--attach", "x.csv.gz")], ids=" ".join)
def test_runs_stay(runs, way):
    """Only months of events go to files."""
    assert run(*way, "--table", "runs") == (2, [])
    assert all_rows(RUNS) == runs


def test_both_tables_can_be_partitioned(runs):
    make_event(instance=make_instance(), occurred_at=utc("2026-03-10T00:00:00"))
    assert run("--confirm")[0] == 0
    assert run("--confirm", "--table", "runs")[0] == 0
    with connection.cursor() as cursor:
        cursor.execute("SELECT relname::text FROM pg_class WHERE relkind = 'p' ORDER BY 1")
        assert [row[0] for row in cursor.fetchall()] == ["api_instanceevent", "api_run"]
