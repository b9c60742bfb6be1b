"""Lives of instances, of whose logs some are lost and some late, and whose regions may fail.

Through the real ingest, the real describe and PostgreSQL; the reference are the true lives. After
all scans, and when all late logs have arrived, runs are the truth but where corrections say that it
is unsure (README decisions 30 to 32, 41; 09 P5).
"""

import contextlib
import random
from collections import defaultdict
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial

import pytest
import time_machine

from api.clouds.aws.describe import read, sync
from api.clouds.aws.describe.ec2 import DescribedPage
from api.clouds.aws.errors import AwsError
from api.models import Correction, DescribeRun, InstanceEvent, Run
from tests.api.clouds.aws.testbed import BEGINNING, ingest, make_account
from tests.factories import number
from tests.generators import cloudtrail as trail
from tests.generators.fleet import LogFile
from tests.generators.lives import LOGGED, Change, Life, errors
from tests.threads import NoThreads, in_threads
from util import clock

pytestmark = pytest.mark.random_history

REGIONS = ("us-east-1", "eu-west-1")
BETWEEN = timedelta(hours=6)
MARGIN = timedelta(minutes=2)
"""Before and after a scan nothing happens for so long."""


@dataclass
class Cloud:
    """The lives of an account's instances, and the logs of them that are on their way."""

    seed: int
    lives: dict[str, list[Life]] = field(default_factory=dict)
    on_their_way: list[tuple[datetime, Life, str, Change]] = field(default_factory=list)
    failing: set[str] = field(default_factory=set)

    def __post_init__(self):
        self.random = random.Random(self.seed)
        for region in REGIONS:
            self.lives[region] = [
                Life(f"i-{region[:2]}{place:04}", image_id=f"ami-{place % 3}") for place in range(8)
            ]

    def live(self, start, end):
        """Let things happen until the next scan, which fails in some regions."""
        self.failing = {region for region in REGIONS if self.random.random() < 0.2}
        for region, lives in self.lives.items():
            for life in lives:
                self._live(life, region, start + MARGIN, end - MARGIN)

    def _live(self, life, region, start, end):
        count = self.random.choice([0, 0, 1, 1, 2, 3])
        seconds = (end - start).total_seconds()
        moments = [start + timedelta(seconds=self.random.uniform(0, seconds)) for _ in range(count)]
        changes = [
            life.add(at, kind) for at in sorted(moments) if (kind := self._possible(life)) != ""
        ]
        unlogged = self._unlogged(life, region, changes)
        for change in changes[: len(changes) - unlogged]:
            hours = self.random.choice([0, 0, 0, 1, 7, 30, 90])
            arrives = change.at + MARGIN + timedelta(hours=hours)
            self.on_their_way.append((arrives, life, region, change))

    def _possible(self, life):
        if life.is_gone:
            return ""
        if not life.changes:
            return "run"
        return self.random.choice(["stop", "terminate"]) if life.is_on else "start"

    def _unlogged(self, life, region, changes):
        """Lose the logs of the last changes, where the next scan can tell; returns how many."""
        if not changes or region in self.failing:
            return 0
        if self.random.random() < 0.5:
            return 0
        if changes[-1].kind == "stop" and self.random.random() < 0.5:
            life.changes[-1] = changes[-1] = Change(changes[-1].at, "fail")
            return 1
        both = [change.kind for change in changes[-2:]]
        return 2 if both in (["start", "stop"], ["run", "stop"]) else 1

    def arrived(self, now):
        """Return the log files that have arrived since the last time."""
        due = [one for one in self.on_their_way if one[0] <= now]
        self.on_their_way = [one for one in self.on_their_way if one[0] > now]
        self.random.shuffle(due)
        return [_file(life, region, change) for _, life, region, change in due]

    def pages(self, region):
        """Return what EC2 lists now."""
        if region in self.failing:
            raise ValueError("nobody expects this")
        listed = [life.described(clock.now()) for life in self.lives[region]]
        instances = [one for one in listed if one]
        return iter([DescribedPage(instances[:3], 0), DescribedPage(instances[3:], 0)])


