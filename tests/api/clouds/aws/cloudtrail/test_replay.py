"""Logs worked on again from the bucket (spec 10 §3.2 with its acceptance, 08 DR-12)."""

import io
import json
import logging
from datetime import timedelta
from typing import NamedTuple

import pytest
import time_machine
from celery.exceptions import Retry
from django.core.management import CommandError, call_command
from django.db import connection
from django.db.models.functions import Now

from api.clouds.aws.cloudtrail import replay, replay_runs
from api.metering.recalculate import recalculate_stale_usage
from api.models import (
    AccountState,
    ConcurrentUsage,
    IngestHour,
    IngestObject,
    Instance,
    InstanceEvent,
    LogReplay,
    Run,
    StaleUsage,
    UsageRevision,
)
from api.tasks.aws import replay_logs as replay_task
from tests.api.clouds.aws.testbed import ACCOUNT, BUCKET, at, events, make_account, runs
from tests.factories import make_aws_account, make_rhel_image
from tests.generators import cloudtrail as trail
from tests.generators.cloudtrail import launched
from tests.generators.fleet import Fleet

pytestmark = pytest.mark.usefixtures("queued")

DAYS = ("--since", "2020-01-02", "--until", "2020-01-03")
COUNTS = ("found", "known", "replayed", "archived", "restoring", "failed", "no_logs")


def command(*arguments):
    """Run the command on 20 January 2020; return what it says of each folder, and of all."""
    out = io.StringIO()
    with time_machine.travel(at(12, day=20), tick=False):
        call_command("replay_logs", *(arguments or DAYS), stdout=out)
    *folders, total = map(json.loads, out.getvalue().splitlines())
    return folders, total


def total(*arguments):
    """Return the numbers of all folders that are not 0."""
    found = command(*arguments)[1]
    return {name: found[name] for name in COUNTS if found[name]}


class Night(NamedTuple):
    """Machines of two regions over a night, and the keys of their logs."""

    fleets: list[Fleet]
    keys: list[str]

    def files(self, day):
        return sum(f"/2020/01/{day:02}/" in key for key in self.keys)

    @property
    def spans(self):
        return sorted(span for fleet in self.fleets for span in fleet.spans)


@pytest.fixture
def night(testbed):
    """A night whose logs are in the bucket; nobody announces them."""
    fleets = [
        Fleet(number, account=ACCOUNT, region=region, start=at(20), noise=1).live(25)
        for number, region in ((1, "us-east-1"), (2, "eu-west-1"))
    ]
    files = [file for fleet in fleets for file in fleet.files()]
    for file in files:
        testbed.aws.client("s3").put_object(Bucket=BUCKET, Key=file.key, Body=file.body)
    return Night(fleets, [file.key for file in files])


def ingest_all(testbed, keys):
    for first in range(0, len(keys), 10):
        testbed.announce(*keys[first : first + 10])
    while testbed.left:
        testbed.run()


def wipe(day):
    """Lose a day by SQL: its events, the runs that they began, and its usage."""
    with connection.cursor() as cursor:
        for table, column in (
            ("api_instanceevent", "occurred_at"),
            ("api_run", "start_time"),
            ("api_concurrentusage", "date"),
        ):
            cursor.execute(
                f"DELETE FROM {table} WHERE {column} >= %s AND {column} < %s",
                [at(0, day=day), at(0, day=day + 1)],
            )
            assert cursor.rowcount


def settle(day=20):
    with time_machine.travel(at(13, day=day), tick=False):
        recalculate_stale_usage()


def stored():
    """Everything that is stored of logs and usage, without ids and times of storing."""
    return {
        "events": sorted(
            InstanceEvent.objects.values_list(
                "instance__cloud_instance_id", "event_type", "occurred_at", "source_id"
            )
        ),
        "runs": runs(),
        "usage": sorted(
            (day, user, json.dumps(counts))
            for day, user, counts in ConcurrentUsage.objects.values_list(
                "date", "user", "maximum_counts"
            )
        ),
        "revisions": sorted(
            UsageRevision.objects.values_list("date", "user", "total_before", "total_after")
        ),
        "files": sorted(IngestObject.objects.values_list("key", "outcome", "stored", "relevant")),
        "hours": sorted(
            IngestHour.objects.values_list("region", "hour", "files", "records", "stored")
        ),
    }


