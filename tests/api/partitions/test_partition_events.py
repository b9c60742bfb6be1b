"""Partitions of events by month, on a scratch database (spec 15 §2, item 2)."""

import gzip
import threading
from datetime import UTC, datetime

import pyarrow
import pyarrow.parquet as pq
import pytest
from django.db import connection, transaction

from api.accounts.power_off import switch_off_instances
from api.clouds.load import NewEvent, save_events
from api.models import InstanceEvent, Run
from api.partitions import archive, files, partitioning
from api.partitions.catalog import PartitionsError, columns, exists, value
from api.partitions.months import Month
from api.partitions.tables import EVENTS
from tests.api.partitions.commands import (
    KilledError,
    all_rows,
    explained,
    partition_until,
    run,
)
from tests.factories import make_aws_account, make_event, make_instance, make_run, utc
from util.clock import now

pytestmark = pytest.mark.usefixtures("scratch")

TABLE = EVENTS.name
MONTHS = ("2026-03", "2026-04", "2026-05")


@pytest.fixture
def events(scratch, monkeypatch):
    """Events of three months, at the bounds too, of an instance each that ends switched off."""
    monkeypatch.setattr(partitioning, "ROWS_AT_ONCE", 7)
    account = make_aws_account()
    for month in MONTHS:
        instance = make_instance(account=account)
        make_event(instance=instance, occurred_at=utc(f"{month}-01T00:00:00"))
        for day in range(2, 14):
            make_event(
                instance=instance,
                occurred_at=utc(f"{month}-{day:02}T00:00:00.000001"),
                source_id=f'a "quoted", id\nof {day}' if day % 2 else "",
                subnet=None if day % 3 else "",
            )
        make_event(
            instance=instance,
            event_type="power_off",
            occurred_at=utc(f"{month}-30T23:59:59.999999"),
        )
    return all_rows()


def test_a_plan_changes_nothing(events):
    code, told = run("--plan")
    assert code == 0
    months = {one["month"]: one for one in told if "month" in one}
    assert [months[month]["rows"] for month in MONTHS] == [14, 14, 14]
    assert all(months[month]["bytes"] > 0 and not months[month]["partition"] for month in MONTHS)
    assert [one["step"].split()[0] for one in told if "step" in one] == [
        "create", "copy", "compare", "exchange", "drop",
    ]  # fmt: skip
    assert not exists(EVENTS.twin)
    assert all_rows() == events


def test_rows_keys_and_numbers_are_as_before(events):
    indexes = (
        "SELECT array_agg(indexname::text ORDER BY indexname) FROM pg_indexes WHERE tablename = %s"
    )
    foreign = (
        "SELECT array_agg(conname || pg_get_constraintdef(oid) ORDER BY conname) FROM pg_constraint"
        " WHERE conrelid = %s::regclass AND contype = 'f'"
    )
    before = [value(sql, [TABLE]) for sql in (indexes, foreign)]
    sequence = value("SELECT pg_get_serial_sequence(%s, 'id')", [TABLE])
    assert run("--confirm")[0] == 0
    assert all_rows() == events
    assert [value(sql, [TABLE]) for sql in (indexes, foreign)] == before
    assert value("SELECT pg_get_serial_sequence(%s, 'id')", [TABLE]) == sequence
    assert not exists(EVENTS.old)
    assert not exists(EVENTS.twin)
    assert value(f"SELECT count(*) FROM {EVENTS.default}") == 0
    added = make_event(instance=make_instance())
    assert added.id == events[-1][0] + 1
    assert run("--plan")[1][-1].keys() >= {"month"}, "nothing is left to be done"


def test_inserts_conflicts_and_deletes_work_on_top(events):
    """ON CONFLICT DO NOTHING of ingest finds the stored event, in whatever month."""
    run("--confirm")
    event = InstanceEvent.objects.filter(source_id__contains="quoted").first()
    again = NewEvent(
        event.instance_id, event.cloud_account_id, event.event_type, event.occurred_at,
        event.instance_type, event.subnet, event.origin, event.source_id,
    )  # fmt: skip
    assert save_events([again]) == []
    stored = save_events([again._replace(source_id="another")])
    assert [one.id for one in stored] == [events[-1][0] + 2], "the duplicate took a number"
    InstanceEvent.objects.filter(id=stored[0].id).delete()
    stray = make_event(instance=event.instance, occurred_at=utc("2001-02-03T00:00:00"))
    assert value(f"SELECT id FROM {EVENTS.default}") == stray.id
    InstanceEvent.objects.filter(id=stray.id).delete()
    event.instance.delete()
    assert InstanceEvent.objects.count() == len(events) - 14


def test_plans_prune(events):
    run("--confirm")
    plan = explained(
        EVENTS, "occurred_at >= '2026-04-02 00:00+00' AND occurred_at < '2026-04-05 00:00+00'"
    )
    assert f"{TABLE}_p2026_04" in plan
    assert f"{TABLE}_p2026_03" not in plan
    assert f"{TABLE}_p2026_05" not in plan
    assert EVENTS.default not in plan


