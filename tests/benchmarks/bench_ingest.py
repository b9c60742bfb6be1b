"""Ingest of CloudTrail logs and the description of an account (spec 04 §7, §8)."""

import gzip
import json
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any
from unittest import mock

import msgspec

from api.clouds.aws.cloudtrail import read, replay
from api.clouds.aws.cloudtrail.listing import ListedObject
from api.clouds.aws.cloudtrail.object_keys import parse_key
from api.clouds.aws.cloudtrail.parse import gunzip
from api.clouds.aws.describe import read as describe_read
from api.clouds.aws.describe import sync
from api.clouds.aws.describe.ec2 import RUNNING, DescribedInstance, DescribedPage
from api.clouds.aws.describe.sync import describe_account
from api.clouds.aws.provisioning.queues import Message
from api.models import (
    Correction,
    DescribeRun,
    IngestHour,
    IngestObject,
    Instance,
    InstanceEvent,
    InstanceFact,
    Run,
)
from tests import factories
from tests.api.clouds.aws.testbed import ingest
from tests.benchmarks import bare, bulk
from tests.benchmarks.suite import Operation, Suite
from tests.generators import cloudtrail as trail

START = datetime(2023, 1, 1, tzinfo=UTC)
INSTANCES = 200
IMAGES = 20
RECORDS = 10_000
SPARSE_FILES = 40
SPARSE_RECORDS = 3_000
ONE_IN = 300
REPLAYED_A_SECOND = 100_000
"""Raw records, of processor time (spec 10 §3, "Bound")."""
REGIONS = 17
DESCRIBED = 10_000
PAGE = 1_000
"""Instances that EC2 lists at once."""
ENABLED = START - timedelta(days=30)


class Customer:
    """What the suites here share: a customer, and a bucket in memory for its logs."""

    def load(self) -> None:
        """Store the customer, its known instances and their images."""
        self.bucket: dict[str, bytes] = {}
        self.account = factories.make_aws_account(enabled_at=ENABLED, created_at=ENABLED)
        self.images = [factories.make_rhel_image() for _ in range(IMAGES)]
        self.instances = bulk.store_instances(
            [self.account], [self.images[place % IMAGES] for place in range(INSTANCES)]
        )
        bulk.store_events(
            (instance, int(ENABLED.timestamp()) + place, "power_on")
            for place, instance in enumerate(self.instances)
        )

    def fetch(self, notified: read.NotifiedObject) -> read.Content:
        """Stand in for S3."""
        data = self.bucket[notified.key]
        return read.Content(data, "", "", len(data))

    def put(self, name: str, records: Sequence[trail.Record]) -> Message:
        """Put a log file into the bucket; gives the message that announces it."""
        key = trail.log_key(account=str(self.account.aws_account_id), at=START, name=name)
        self.bucket[key] = trail.log_file(records)
        return Message(name, name, trail.notification("bucket", key), START, 1)

    def ingest(self, messages: Sequence[Message]) -> int:
        """Ingest messages, ten at a time as they come from SQS; gives how many were done with."""
        with mock.patch.object(read, "fetch", self.fetch):
            return sum(
                len(ingest(messages[first : first + 10])) for first in range(0, len(messages), 10)
            )

    def bare_decoding(self, name: str) -> list[Operation]:
        """Return the bare decoding of all log files, beside the operation of that name."""

        def decode(loads: Callable[[bytes], Any], unpack: Callable[[bytes], Any]) -> int:
            return sum(len(loads(unpack(data))["Records"]) for data in self.bucket.values())

        return [
            Operation(title, partial(decode, loads, unpack), bare_of=name)
            for title, loads, unpack in (
                ("barely: gzip and json.loads", json.loads, gzip.decompress),
                ("barely: isal and msgspec", msgspec.json.decode, gunzip),
            )
        ]

    def forget(self) -> None:
        """Have it as it was loaded."""
        InstanceEvent.objects.exclude(source_object=None).delete()
        bulk.truncate(
            *(
                model._meta.db_table
                for model in (Run, IngestObject, IngestHour, InstanceFact, Correction)
            )
        )
        bulk.truncate("api_staleusage")
        bulk.analyze()