@pytest.fixture
def counted(testbed, night):
    """The night was ingested, its instances count as RHEL, and its usage is calculated."""
    ingest_all(testbed, night.keys)
    image = make_rhel_image()
    Instance.objects.update(machine_image=image)
    Run.objects.update(machine_image=image)
    StaleUsage.objects.create(user=testbed.account.user, first_day=at(0).date(), cause="operator")
    settle()
    found = stored()
    assert found["runs"] == night.spans
    assert found["usage"]
    return found


def test_acceptance_1_a_wiped_day_comes_back_as_it_was(counted, night):
    wipe(2)
    assert stored() != counted
    found = command("--from", "2020-01-02", "--to", "2020-01-03", "--all")[1]
    assert (found["found"], found["replayed"]) == (len(night.keys), len(night.keys))
    settle()
    assert stored() == counted


def test_acceptance_2_a_second_replay_changes_nothing(counted):
    wipe(2)
    command()
    settle()
    before = stored(), list(ConcurrentUsage.objects.order_by("id").values())
    marks = StaleUsage.objects.count()
    command()
    settle()
    assert (stored(), list(ConcurrentUsage.objects.order_by("id").values())) == before
    assert StaleUsage.objects.count() == marks


def test_acceptance_3_killed_in_the_middle_and_started_again(counted, night, monkeypatch):
    """It goes on with the file where it was: none is worked on twice but those of one batch."""
    wipe(2)
    store, batches = replay.store_deliveries, []

    def killed(deliveries):
        if len(batches) == 2:
            raise KeyboardInterrupt
        batches.append(len(deliveries))
        store(deliveries)

    with monkeypatch.context() as patch:
        patch.setattr(replay, "store_deliveries", killed)
        with pytest.raises(KeyboardInterrupt):
            command()
    row = LogReplay.objects.get()
    assert (row.replayed, row.finished_at) == (2 * replay.BATCH, None)
    assert row.position in night.keys

    folders, all_of_it = command()

    assert sum(one["replayed"] for one in folders) == len(night.keys) - 2 * replay.BATCH
    assert all_of_it["replayed"] == all_of_it["found"] == len(night.keys)
    settle()
    assert stored() == counted


def test_one_that_was_left_alone_for_a_day_begins_anew(testbed):
    """What it has behind it may have been lost since."""
    key = trail.log_key(account=ACCOUNT)
    testbed.put(trail.terminate_instances("i-1", at=at(3)), key=key)
    columns = {"since": "2020-01-02", "until": "2020-01-03", "position": key, "found": 7}
    old = LogReplay.objects.create(**columns)
    assert total() == {"found": 7}
    LogReplay.objects.filter(id=old.id).update(
        finished_at=None, worked_at=Now() - timedelta(hours=25)
    )
    assert total() == {"found": 1, "replayed": 1}
    assert LogReplay.objects.filter(finished_at=None).count() == 0


def test_acceptance_4_accounts_are_judged_by_what_they_were(testbed):
    """Enabled on the 1st, paused on the 2nd from 10 to 14, disabled on the 3rd."""
    account = testbed.account
    for hour, name in ((9, "i-on"), (12, "i-paused"), (15, "i-again")):
        testbed.put(
            trail.terminate_instances(name, at=at(hour)),
            key=trail.log_key(account=ACCOUNT, at=at(hour, 10)),
        )
    testbed.put(
        trail.terminate_instances("i-disabled", at=at(12, day=3)),
        key=trail.log_key(account=ACCOUNT, at=at(12, 10, day=3)),
    )
    for moment, state in (
        (at(0, day=1), "enabled"),
        (at(10), "paused"),
        (at(14), "unpaused"),
        (at(14), "enabled"),
        (at(8, day=3), "disabled"),
    ):
        AccountState.objects.create(
            account_id=account.id,
            cloud_type="aws",
            cloud_account_number=ACCOUNT,
            user_id=account.user_id,
            to_state=state,
            at=moment,
            cause="kafka",
        )
    type(account).objects.update(is_enabled=False, enabled_at=at(14))
    command()
    assert [event[0] for event in events()] == ["i-on", "i-again"]


