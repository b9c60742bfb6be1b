"""The end of a very large account (spec 03 §9.2), and messages of the sources service."""

import datetime
import time
from collections.abc import Callable
from typing import Any

from django.db import connection

from api.accounts.deletion import delete_account
from api.accounts.lifecycle import pause_application
from api.accounts.states import OPERATOR
from api.models import CloudAccount, Instance, InstanceEvent, MachineImage, Run, User
from tests import factories
from tests.benchmarks.measure import Cost, cpu_of_family
from tests.benchmarks.suite import Operation, Suite
from tests.e2e.sources_environment import CREATE, PAUSE, SourcesEnvironment
from util import clock

INSTANCES = 100_000
EVENTS_PER_INSTANCE = 10
RUNNING = 20_000
IMAGES = 500
SHARED_IMAGES = 100

_STORE_INSTANCES = """
INSERT INTO api_instance (created_at, updated_at, cloud_account_id, machine_image_id, cloud_type,
                          cloud_instance_id, region)
SELECT %(now)s, %(now)s, %(account)s, (%(images)s::bigint[])[1 + number %% cardinality(%(images)s)],
       'aws', %(prefix)s || number, 'us-east-1'
FROM generate_series(1, %(instances)s) number
"""
_STORE_EVENTS = """
INSERT INTO api_instanceevent (created_at, updated_at, instance_id, cloud_account_id, event_type,
                               occurred_at, instance_type, origin, source_id, source_name)
SELECT %(now)s, %(now)s, instance.id, instance.cloud_account_id,
       CASE WHEN turn %% 2 = 1 THEN 'power_on' ELSE 'power_off' END,
       %(now)s - make_interval(days => 100 - turn), 't3.large', 'cloudtrail', '', ''
FROM api_instance instance CROSS JOIN generate_series(1, %(events)s) turn
WHERE instance.cloud_account_id = %(account)s
  AND (turn < %(events)s OR instance.id %% %(one_in)s <> 0)
"""
_STORE_RUNS = """
INSERT INTO api_run (created_at, updated_at, instance_id, cloud_account_id, machine_image_id,
                     start_time, end_time, instance_type, vcpu, memory)
SELECT %(now)s, %(now)s, event.instance_id, event.cloud_account_id, instance.machine_image_id,
       event.occurred_at,
       (SELECT min(later.occurred_at) FROM api_instanceevent later
        WHERE later.instance_id = event.instance_id AND later.occurred_at > event.occurred_at),
       event.instance_type, 2, 8192
FROM api_instanceevent event JOIN api_instance instance ON instance.id = event.instance_id
WHERE event.event_type = 'power_on' AND event.cloud_account_id = %(account)s
"""


class LargeAccount(Suite):
    """One account with 100,000 instances and almost 1,000,000 events; others share its images."""

    title = "account with 100,000 instances, 1,000,000 events"

    def load(self) -> None:
        """Store the account; each fifth instance is on."""
        self.user = factories.make_user()
        self.account = factories.make_aws_account(user=self.user)
        other = factories.make_aws_account()
        images = [factories.make_rhel_image() for _ in range(IMAGES)]
        for image in images[:SHARED_IMAGES]:
            factories.make_instance(account=other, image=image)
        parameters: dict[str, Any] = {
            "now": clock.now(),
            "account": self.account.id,
            "images": [image.id for image in images],
            "prefix": "i-large-",
            "instances": INSTANCES,
            "events": EVENTS_PER_INSTANCE,
            "one_in": INSTANCES // RUNNING,
        }
        with connection.cursor() as cursor:
            for statement in (_STORE_INSTANCES, _STORE_EVENTS):
                cursor.execute(statement, parameters)
            cursor.execute("ANALYZE")
            cursor.execute(_STORE_RUNS, parameters)
        for days in range(100):
            date = clock.today() - datetime.timedelta(days=days)
            factories.make_usage(user=self.user, date=date)

    def operations(self) -> list[Operation]:
        """Pause the account, then delete it."""
        return [
            Operation(
                "pause it: 20,000 instances are on",
                self.pause,
                check=self.check_paused,
                target={"wall_s": 60, "peak_rss_mib": 300},
                rounds=1,
            ),
            Operation(
                "delete it",
                self.delete,
                check=self.check_deleted,
                target={"wall_s": 60, "statements": 70, "peak_rss_mib": 300},
                rounds=1,
            ),
        ]

    def pause(self) -> int:
        """Write the power-offs and end the runs."""
        return pause_application(
            application_id=self.account.platform_application_id, trigger=OPERATOR
        )

    def check_paused(self, paused: int) -> None:
        """Nothing is on any more."""
        assert paused == 1
        assert not Run.objects.filter(cloud_account=self.account, end_time=None).exists()
        assert InstanceEvent.objects.filter(origin="pause").count() == RUNNING

    def delete(self) -> bool:
        """Delete the account, and its user with it."""
        return delete_account(account_id=self.account.id, trigger=OPERATOR)

    def check_deleted(self, deleted: bool) -> None:
        """Only what is another's is left."""
        assert deleted
        assert CloudAccount.objects.count() == 1
        assert User.objects.count() == 1
        assert Instance.objects.count() == SHARED_IMAGES
        assert MachineImage.objects.count() == SHARED_IMAGES
        assert not InstanceEvent.objects.exists()
        assert not Run.objects.exists()