@pytest.mark.parametrize("after", [1, 2, 5, 7, 8, 13, 14, 15])
def test_what_was_interrupted_ends_the_same(events, after):
    """After each step: the product goes on writing, and the next run goes on."""
    partition_until(EVENTS, after)
    first, *_, last = InstanceEvent.objects.order_by("id")
    InstanceEvent.objects.filter(id=first.id).update(occurred_at=utc("2026-04-20T00:00:00"))
    InstanceEvent.objects.filter(id=last.id).update(subnet="changed")
    InstanceEvent.objects.filter(id__in=[events[9][0], events[-3][0]]).delete()
    added = make_event(instance=first.instance, occurred_at=utc("2027-08-01T00:00:00"))
    expected = all_rows()
    assert run("--confirm")[0] == 0
    assert all_rows() == expected
    assert make_event(instance=first.instance).id == added.id + 1
    assert not exists(EVENTS.old)
    assert not exists(EVENTS.twin)
    assert value("SELECT count(*) FROM pg_proc WHERE proname = %s", [EVENTS.mirror]) == 0


def test_a_copy_that_differs_is_not_exchanged_and_can_be_given_up(events):
    def spoil(step):
        if step.startswith("Copied"):
            with connection.cursor() as cursor:
                cursor.execute(
                    f"UPDATE {EVENTS.twin} SET subnet = 'other' WHERE id = %s", [events[0][0]]
                )

    with pytest.raises(PartitionsError, match="differ"):
        partitioning.partition(EVENTS, spoil)
    assert all_rows() == events
    assert run("--abandon")[0] == 0
    assert not exists(EVENTS.twin)
    make_event(instance=make_instance())
    assert run("--abandon")[0] == 2
    assert run("--confirm")[0] == 0


def test_copying_gives_way_to_a_writer(events, monkeypatch):
    """A row that a transaction changes is copied as that transaction leaves it."""
    event_id = events[0][0]
    changed, waited, done = (threading.Event() for _ in range(3))
    monkeypatch.setattr(partitioning.time, "sleep", lambda _: (waited.set(), done.wait(60)))

    def write():
        try:
            with transaction.atomic():
                InstanceEvent.objects.filter(id=event_id).update(subnet="written")
                changed.set()
                assert waited.wait(60)
        finally:
            done.set()
            connection.close()

    writer = threading.Thread(target=write)

    def tell(step):
        if step.startswith("The twin"):
            writer.start()
            assert changed.wait(60)

    partitioning.partition(EVENTS, tell)
    writer.join()
    assert waited.is_set()
    assert InstanceEvent.objects.get(id=event_id).subnet == "written"


def test_late_events_leave_the_default_partition(events):
    run("--confirm")
    instance = make_instance()
    late = make_event(instance=instance, occurred_at=utc("2026-01-31T23:59:59"))
    assert value(f"SELECT id FROM {EVENTS.default}") == late.id
    assert run("--plan")[1][-1]["step"] == "add the partition of 2026-01"
    assert run("--confirm")[0] == 0
    assert value(f"SELECT id FROM {EVENTS.partition(Month(2026, 1))}") == late.id
    instance.delete()
    assert all_rows() == events


def test_months_to_come_have_partitions(events):
    run("--confirm")
    this = Month.of(now())
    assert all(exists(EVENTS.partition(this.later(months))) for months in range(4))


@pytest.mark.parametrize("name", ["april.csv.gz", "april.parquet"])
def test_a_month_goes_to_a_file_and_comes_back(events, tmp_path, name):
    """What came of the month meanwhile stays, and what was stored twice is there once."""
    run("--confirm")
    path = tmp_path / name
    assert run("--detach", "2026-04", "--output", str(path)) == (
        0, [{"month": "2026-04", "rows": 14, "file": str(path)}],
    )  # fmt: skip
    assert len(all_rows()) == len(events) - 14
    assert not exists(EVENTS.partition(Month(2026, 4)))
    assert [one.name for one in tmp_path.iterdir()] == [path.name]
    row = dict(zip(columns(EVENTS).split(", "), events[20], strict=True))
    InstanceEvent.objects.create(**row | {"id": None})
    late = make_event(instance=make_instance(), occurred_at=utc("2026-04-11T11:00:00"))
    assert run("--attach", str(path)) == (0, [{"month": "2026-04", "rows": 15}])
    assert [one for one in all_rows() if one[0] != late.id] == events
    assert value(f"SELECT count(*) FROM {EVENTS.default}") == 0
    assert run("--attach", str(path))[0] == 2


def test_detaching_goes_on_where_it_was_interrupted(events, tmp_path, monkeypatch):
    run("--confirm")
    path = tmp_path / "april.csv.gz"

    def killed(*_):
        raise KilledError

    with monkeypatch.context() as patch:
        patch.setattr(files, "load", killed)
        with pytest.raises(KilledError):
            archive.detach(Month(2026, 4), path)
    assert exists(EVENTS.partition(Month(2026, 4)))
    assert not path.exists()
    assert run("--detach", "2026-04", "--output", str(path))[0] == 0
    assert run("--attach", str(path))[0] == 0
    assert all_rows() == events


