"""Everything at once, by workers whose clocks are apart, ends as the reference says.

Eight threads with database connections of their own: three store log files that come in any order
and twice, among them tags; one runs the hourly passes, one what is stale; one saves inspection
results; one disables a customer's account, one deletes another's. Their clocks differ by up to a
minute. At the end every event of the customers who stayed is stored once, and all runs and all
days are those of the reference implementation (``tests/api/metering/reference.py``). Looks at
regions beside logs are in ``test_describe_histories.py``.
"""

import json
import random
import threading
from collections import defaultdict
from datetime import date, timedelta
from functools import partial

import pytest

from api.accounts.deletion import delete_account
from api.accounts.lifecycle import disable_account
from api.accounts.states import Trigger
from api.clouds.aws.cloudtrail import load_by_customer
from api.clouds.aws.cloudtrail import pipeline as ingest_module
from api.clouds.aws.cloudtrail.pipeline import ingest
from api.images.changes import change_images
from api.metering import recalculate
from api.models import (
    CloudAccount,
    ConcurrentUsage,
    ImageFact,
    Instance,
    InstanceEvent,
    Run,
    StaleUsage,
    UserTaskLock,
)
from tests.api.clouds.aws.testbed import BEGINNING, at, make_account
from tests.api.metering import reference
from tests.factories import make_aws_image
from tests.generators import cloudtrail as trail
from tests.generators.fleet import LogFile
from tests.threads import in_threads
from util import clock
from util import postgres as database

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.slow]

NOW = at(12, day=20)
LAST_DAY = NOW.date()
STAYING = ("000000000001", "000000000002", "000000000003")
DISABLED, DELETED = "000000000004", "000000000005"
AMIS = ("ami-tagged", "ami-inspected", "ami-plain")
ATTEMPTS = 400

_local = threading.local()


@pytest.fixture
def clocks(monkeypatch):
    """Each thread has a clock of its own, PostgreSQL the right one; all of them stand still."""
    monkeypatch.setattr(clock, "now", lambda: NOW + getattr(_local, "offset", timedelta()))
    monkeypatch.setattr(database, "now", lambda: NOW)


class Storm:
    """Customers with the true histories of their instances, and the log files of these."""

    def __init__(self, seed):
        self.random = random.Random(seed)
        self.accounts = {number: make_account(number) for number in (*STAYING, DISABLED, DELETED)}
        for account in self.accounts.values():
            UserTaskLock.objects.get_or_create(user_id=account.user_id)
        self.images = {ami: make_aws_image(cloud_image_id=ami, status="inspected") for ami in AMIS}
        self.truth = defaultdict(list)
        self.files = [file for number in self.accounts for file in self._files_of(number)]
        self.files += self.random.sample(self.files, len(self.files) // 3)
        self.random.shuffle(self.files)

    def _files_of(self, number):
        records = [
            record
            for place in range(5)
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
        for place in range(self.random.randrange(8)):
            moment += timedelta(seconds=self.random.choice([1, 60, 4000, 30000, 90000]))
            kind = "power_on" if place % 2 else "power_off"
            make = trail.start_instances if place % 2 else trail.stop_instances
            yield make(instance_id, at=moment)
            self.truth[number].append((instance_id, kind, moment))


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


def run_passes(count):
    """Do what the hourly schedule does."""
    for _ in range(count):
        recalculate.recalculate_runs_of_all_accounts(since=BEGINNING)
        recalculate.recalculate_usage_of_all_users()


def calculate_stale(count):
    """Do what happens every minute."""
    for _ in range(count):
        recalculate.recalculate_stale_usage()


def save_results(image, count):
    """Find RHEL in an image and then not, and at last again."""
    for place in range(count):
        found = place == count - 1 or place % 2 == 0

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


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_everything_at_once(logs, clocks, monkeypatch, seed):
    monkeypatch.setattr(load_by_customer, "PATIENCE", 0.5)
    monkeypatch.setattr(load_by_customer, "HASTE", 0.2)
    storm = Storm(seed)
    queue = Queue(logs.notified(storm.files))
    monkeypatch.setattr(ingest_module, "_put_back", lambda _messages: None)
    operator = Trigger("operator")
    disabled, deleted = storm.accounts[DISABLED], storm.accounts[DELETED]
    works = [
        *(partial(store_logs, queue, seed * 10 + place) for place in range(3)),
        partial(run_passes, 3),
        partial(calculate_stale, 12),
        partial(save_results, storm.images["ami-inspected"], 9),
        partial(disable_account, account_id=disabled.id, trigger=operator),
        partial(delete_account, account_id=deleted.id, trigger=operator),
    ]
    offsets = [-60, 60, 0, 45, -45, 30, 20, -20]
    in_threads(*(with_clock(*pair) for pair in zip(offsets, works, strict=True)))
    store_logs(queue, 0)
    # Marks that were made while others were worked on wait for the next minute, and days of which
    # nothing is known yet for the next hour; what is stored and not marked is not looked at again.
    recalculate.recalculate_usage_of_all_users()
    calculate_stale(3)
    assert not StaleUsage.objects.exists()
    check_events(storm)
    check_numbers(storm)
    assert not CloudAccount.objects.filter(id=deleted.id).exists()
    assert not Instance.objects.filter(cloud_account_id=deleted.id).exists()
    assert not Run.objects.filter(cloud_account_id=disabled.id, end_time=None).exists()


def check_events(storm):
    """Nothing is lost or doubled; of the one who was disabled nothing is invented."""
    columns = ("instance__cloud_instance_id", "event_type", "occurred_at")
    for number in STAYING:
        events = InstanceEvent.objects.filter(cloud_account=storm.accounts[number])
        assert sorted(events.values_list(*columns)) == sorted(storm.truth[number])
    events = InstanceEvent.objects.filter(cloud_account=storm.accounts[DISABLED])
    logged = events.filter(origin="cloudtrail").values_list(*columns)
    assert len(set(logged)) == len(logged)
    assert set(logged) <= set(storm.truth[DISABLED])


def check_numbers(storm):
    """Runs and days are those of the reference implementation."""
    tagged_for = {storm.accounts[STAYING[0]].user_id}
    for number in (*STAYING, DISABLED):
        account = storm.accounts[number]
        expected = []
        for instance in Instance.objects.filter(cloud_account=account).select_related(
            "machine_image"
        ):
            events = InstanceEvent.objects.filter(instance=instance).order_by("id")
            columns = ("occurred_at", "event_type", "source_name")
            runs = reference.expected_runs(list(events.values_list(*columns)))
            stored = Run.objects.filter(instance=instance).order_by("start_time")
            assert list(stored.values_list("start_time", "end_time")) == sorted(runs)
            facets = _facets(instance.machine_image, account.user_id in tagged_for)
            expected += [reference.OracleRun(start, end, facets) for start, end in runs]
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
    is_rhel = image.cloud_image_id == "ami-inspected" or (
        image.cloud_image_id == "ami-tagged" and has_tag
    )
    return (image.architecture or "", "", "", "", "") if is_rhel else None