class BenchmarkEnvironment(SourcesEnvironment):
    """Listener and workers that wait as long as they do in production, not as in tests."""

    settings = {
        **SourcesEnvironment.settings,
        "SWEEP_INBOX_SCHEDULE": "60",
        "INBOX_LEASE_SECONDS": "30",
        "INBOX_REQUEUE_SECONDS": "60",
        "CELERY_LOST_WORKER_SECONDS": "300",
    }


class Messages(Suite):
    """The product's own listener and two workers, on services of their own.

    Processor time is that of the named processes, and of PostgreSQL; the broker's is left out.
    """

    title = "messages of the sources service"
    burst = 2_000
    newcomers = 30
    workers = ("worker-1", "worker-2")

    def load(self) -> None:
        """Start everything."""
        self.environment = BenchmarkEnvironment()

    def unload(self) -> None:
        """Stop everything."""
        self.environment.stop()

    def operations(self) -> list[Operation]:
        """Let messages in, then let accounts be created."""
        return [
            Operation(
                f"listener: {self.burst:,} messages from Kafka to Celery",
                self.receive,
                prepare=self.stop_workers,
                rounds=1,
            ),
            Operation(
                f"worker: {self.burst:,} messages about unknown applications",
                self.work,
                rounds=1,
            ),
            Operation("30 accounts created, two workers", self.create, rounds=1),
        ]

    def stop_workers(self) -> None:
        """Let tasks stay where they are queued."""
        self.environment.kill(*self.workers)

    def receive(self) -> Cost:
        """Write messages and wait until all are stored and queued."""
        customers = [self.environment.new_customer() for _ in range(20)]

        def receive() -> None:
            for customer in customers:
                self.environment.send(customer, *[PAUSE] * (self.burst // len(customers)))
            self.wait_for(lambda: self.queued() == self.burst, "all are queued")

        return self.measured(receive, self.burst, "listener")

    def queued(self) -> int:
        """Count the messages whose tasks are queued."""
        return self.environment.query(
            "SELECT count(*) FROM api_inboxmessage WHERE queued_at IS NOT NULL"
        )[0][0]

    def work(self) -> Cost:
        """Have the workers do all that waits; their start is not measured."""
        self.environment.start(*self.workers)
        self.environment.wait_until_ready()
        return self.measured(
            lambda: self.wait_for(lambda: self.unfinished() == 0, "all are done"),
            self.unfinished(),
            *self.workers,
        )

    def unfinished(self) -> int:
        """Count the messages that are not processed."""
        return self.environment.query(
            "SELECT count(*) FROM api_inboxmessage WHERE state <> 'processed'"
        )[0][0]

    def wait_for(self, condition: Callable[[], bool], what: str) -> None:
        """Wait, looking so seldom that looking costs nothing."""
        self.environment.wait_for(condition, what, 600, pause=1)

    def measured(self, do: Callable[[], None], messages: int, *names: str) -> Cost:
        """Return what something costs in the processes of these names, and in PostgreSQL."""
        postgres = self.environment.service("postgres").pid
        processes = [self.environment.process_id(name) for name in names]
        begin = time.perf_counter()
        before = [cpu_of_family(one) or 0.0 for one in (postgres, *processes)]
        do()
        spent = [
            (cpu_of_family(one) or 0.0) - already
            for one, already in zip((postgres, *processes), before, strict=True)
        ]
        return Cost(
            wall_s=time.perf_counter() - begin,
            cpu_s=sum(spent[1:]),
            db_cpu_s=spent[0],
            messages=messages,
        )

    def create(self) -> Cost:
        """Onboard customers, with all that this asks of sources and AWS."""
        customers = [self.environment.new_customer() for _ in range(self.newcomers)]
        begin = time.perf_counter()
        for customer in customers:
            self.environment.send(customer, CREATE)
        self.environment.wait_for(
            lambda: self.environment.are_done(self.newcomers, *customers), "all are done", 600
        )
        return Cost(wall_s=time.perf_counter() - begin, messages=self.newcomers)
