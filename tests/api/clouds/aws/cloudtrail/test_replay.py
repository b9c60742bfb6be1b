"""Logs worked on again from the bucket (08 DR-12)."""

import io
import logging
from datetime import date, timedelta
from typing import NamedTuple

import pytest
import time_machine
from django.core.management import CommandError, call_command

from api.clouds.aws.cloudtrail import replay
from api.models import IngestHour, IngestObject, Instance, InstanceEvent, StaleUsage
from tests.api.clouds.aws.testbed import ACCOUNT, BUCKET, at, events, make_account, runs
from tests.factories import make_aws_account
from tests.generators import cloudtrail as trail
from tests.generators.cloudtrail import launched
from tests.generators.fleet import Fleet

pytestmark = pytest.mark.usefixtures("queued")

DAYS = ("--since", "2020-01-02", "--until", "2020-01-03")


def command(*arguments):
    out = io.StringIO()
    with time_machine.travel(at(12, day=20), tick=False):
        call_command("replay_logs", *(arguments or DAYS), stdout=out)
    return out.getvalue().splitlines()


def line(day, **counts):
    """Write the command's line of a day; what is not named is 0."""
    names = ("known", "replayed", "archived", "failed", "left")
    rest = "".join(f", {counts.get(name, 0)} {name}" for name in names)
    return f"2020-01-{day:02}: {counts.get('files', 0)} files{rest}"


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


def lose_everything():
    """Leave of an account only what a back-up of its first day has."""
    for model in (InstanceEvent, Instance, IngestHour, IngestObject, StaleUsage):
        model.objects.all().delete()


def test_after_a_lost_database_all_is_as_it_was(testbed, night):
    """Twice nothing is doubled: the second time, and by force, nothing changes."""
    for first in range(0, len(night.keys), 10):
        testbed.announce(*night.keys[first : first + 10])
    while testbed.left:
        testbed.run()
    before = sorted(events()), runs()
    assert before[1] == night.spans
    lose_everything()
    second, third = night.files(2), night.files(3)
    assert second
    assert third

    assert command() == [
        line(2, files=second, replayed=second),
        line(3, files=third, replayed=third),
    ]
    assert (sorted(events()), runs()) == before
    assert StaleUsage.objects.exists(), "usage is calculated again"
    stored = list(IngestHour.objects.order_by("id").values("files", "stored", "region", "hour"))

    assert command() == [line(2, files=second, known=second), line(3, files=third, known=third)]
    forced = command(*DAYS, "--force")
    assert forced == [
        line(2, files=second, replayed=second),
        line(3, files=third, replayed=third),
    ]
    assert (sorted(events()), runs()) == before
    assert list(IngestHour.objects.order_by("id").values("files", "stored", "region", "hour")) == (
        stored
    )


def test_a_dry_run_only_counts(testbed, night):
    assert command(*DAYS, "--dry-run") == [
        line(day, files=night.files(day), left=night.files(day)) for day in (2, 3)
    ]
    assert events() == []
    assert not IngestHour.objects.exists()


def test_an_interrupted_replay_goes_on_where_it_was(testbed, night, monkeypatch):
    store, batches = replay.store_deliveries, []

    def stop_at_the_third(deliveries):
        if len(batches) == 2:
            raise KeyboardInterrupt
        batches.append(len(deliveries))
        store(deliveries)

    monkeypatch.setattr(replay, "store_deliveries", stop_at_the_third)
    with pytest.raises(KeyboardInterrupt):
        command()
    assert batches == [replay.BATCH] * 2
    assert events()
    monkeypatch.setattr(replay, "store_deliveries", store)
    done, second = 2 * replay.BATCH, night.files(2)
    assert command()[0] == line(2, files=second, known=done, replayed=second - done)
    assert runs() == night.spans