def test_acceptance_7_a_dry_run_changes_nothing_and_prints_counts(testbed, night):
    folders, all_of_it = command(*DAYS, "--dry-run")
    assert {one["prefix"]: one["found"] for one in folders} == {
        f"AWSLogs/{ACCOUNT}/CloudTrail/{region}/2020/01/{day:02}/": number
        for region in ("us-east-1", "eu-west-1")
        for day in (2, 3)
        if (number := sum(f"/{region}/2020/01/{day:02}/" in key for key in night.keys))
    }
    assert all_of_it["found"] == all_of_it["would_replay"] == len(night.keys)
    assert all_of_it["dry_run"]
    assert events() == []
    for model in (IngestHour, IngestObject, LogReplay, StaleUsage):
        assert not model.objects.exists()


def test_acceptance_8_other_customers_usage_is_untouched(counted, testbed):
    other = make_account("000000000042")
    ConcurrentUsage.objects.create(
        user=other.user, date=at(0).date(), maximum_counts=[], algorithm="x", revision=7
    )
    before = list(ConcurrentUsage.objects.filter(user=other.user).values())
    wipe_all = Run.objects.filter(cloud_account=testbed.account)
    assert wipe_all.exists()
    InstanceEvent.objects.filter(cloud_account=testbed.account).delete()
    wipe_all.delete()
    command()
    assert set(StaleUsage.objects.values_list("user", flat=True)) <= {testbed.account.user_id}
    settle()
    assert list(ConcurrentUsage.objects.filter(user=other.user).values()) == before
    assert not UsageRevision.objects.filter(user=other.user).exists()


def test_days_that_change_say_that_a_replay_did_it(counted):
    Run.objects.all().delete()
    InstanceEvent.objects.filter(occurred_at__lt=at(0, day=3)).delete()
    StaleUsage.objects.create(
        user_id=ConcurrentUsage.objects.first().user_id, first_day=at(0).date(), cause="operator"
    )
    settle()
    command()
    settle()
    newest = UsageRevision.objects.order_by("-id").first()
    assert "replay" in newest.causes


def test_after_a_lost_database_all_is_as_it_was(testbed, night):
    ingest_all(testbed, night.keys)
    before = sorted(events()), runs()
    assert before[1] == night.spans
    for model in (InstanceEvent, Instance, IngestHour, IngestObject, StaleUsage):
        model.objects.all().delete()
    assert total() == {"found": len(night.keys), "replayed": len(night.keys)}
    assert (sorted(events()), runs()) == before
    assert StaleUsage.objects.exists(), "usage is calculated again"


def test_objects_that_are_no_logs_are_counted_apart(testbed, night):
    """Operations issue, item 7: also with a dry run, and where there is nothing else."""
    folder = f"AWSLogs/{ACCOUNT}/CloudTrail"
    s3 = testbed.aws.client("s3")
    for key in ("us-east-1/2020/01/02/!", "us-east-1/2020/01/02/~", "us-west-2/2020/01/03/x.txt"):
        s3.put_object(Bucket=BUCKET, Key=f"{folder}/{key}", Body=b"none")
    number = len(night.keys)
    folders, whole = command(*DAYS, "--dry-run")
    assert (whole["found"], whole["known"], whole["no_logs"]) == (number, 0, 3)
    assert {one["prefix"][-21:-1]: one["no_logs"] for one in folders if one["no_logs"]} == {
        "us-east-1/2020/01/02": 2,
        "us-west-2/2020/01/03": 1,
    }
    assert total() == {"found": number, "replayed": number, "no_logs": 3}
    assert total(*DAYS, "--missing-only") == {"found": number, "known": number, "no_logs": 3}


