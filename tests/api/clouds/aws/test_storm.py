"""Everything at once, by workers whose clocks are apart, ends as the reference says.

Twelve threads with database connections of their own: three store log files that come in any order
and twice, among them tags; two look at regions; two save inspection results; one disables a
customer's account, one deletes another's, one disables a third one's and enables it again. Until
they have ended one runs the hourly passes and one calculates what is stale. Their clocks differ by
up to a minute. At the end every event that was logged of the customers who stayed is stored once,
and all runs and all days are those of the reference implementation
(``tests/api/metering/reference.py``).

Calculations pause between what they read and what they write, so that others get in between. With
these faults put in on purpose it failed: ``lock_metering`` and its siblings take no lock;
``calculate_usage`` deletes all marks of the customer instead of those that it read (in two of three
storms).

``CLOUDIGRADE_STORMS`` is how many storms there are, each with a seed of its own.
"""

import json
import logging
import os
import random
import threading
import time
from collections import defaultdict
from datetime import date, timedelta
from functools import partial

import pytest

from api.accounts import lifecycle
from api.accounts.deletion import delete_account
from api.accounts.states import Trigger
from api.clouds.aws.cloudtrail import load_by_customer
from api.clouds.aws.cloudtrail import pipeline as ingest_module
from api.clouds.aws.describe import read, sync
from api.clouds.aws.describe.ec2 import DescribedPage
from api.images.changes import change_images
from api.metering import recalculate, runs, usage
from api.metering.window import UsageWindow
from api.models import (
    CloudAccount,
    ConcurrentUsage,
    DescribeRun,
    ImageFact,
    Instance,
    InstanceEvent,
    Run,
    StaleUsage,
    UserTaskLock,
)
from tests import threads
from tests.api.clouds.aws.testbed import BEGINNING, at, ingest, make_account
from tests.api.metering import reference
from tests.factories import make_aws_image, make_instance
from tests.generators import cloudtrail as trail
from tests.generators.fleet import LogFile
from tests.generators.lives import Life
from util import clock
from util import postgres as database

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.slow,
    pytest.mark.random_history,
]

NOW = at(12, day=20)
LAST_DAY = NOW.date()
STAYING = ("000000000001", "000000000002", "000000000003")
DISABLED, DELETED, AGAIN = "000000000004", "000000000005", "000000000006"
HOLDER = "000000000007"
ACCOUNTS = (*STAYING, DISABLED, DELETED, AGAIN)
INSPECTED = tuple(f"ami-inspected{place}" for place in range(20))
AMIS = ("ami-tagged", "ami-plain", *INSPECTED)
INSTANCES = 8
ATTEMPTS = 400
LONGEST_PAUSE = 0.05
STORMS = int(os.environ.get("CLOUDIGRADE_STORMS", "2"))

_local = threading.local()


@pytest.fixture
def clocks(monkeypatch):
    """Each thread has a clock of its own, PostgreSQL the right one; all of them stand still."""
    monkeypatch.setattr(clock, "now", lambda: NOW + getattr(_local, "offset", timedelta()))
    monkeypatch.setattr(database, "now", lambda: NOW)


@pytest.fixture
def pauses(monkeypatch):
    """Calculations pause when they have read something, as large ones do."""

    def pause_before(place, name):
        real = getattr(place, name)

        def pausing(*args, **kwargs):
            time.sleep(random.uniform(0, LONGEST_PAUSE))
            return real(*args, **kwargs)

        monkeypatch.setattr(place, name, pausing)

    # The events were read, the marks were read, the runs were read.
    pause_before(runs, "_stored_runs")
    pause_before(usage, "_stored_days")
    pause_before(UsageWindow, "_facets_of")


@pytest.fixture
def patience(monkeypatch):
    """Threads of this process may be slow, but customers who are busy come again soon."""
    monkeypatch.setattr(threads, "_PATIENCE_SECONDS", 600)
    monkeypatch.setattr(load_by_customer, "LOCK_SECONDS", 0.5)
    monkeypatch.setattr(load_by_customer, "SHORT_LOCK_SECONDS", 0.2)