class Dense(Customer, Suite):
    """All records matter: a customer's busiest hour."""

    title = "a log file of 10,000 relevant records, 200 known instances"

    def load(self) -> None:
        """Make a file in which each instance is stopped, resized and started again and again."""
        super().load()
        self.message = self.put("Dense", list(self.records()))

    def records(self) -> Iterator[trail.Record]:
        """Return the records, in the order of time."""
        account = self.account.aws_account_id
        for place in range(RECORDS):
            instance = self.instances[place % INSTANCES].cloud_instance_id
            at = START + timedelta(seconds=place)
            turn = place // INSTANCES % 5
            if turn in (0, 3):
                yield trail.stop_instances(instance, at=at, account=account)
            elif turn in (1, 4):
                yield trail.start_instances(instance, at=at, account=account)
            else:
                type = ("m5.large", "c5.large")[place // INSTANCES % 2]
                yield trail.modify_instance(instance, type, at=at, account=account)

    def operations(self) -> list[Operation]:
        """Return ingest, the same once more, and the same done barely."""
        name = f"ingest of {RECORDS:,} records"
        return [
            Operation(
                name,
                lambda: self.ingest([self.message]),
                prepare=self.forget,
                check=self.check,
                target={"total_cpu_s": 0.9, "statements": 80, "peak_rss_mib": 200},
            ),
            Operation(
                "the same file again",
                lambda: self.ingest([self.message]),
                check=self.check,
                target={"total_cpu_s": 0.9, "statements": 80},
            ),
            Operation(
                "barely: json.loads and one bulk insert, no runs",
                self.barely,
                prepare=self.forget,
                check=lambda stored: self.check(1),
                bare_of=name,
            ),
            *self.bare_decoding(name),
        ]

    def check(self, done: int) -> None:
        """See that every record became an event."""
        assert done == 1
        assert InstanceEvent.objects.exclude(source_object=None).count() == RECORDS

    def barely(self) -> int:
        """Decode the file and insert its events, asking and recording nothing else."""
        (data,) = self.bucket.values()
        return bare.insert_events(json.loads(gunzip(data))["Records"], self.account)


class Sparse(Customer, Suite):
    """One record in some hundreds matters, as in real logs."""

    title = f"{SPARSE_FILES} log files of {SPARSE_RECORDS:,} records, one in {ONE_IN} relevant"

    def load(self) -> None:
        """Make the files."""
        super().load()
        self.messages = [
            self.put(f"Sparse{number}", list(self.records(number)))
            for number in range(SPARSE_FILES)
        ]

    def records(self, number: int) -> Iterator[trail.Record]:
        """Return the records of one file."""
        account = self.account.aws_account_id
        for place in range(SPARSE_RECORDS):
            at = START + timedelta(minutes=5 * number, seconds=place)
            if place % ONE_IN:
                yield trail.noise(place, at=at, account=account)
            else:
                instance = self.instances[(number + place) % INSTANCES].cloud_instance_id
                make = trail.stop_instances if number % 2 else trail.start_instances
                yield make(instance, at=at, account=account)

    def operations(self) -> list[Operation]:
        """Return ingest, and bare decoding."""
        name = f"ingest of {SPARSE_FILES * SPARSE_RECORDS:,} records"
        return [
            Operation(
                name,
                lambda: self.ingest(self.messages),
                prepare=self.forget,
                check=self.check,
                target={"total_cpu_s": 0.35},
            ),
            Operation(
                f"replay of {SPARSE_FILES * SPARSE_RECORDS:,} records",
                self.replay,
                prepare=self.forget,
                check=self.check,
                target={"total_cpu_s": SPARSE_FILES * SPARSE_RECORDS / REPLAYED_A_SECOND},
            ),
            *self.bare_decoding(name),
        ]

    def replay(self) -> int:
        """Work again on all files of the day, as they are listed; gives how many there were."""
        account = str(self.account.aws_account_id)
        folder = replay.Folder(account, "us-east-1", START.date())
        listed = [
            ListedObject(trail_key, "", len(self.bucket[key]), START)
            for key in sorted(self.bucket)
            if (trail_key := parse_key(key)) is not None
        ]
        done = replay.ReplayReport()
        with (
            mock.patch.object(read, "fetch", self.fetch),
            mock.patch.object(replay, "everything", return_value=iter(listed)),
        ):
            replay.replay_folder(
                folder,
                replay.Wanted(START.date(), START.date(), account),
                after="",
                done=lambda key, report, failed: done.add(report),
            )
        return done.replayed

    def check(self, done: int) -> None:
        """See that all was read."""
        assert done == SPARSE_FILES
        stored = InstanceEvent.objects.exclude(source_object=None).count()
        assert stored == SPARSE_FILES * SPARSE_RECORDS // ONE_IN


class Description(Customer, Suite):
    """A scan of a large account."""

    title = f"{DESCRIBED:,} instances in {REGIONS} regions"

    def operations(self) -> list[Operation]:
        """Return the first scan and one that finds nothing new."""
        return [
            Operation(
                "first scan",
                self.describe,
                prepare=self.forget_all,
                check=self.check,
                rounds=1,
                target={"peak_rss_mib": 300},
            ),
            Operation("nothing new", self.describe, check=self.check, rounds=1),
        ]

    def describe(self) -> None:
        """Describe the account with an EC2 that answers at once."""
        regions = [f"region-{number}" for number in range(REGIONS)]
        with (
            mock.patch.object(sync, "describe_regions", return_value=regions),
            mock.patch.object(sync, "describe_all_instances", self.listed),
            mock.patch.object(describe_read, "describe_images", return_value=iter(())),
        ):
            describe_account(account_id=self.account.id)

    def listed(self, arn: object, region: str) -> Iterator[DescribedPage]:
        """Yield the instances of one region, by pages."""
        first = int(region.rpartition("-")[2])
        numbers = range(first, DESCRIBED, REGIONS)
        for place in range(0, len(numbers), PAGE):
            yield DescribedPage(
                [self._instance(number) for number in numbers[place : place + PAGE]], 0
            )

    def _instance(self, number: int) -> DescribedInstance:
        return DescribedInstance(
            instance_id=f"i-{number:017x}d",
            image_id=self.images[number % IMAGES].cloud_image_id,
            instance_type="m5.large",
            subnet="subnet-1",
            state=RUNNING,
            is_windows=False,
            facts={"instance_type": "m5.large", "tenancy": "default"},
        )

    def forget_all(self) -> None:
        """Have no instances."""
        self.forget()
        DescribeRun.objects.all().delete()
        InstanceEvent.objects.all().delete()
        Instance.objects.all().delete()

    def check(self, _: None) -> None:
        """See that all are there and on."""
        assert Instance.objects.count() == DESCRIBED
        assert Run.objects.filter(end_time=None).count() == DESCRIBED