def test_only_what_was_not_processed(testbed):
    testbed.ingest(trail.terminate_instances("i-1", at=at(3)), key=trail.log_key(account=ACCOUNT))
    late = trail.log_key(account=ACCOUNT, name="Late", at=at(13))
    testbed.put(trail.terminate_instances("i-2", at=at(4)), key=late)
    assert total(*DAYS, "--missing-only", "--dry-run") == {"found": 2, "known": 1}
    assert total(*DAYS, "--missing-only") == {"found": 2, "known": 1, "replayed": 1}
    assert [event[0] for event in events()] == ["i-1", "i-2"]
    assert total(*DAYS, "--missing-only") == {"found": 2, "known": 2}


def test_some_accounts_and_regions_only(testbed):
    other = make_account("000000000042")
    make_aws_account(aws_account_id="999999999999", is_synthetic=True)
    for account in (ACCOUNT, other.aws_account_id, "888888888888"):
        record = trail.terminate_instances(f"i-{account}", at=at(3), account=account)
        testbed.put(record, key=trail.log_key(account=account))
    elsewhere = trail.log_key(account=ACCOUNT, region="eu-west-1")
    testbed.put(trail.terminate_instances("i-west", at=at(3), region="eu-west-1"), key=elsewhere)
    assert replay.aws_account_ids() == ["000000000042", ACCOUNT]
    assert total(*DAYS, "--aws-account", "42")["replayed"] == 1
    assert [event[0] for event in events()] == ["i-000000000042"]
    assert total(*DAYS, "--account", str(testbed.account.id), "--region", "eu-west-1") == {
        "found": 1,
        "replayed": 1,
    }
    assert [event[0] for event in events()] == ["i-000000000042", "i-west"]
    assert total(*DAYS, "--all")["replayed"] == 3


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((*DAYS, "--aws-account", "888888888888"), "no AWS account 888888888888"),
        ((*DAYS, "--account", "888888888"), "no AWS account with id 888888888"),
        ((*DAYS, "--account", "x"), "'x' is not an id"),
        (("--since", "2020-01-03", "--until", "2020-01-02"), "before the first"),
        (("--since", "potato"), "'potato' is not a day"),
        ((*DAYS, "--all", "--account", "1"), "not allowed with"),
    ],
)
def test_what_makes_no_sense_is_refused(testbed, arguments, message):
    with pytest.raises(CommandError, match=message) as refusal:
        command(*arguments)
    assert refusal.value.returncode == 2
    assert not LogReplay.objects.exists()


def test_what_cannot_be_read_is_tried_twice_and_the_next_time(testbed, monkeypatch, caplog):
    good, odd = (trail.log_key(account=ACCOUNT, name=name) for name in ("Good", "Odd"))
    testbed.put(trail.terminate_instances("i-1", at=at(3)), key=good)
    testbed.put(trail.terminate_instances("i-2", at=at(3)), key=odd)
    with monkeypatch.context() as patch:
        read = replay.read_files

        def fail_at_one(deliveries):
            read(deliveries)
            for delivery in deliveries:
                for file in delivery.files:
                    if file.notified.key == odd:
                        file.problem = ValueError("odd")

        patch.setattr(replay, "read_files", fail_at_one)
        with pytest.raises(CommandError, match=r"1 files failed, such as .*Odd"):
            command()
    assert f"{BUCKET}/{odd} was not replayed: ValueError('odd')" in caplog.text
    assert LogReplay.objects.get().failed_keys == [odd]
    # Only that one is worked on again.
    assert total() == {"found": 2, "replayed": 2}
    assert LogReplay.objects.get().finished_at
    assert {event[0] for event in events()} == {"i-1", "i-2"}