def test_a_month_that_runs_are_calculated_from_stays(events, tmp_path):
    """Runs are calculated from all events of an instance: without them they would vanish."""
    run("--confirm")
    april, may = InstanceEvent.objects.filter(id__in=[events[20][0], events[-1][0]]).order_by("id")
    make_run(instance=april.instance, start=april.occurred_at)
    make_event(instance=may.instance, occurred_at=utc("2026-06-01T00:00:00"))
    before = all_rows()
    for month in ("2026-04", "2026-05"):
        assert run("--detach", month, "--output", str(tmp_path / "x")) == (2, [])
    assert all_rows() == before
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_cannot_be_written_takes_nothing_away(events, tmp_path):
    run("--confirm")
    assert run("--detach", "2026-04", "--output", str(tmp_path / "no" / "x")) == (2, [])
    assert all_rows() == events


def test_an_event_that_comes_while_its_month_is_detached_brings_it_back(
    events, tmp_path, monkeypatch
):
    run("--confirm")
    instance = InstanceEvent.objects.get(id=events[20][0]).instance

    def detach_late(connection, statement):
        make_event(instance=instance, occurred_at=utc("2026-06-01T00:00:00"))
        monkeypatch.undo()
        archive.alter_table(connection, statement)

    monkeypatch.setattr(archive, "alter_table", detach_late)
    assert run("--detach", "2026-04", "--output", str(tmp_path / "x"))[0] == 2
    assert [one for one in all_rows() if one[0] <= events[-1][0]] == events
    assert f"{TABLE}_p2026_04" in explained(EVENTS, "occurred_at = '2026-04-02 00:00+00'")


def test_erased_customers_do_not_come_back(events, tmp_path):
    run("--confirm")
    path = tmp_path / "april.csv.gz"
    instance = InstanceEvent.objects.get(id=events[20][0]).instance
    other = make_instance()
    kept = make_event(instance=other, occurred_at=datetime(2026, 4, 3, tzinfo=UTC))
    assert run("--detach", "2026-04", "--output", str(path))[0] == 0
    instance.delete()
    assert run("--attach", str(path)) == (0, [{"month": "2026-04", "rows": 1}])
    assert InstanceEvent.objects.filter(id=kept.id).exists()


def test_accounts_are_switched_off_on_top(events):
    """A statement of the product that inserts what it selects, and calculates runs of it."""
    run("--confirm")
    instance = make_instance()
    make_event(instance=instance, occurred_at=utc("2026-06-01T00:00:00"))
    with transaction.atomic():
        assert switch_off_instances(instance.cloud_account, origin="disable") == 1
    assert InstanceEvent.objects.filter(instance=instance, origin="disable").count() == 1
    assert Run.objects.get(instance=instance).end_time is not None


@pytest.mark.parametrize(
    "arguments",
    [
        (), ("--plan", "--confirm"), ("--detach", "2026-13"), ("--detach", "0000-01"),
        ("--detach", "yesterday"), ("--detach", "2026-04"), ("--attach", "nothing.csv.gz"),
        ("--plan", "--output", "x"), ("--abandon",), ("--unheard-of",),
    ],
    ids=" ".join,
)  # fmt: skip
def test_what_makes_no_sense_is_refused(arguments):
    assert run(*arguments) == (2, [])


def test_what_makes_no_sense_of_a_partitioned_table_is_refused(events, tmp_path):
    run("--confirm")
    path = tmp_path / "x.csv.gz"
    assert run("--detach", str(Month.of(now())), "--output", str(path))[0] == 2
    assert run("--detach", "2020-01", "--output", str(path))[0] == 2
    assert run("--attach", str(path))[0] == 2
    for content in (b"no gzip", gzip.compress(b"a,b\n1,2\n")):
        path.write_bytes(content)
        assert run("--attach", str(path))[0] == 2
    assert run("--detach", "2026-04", "--output", str(path))[0] == 2
    assert all_rows() == events


def test_parquet_that_makes_no_sense_is_refused(events, tmp_path, monkeypatch):
    run("--confirm")
    path = tmp_path / "april.parquet"
    path.write_bytes(b"no Parquet")
    assert run("--attach", str(path)) == (2, [])
    pq.write_table(pyarrow.table({"id": [1]}), path)
    assert run("--attach", str(path)) == (2, [])
    path.unlink()
    monkeypatch.setattr(files, "is_installed", lambda: False)
    assert run("--detach", "2026-04", "--output", str(path)) == (2, [])
    assert run("--attach", str(path)) == (2, [])
    assert all_rows() == events
    assert not path.exists()


def test_a_table_that_has_more_than_its_twin_would_is_left_alone(events):
    with connection.cursor() as cursor:
        cursor.execute(f"CREATE VIEW some_view AS SELECT * FROM {TABLE}")
    assert {"obstacle": "view some_view"} in run("--plan")[1]
    assert run("--confirm") == (2, [])
    assert not exists(EVENTS.twin)