def _file(life, region, change):
    where = {"at": change.at, "region": region}
    name = LOGGED[change.kind]
    if change.kind == "run":
        item = trail.launched(life.instance_id, image=life.image_id, at=change.at)
        record = trail.run_instances(item, **where)
    else:
        make = {
            "StartInstances": trail.start_instances,
            "StopInstances": trail.stop_instances,
            "TerminateInstances": trail.terminate_instances,
        }
        record = make[name](life.instance_id, **where)
    key = trail.log_key(region=region, at=change.at, name=f"{number():016}")
    return LogFile(key, [record])


@pytest.fixture
def account(monkeypatch):
    monkeypatch.setattr(sync, "DatabaseClock", lambda: clock)
    monkeypatch.setattr(read, "ThreadPoolExecutor", NoThreads)
    monkeypatch.setattr(sync, "describe_regions", lambda arn: list(REGIONS))
    monkeypatch.setattr(read, "describe_images", lambda *_: iter(()))
    return make_account(trail.ACCOUNT)


def scan(account):
    with contextlib.suppress(AwsError):
        sync.describe_account(account_id=account.id)


def deliver(logs, files):
    messages = logs.notified(files)
    assert ingest(messages) == messages


@pytest.mark.django_db
@pytest.mark.parametrize("seed", range(8))
def test_lives_with_lost_and_late_logs(logs, account, monkeypatch, seed):
    cloud = Cloud(seed)
    monkeypatch.setattr(sync, "describe_all_instances", lambda _, region: cloud.pages(region))
    now = BEGINNING + timedelta(seconds=5)
    with time_machine.travel(now, tick=False):
        scan(account)
    for _ in range(10):
        cloud.live(now, now + BETWEEN)
        now += BETWEEN
        with time_machine.travel(now, tick=False):
            deliver(logs, cloud.arrived(now))
            scan(account)
    cloud.failing = set()
    for days in (0, 10, 11):
        with time_machine.travel(now + timedelta(days=days, minutes=1), tick=False):
            deliver(logs, cloud.arrived(clock.now()))
            before = InstanceEvent.objects.count()
            scan(account)
            new = InstanceEvent.objects.count() - before
    assert new == 0
    assert not cloud.on_their_way
    check(cloud)
    assert DescribeRun.objects.filter(outcome="failed").exists()


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("seed", range(100, 104))
def test_lives_with_looks_and_logs_at_the_same_time(logs, account, monkeypatch, seed):
    """Two workers describe the account while two others store its logs."""
    cloud = Cloud(seed)
    monkeypatch.setattr(sync, "describe_all_instances", lambda _, region: cloud.pages(region))
    now = BEGINNING + timedelta(seconds=5)
    with time_machine.travel(now, tick=False):
        scan(account)
    for _ in range(6):
        cloud.live(now, now + BETWEEN)
        now += BETWEEN
        with time_machine.travel(now, tick=False):
            files = cloud.arrived(now)
            works = [partial(deliver, logs, files[place::2]) for place in range(2)]
            in_threads(*works, *[partial(scan, account)] * 2)
    cloud.failing = set()
    with time_machine.travel(now + timedelta(days=10), tick=False):
        deliver(logs, cloud.arrived(clock.now()))
        scan(account)
    assert not cloud.on_their_way
    check(cloud)


def check(cloud):
    runs, unsure = defaultdict(list), defaultdict(list)
    columns = ("instance__cloud_instance_id", "start_time", "end_time")
    for name, start, end in Run.objects.values_list(*columns):
        runs[name].append((start, end))
    columns = ("instance__cloud_instance_id", "unsure_from", "unsure_to")
    corrections = Correction.objects.exclude(kind="image_filled").values_list(*columns)
    for name, unsure_from, unsure_to in corrections:
        assert unsure_from is not None
        unsure[name].append((unsure_from, unsure_to))
    lives = [life for lives in cloud.lives.values() for life in lives]
    wrong = {
        life.instance_id: found
        for life in lives
        if (found := errors(life.spans, runs[life.instance_id], unsure=unsure[life.instance_id]))
    }
    assert wrong == {}
    assert any(life.spans for life in lives)
    assert any(start == end for spans in unsure.values() for start, end in spans)