class Storm:
    """Customers with the true histories of their instances, and the log files of these."""

    def __init__(self, seed):
        self.random = random.Random(seed)
        self.accounts = {number: make_account(number) for number in ACCOUNTS}
        for account in self.accounts.values():
            UserTaskLock.objects.get_or_create(user_id=account.user_id)
            _note_first_look(account)
        self.images = {ami: make_aws_image(cloud_image_id=ami, status="inspected") for ami in AMIS}
        # Somebody else uses them all, so that they are not erased with the customer who goes.
        holder = make_account(HOLDER)
        for image in self.images.values():
            make_instance(account=holder, image=image)
        self.truth = defaultdict(list)
        self.lives = defaultdict(list)
        self._underway = 0
        self._lock = threading.Lock()
        self.files = [file for number in self.accounts for file in self._files_of(number)]
        self.files += self.random.sample(self.files, len(self.files) // 3)
        self.random.shuffle(self.files)

    def _files_of(self, number):
        records = [
            record
            for place in range(INSTANCES)
            for record in self._history(number, f"i-{number[-1]}{place}")
        ]
        # The last that a customer does about the tag decides: the first one has it, no other.
        moments = sorted(self._moment() for _ in range(4))
        for place, moment in enumerate(moments):
            make = trail.create_tags if place % 2 == (number == STAYING[0]) else trail.delete_tags
            records.append(make("ami-tagged", at=moment))
        self.random.shuffle(records)
        while records:
            size = self.random.randrange(1, 5)
            chosen, records = records[:size], records[size:]
            name = f"N{self.random.randrange(10**15):015}"
            own = json.loads(json.dumps(chosen).replace(trail.ACCOUNT, number))
            yield LogFile(trail.log_key(account=number, at=at(1, day=19), name=name), own)

    def _moment(self):
        return BEGINNING + timedelta(days=1, seconds=self.random.randrange(15 * 86400))

    def _history(self, number, instance_id):
        moment = self._moment()
        image = self.random.choice(AMIS)
        item = trail.launched(instance_id, image=image, at=moment)
        yield trail.run_instances(item, at=moment)
        self.truth[number].append((instance_id, "power_on", moment))
        life = Life(instance_id, image)
        life.add(moment, "run")
        self.lives[number].append(life)
        # Most end stopped: so what changes concerns a few days, and others have others.
        for place in range(self.random.choice([0, 1, 1, 2, 3, 3, 5, 7])):
            moment += timedelta(seconds=self.random.choice([1, 60, 4000, 30000, 90000]))
            kind = "power_on" if place % 2 else "power_off"
            make = trail.start_instances if place % 2 else trail.stop_instances
            yield make(instance_id, at=moment)
            self.truth[number].append((instance_id, kind, moment))
            life.add(moment, "start" if place % 2 else "stop")

    def pages(self, arn, _region):
        """Return what EC2 lists now."""
        listed = [life.described(NOW) for life in self.lives[arn.account_id]]
        return iter([DescribedPage(listed[:3], 0), DescribedPage(listed[3:], 0)])

    def ends(self, work):
        """Return work that has an end, for which the others go on."""
        self._underway += 1

        def act():
            try:
                return work()
            finally:
                with self._lock:
                    self._underway -= 1

        return act

    def goes_on(self, work):
        """Return work that is done again and again until all that has an end has ended."""

        def act():
            while self._underway:
                work()

        return act


def _note_first_look(account):
    """The first look at an account dates by its own time (decision 31); it is over."""
    moment = account.enabled_at
    DescribeRun.objects.create(
        cloud_account_id=account.id,
        region="us-east-1",
        kind=DescribeRun.Kind.INITIAL,
        outcome=DescribeRun.Outcome.OK,
        started_at=moment,
        finished_at=moment,
    )


class Queue:
    """Messages that wait; what a busy customer's file comes back as waits again."""

    def __init__(self, messages):
        self._messages = list(messages)
        self._lock = threading.Lock()

    def take(self, count):
        with self._lock:
            taken, self._messages = self._messages[:count], self._messages[count:]
            return taken

    def put_back(self, messages):
        with self._lock:
            self._messages += messages


def store_logs(queue, seed):
    """Work on messages until there are none."""
    rng = random.Random(seed)
    for _ in range(ATTEMPTS):
        messages = queue.take(rng.randrange(1, 6))
        if not messages:
            return
        done = ingest(messages)
        queue.put_back([message for message in messages if message not in done])


def run_passes():
    """Do what the hourly schedule does."""
    recalculate.recalculate_runs_of_all_accounts(since=BEGINNING)
    recalculate.recalculate_usage_of_all_users()


def look_at_regions(accounts):
    """Describe accounts, as happens every six hours."""
    for account in accounts:
        sync.describe_account(account_id=account.id)


def disable_and_enable(account, trigger):
    """Stop metering an account, and begin anew."""
    lifecycle.disable_account(account_id=account.id, trigger=trigger)
    assert lifecycle.enable_account(account_id=account.id, trigger=trigger)
    sync.describe_account(account_id=account.id)


def save_results(images, count):
    """Find RHEL in images and then not, and at last again."""
    for place in range(count * len(images)):
        image, turn = images[place % len(images)], place // len(images)
        found = turn == count - 1 or turn % 2 == 0
        time.sleep(random.uniform(0, LONGEST_PAUSE))

        def change(one, found=found):
            one.inspection_json = json.dumps({"rhel_product_certs_found": found})
            return {"rules": ["rhel_product_certs"] if found else []}

        change_images(image_ids=[image.id], change=change, reason=ImageFact.Reason.INSPECTION)


def with_clock(seconds, work):
    """Return the work as somebody does it whose clock is wrong by so much."""

    def act():
        _local.offset = timedelta(seconds=seconds)
        try:
            return work()
        finally:
            _local.offset = timedelta()

    return act


class Verified:
    """The cloud is set up for the account, and nothing undid it."""

    def is_undone(self):
        return False


@pytest.mark.parametrize("seed", range(1, STORMS + 1))
def test_everything_at_once(logs, clocks, pauses, patience, monkeypatch, caplog, seed):
    storm = Storm(seed)
    monkeypatch.setattr(sync, "describe_regions", lambda arn: ["us-east-1"])
    monkeypatch.setattr(sync, "describe_all_instances", storm.pages)
    monkeypatch.setattr(read, "describe_images", lambda *_: iter(()))
    monkeypatch.setattr(lifecycle, "prepare", lambda *_, **__: Verified())
    queue = Queue(logs.notified(storm.files))
    monkeypatch.setattr(ingest_module, "_put_back", lambda _messages: None)
    operator = Trigger("operator")
    disabled, deleted = storm.accounts[DISABLED], storm.accounts[DELETED]
    again = storm.accounts[AGAIN]
    staying = [storm.accounts[number] for number in STAYING]
    images = [storm.images[ami] for ami in INSPECTED]
    works = [
        *(partial(store_logs, queue, seed * 10 + place) for place in range(3)),
        partial(look_at_regions, staying * 2),
        partial(look_at_regions, [*reversed(staying)] * 2),
        partial(save_results, images[::2], 3),
        partial(save_results, images[1::2], 3),
        partial(lifecycle.disable_account, account_id=disabled.id, trigger=operator),
        partial(delete_account, account_id=deleted.id, trigger=operator),
        partial(disable_and_enable, again, operator),
    ]
    works = [
        *map(storm.ends, works),
        storm.goes_on(run_passes),
        storm.goes_on(recalculate.recalculate_stale_usage),
    ]
    offsets = [-60, 60, 0, 45, -45, 30, 20, -20, 50, -50, 10, -10]
    threads.in_threads(*(with_clock(*pair) for pair in zip(offsets, works, strict=True)))
    store_logs(queue, 0)
    # Marks that were made while others were worked on wait for the next minute, and days of which
    # nothing is known yet for the next hour; what is stored and not marked is not looked at again.
    recalculate.recalculate_usage_of_all_users()
    recalculate.recalculate_stale_usage()
    assert not StaleUsage.objects.exists()
    check_log(caplog)
    check_events(storm)
    check_numbers(storm)
    assert not CloudAccount.objects.filter(id=deleted.id).exists()
    assert not Instance.objects.filter(cloud_account_id=deleted.id).exists()
    assert not Run.objects.filter(cloud_account_id=disabled.id, end_time=None).exists()
    on = Run.objects.filter(cloud_account_id=again.id, end_time=None)
    assert set(on.values_list("instance__cloud_instance_id", flat=True)) == {
        life.instance_id for life in storm.lives[AGAIN] if life.is_on
    }


def check_log(caplog):
    """Nobody was in anybody's way, but for customers who were busy."""
    troubles = [record.getMessage() for record in caplog.records if _is_trouble(record)]
    assert troubles == []


def _is_trouble(record):
    message = record.getMessage()
    if "lock timeout" in message:
        # A customer was busy for longer than one waits, as on a machine that is busy itself.
        return False
    return record.levelno >= logging.ERROR or "taken apart" in message


def check_events(storm):
    """Nothing is lost or doubled; of those who were disabled nothing is invented."""
    for number in STAYING:
        assert sorted(_logged(storm.accounts[number])) == sorted(storm.truth[number])
    for number in (DISABLED, AGAIN):
        logged = _logged(storm.accounts[number])
        assert len(set(logged)) == len(logged)
        assert set(logged) <= set(storm.truth[number])


def _logged(account):
    events = InstanceEvent.objects.filter(cloud_account=account, origin="cloudtrail")
    return list(events.values_list("instance__cloud_instance_id", "event_type", "occurred_at"))


def check_numbers(storm):
    """Runs and days are those of the reference implementation."""
    tagged_for = {storm.accounts[STAYING[0]].user_id}
    for number in (*STAYING, DISABLED, AGAIN):
        account = storm.accounts[number]
        expected = []
        for instance in Instance.objects.filter(cloud_account=account).select_related(
            "machine_image"
        ):
            events = InstanceEvent.objects.filter(instance=instance).order_by("id")
            columns = ("occurred_at", "event_type", "source_name")
            expected_runs = reference.expected_runs(list(events.values_list(*columns)))
            stored = Run.objects.filter(instance=instance).order_by("start_time")
            assert list(stored.values_list("start_time", "end_time")) == sorted(expected_runs)
            facets = _facets(instance.machine_image, account.user_id in tagged_for)
            expected += [reference.ReferenceRun(start, end, facets) for start, end in expected_runs]
        days = ConcurrentUsage.objects.filter(user_id=account.user_id)
        found = {
            row.date: {tuple(entry[:5]): entry[5] for entry in row.maximum_counts} for row in days
        }
        assert set(found) == {date(2020, 1, number) for number in range(1, LAST_DAY.day + 1)}
        for day, counts in found.items():
            assert counts == reference.expected_counts(expected, day), (number, day)


def _facets(image, has_tag):
    """What a run is counted for. Whoever was disabled may have an instance of unknown image."""
    if image is None:
        return None
    is_rhel = image.cloud_image_id in INSPECTED or (
        image.cloud_image_id == "ami-tagged" and has_tag
    )
    return (image.architecture or "", "", "", "", "") if is_rhel else None