def test_only_what_live_ingest_has_not_done_is_replayed(testbed):
    testbed.ingest(trail.terminate_instances("i-1", at=at(3)), key=trail.log_key(account=ACCOUNT))
    late = trail.log_key(account=ACCOUNT, name="Late", at=at(13))
    testbed.put(trail.terminate_instances("i-2", at=at(4)), key=late)
    assert command()[0] == line(2, files=2, known=1, replayed=1)
    assert [event[0] for event in events()] == ["i-1", "i-2"]


def test_some_accounts_only(testbed):
    other = make_account("000000000042")
    make_aws_account(aws_account_id="999999999999", is_synthetic=True)
    for account in (ACCOUNT, other.aws_account_id, "888888888888"):
        record = trail.terminate_instances(f"i-{account}", at=at(3), account=account)
        testbed.put(record, key=trail.log_key(account=account))
    assert replay.aws_account_ids() == ["000000000042", ACCOUNT]
    assert command(*DAYS, "--account", "42")[0] == line(2, files=1, replayed=1)
    assert [event[0] for event in events()] == ["i-000000000042"]
    assert command()[0] == line(2, files=2, known=1, replayed=1)
    with pytest.raises(CommandError, match="There is no account 888888888888"):
        command(*DAYS, "--account", "888888888888")


def test_an_account_that_is_not_metered_is_left_as_it_is(testbed):
    testbed.put(trail.terminate_instances("i-1", at=at(3)), key=trail.log_key(account=ACCOUNT))
    type(testbed.account).objects.update(is_enabled=False)
    assert command()[0] == line(2, files=1, replayed=1)
    type(testbed.account).objects.update(is_enabled=True)
    assert command()[0] == line(2, files=1, known=1)
    assert events() == []
    assert command(*DAYS, "--force")[0] == line(2, files=1, replayed=1)
    assert [event[0] for event in events()] == ["i-1"]


def test_what_can_not_be_read_now_is_tried_the_next_time(testbed, monkeypatch, caplog):
    good, odd = (trail.log_key(account=ACCOUNT, name=name) for name in ("Good", "Odd"))
    testbed.put(trail.terminate_instances("i-1", at=at(3)), key=good)
    testbed.put(trail.terminate_instances("i-2", at=at(3)), key=odd)
    with monkeypatch.context() as patch:
        store = replay.read_files

        def fail_at_one(deliveries):
            store(deliveries)
            for delivery in deliveries:
                for file in delivery.files:
                    if file.notified.key == odd:
                        file.problem = OSError("away")

        patch.setattr(replay, "read_files", fail_at_one)
        with pytest.raises(CommandError, match="1 files failed; run the command again"):
            command()
    assert f"{BUCKET}/{odd} was not replayed: OSError('away')" in caplog.text
    assert command()[0] == line(2, files=2, known=1, replayed=1)
    assert {event[0] for event in events()} == {"i-1", "i-2"}


def test_archived_files_are_told_and_replayed_once_they_are_back(testbed):
    key = trail.log_key(account=ACCOUNT)
    body = trail.log_file([testbed.mine(trail.terminate_instances("i-1", at=at(3)))])
    s3 = testbed.aws.client("s3")
    s3.put_object(Bucket=BUCKET, Key=key, Body=body, StorageClass="GLACIER")
    assert command()[0] == line(2, files=1, archived=1)
    s3.put_object(Bucket=BUCKET, Key=key, Body=body)
    assert command()[0] == line(2, files=1, replayed=1)
    assert [event[0] for event in events()] == ["i-1"]


def test_days(testbed, caplog):
    assert replay.days_between(date(2020, 2, 28), date(2020, 3, 1)) == [
        date(2020, 2, 28),
        date(2020, 2, 29),
        date(2020, 3, 1),
    ]
    assert command("--since", "2020-01-20") == [line(20)]
    with pytest.raises(CommandError, match="before the first"):
        command("--since", "2020-01-03", "--until", "2020-01-02")


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