def test_while_s3_is_away_the_position_stays(testbed, monkeypatch):
    testbed.put(trail.terminate_instances("i-1", at=at(3)), key=trail.log_key(account=ACCOUNT))
    with monkeypatch.context() as patch:

        def away(deliveries):
            for delivery in deliveries:
                delivery.files[0].problem = ConnectionError("away")

        patch.setattr(replay, "read_files", away)
        patch.setattr(replay, "is_transient", lambda error: True)
        with pytest.raises(CommandError, match="S3 does not answer"):
            command()
    assert LogReplay.objects.get().position == ""
    assert total() == {"found": 1, "replayed": 1}


def test_archived_files_are_reported_or_restored_and_replayed_once_they_are_back(testbed):
    key = trail.log_key(account=ACCOUNT)
    body = trail.log_file([testbed.mine(trail.terminate_instances("i-1", at=at(3)))])
    s3 = testbed.aws.client("s3")
    s3.put_object(Bucket=BUCKET, Key=key, Body=body, StorageClass="GLACIER")
    assert total(*DAYS, "--dry-run") == {"found": 1, "archived": 1}
    assert total() == {"found": 1, "archived": 1}
    assert "Restore" not in s3.head_object(Bucket=BUCKET, Key=key)
    assert total(*DAYS, "--restore") == {"found": 1, "archived": 1, "restoring": 1}
    assert "Restore" in s3.head_object(Bucket=BUCKET, Key=key)
    s3.put_object(Bucket=BUCKET, Key=key, Body=body)
    assert total(*DAYS, "--restore", "--missing-only") == {"found": 1, "replayed": 1}
    assert [event[0] for event in events()] == ["i-1"]


def test_files_are_in_memory_a_few_at_a_time(testbed, monkeypatch):
    moments = [at(0, 5) + timedelta(minutes=5 * number) for number in range(25)]
    for moment in moments:
        testbed.put(
            trail.run_instances(launched(f"i-{moment:%H%M}"), at=moment),
            key=trail.log_key(account=ACCOUNT, at=moment),
        )
    sizes = []
    monkeypatch.setattr(replay, "store_deliveries", lambda batch: sizes.append(len(batch)))
    logging.getLogger("util.progress").setLevel(logging.INFO)
    command()
    assert sizes == [10, 10, 5]


class TestTask:
    """The same for the workers."""

    ARGUMENTS = {"since": "2020-01-02", "until": "2020-01-03"}

    def test_it_replays_and_returns_the_counts(self, testbed, night):
        found = replay_task(account_id=testbed.account.id, **self.ARGUMENTS)
        assert (found["found"], found["replayed"]) == (len(night.keys), len(night.keys))
        assert found["done"]
        assert runs() == night.spans

    def test_it_lets_others_have_the_worker_and_goes_on(self, testbed, night, monkeypatch):
        monkeypatch.setattr("api.tasks.aws.REPLAY_SECONDS", -1)
        turns = 0
        while True:
            try:
                found = replay_task(**self.ARGUMENTS)
                break
            except Retry:
                turns += 1
        assert turns >= len(night.keys) // replay.BATCH
        assert found["replayed"] == len(night.keys)
        assert runs() == night.spans

    def test_one_at_a_time_however_many_there_are(self, testbed, night, redis_client):
        """At most a quarter of the workers."""
        with replay_runs.turn() as mine:
            assert mine
            with pytest.raises(Retry):
                replay_task(**self.ARGUMENTS)
        assert not LogReplay.objects.exists()
        assert replay_task(**self.ARGUMENTS)["done"]

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            ({}, "since"),
            ({"since": "2020-01-03", "until": "2020-01-02"}, "before the first"),
            ({"since": "2020-01-02", "account_id": 99999999}, "no AWS account"),
            ({"since": "potato"}, "potato"),
        ],
    )
    def test_what_makes_no_sense_fails(self, testbed, arguments, message):
        with pytest.raises(ValueError, match=message):
            replay_task(**arguments)
