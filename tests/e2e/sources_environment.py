"""The product's listener, workers and scheduler on services of their own, to be broken by tests."""

import json
import os
import signal
import threading
import time
import uuid
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import psycopg2
import redis
from confluent_kafka import Consumer, Producer

from api.sources.messages import CREATE, DESTROY, PAUSE, UNPAUSE, UPDATE
from cloudigrade.schedule import ENTRIES
from deployment.local.app import Product
from deployment.local.aws import AwsControl
from deployment.local.kafka import create_topics
from deployment.local.local_services import LocalServices
from deployment.local.ports import LOOPBACK
from deployment.local.process import ManagedProcess, stop_together
from deployment.local.sources import SourcesControl
from tests.deployment.messages import KAFKA_CLIENT
from tests.deployment.processes import suspended

EVENT_TOPIC = "platform.sources.event-stream"
STATUS_TOPIC = "platform.sources.status"
TIMEOUT_SECONDS = 120.0
"""Seconds, for a machine that is busy with other things as well."""

# What our processes say all the time.
_NOISE = ("configprovider.py", "api.tasks.sweep_inbox")

LISTENER = ("python", "./manage.py", "listen_to_sources")
WORKERS = ("worker-1", "worker-2")

_SETTINGS = {
    **{entry.period_variable: "0" for entry in ENTRIES},
    "SWEEP_INBOX_SCHEDULE": "2",
    "INBOX_LEASE_SECONDS": "3",
    "INBOX_REQUEUE_SECONDS": "5",
    "CELERY_LOST_WORKER_SECONDS": "8",
    "SOURCES_API_READ_TIMEOUT": "2",
    "CACHE_TTL_SOURCES_APPLICATION_TYPE_ID": "60",
}


@dataclass(frozen=True)
class Customer:
    """A customer of the sources service with one application, and its ids."""

    number: int

    @property
    def account_number(self) -> str:
        return f"{1_000_000 + self.number}"

    @property
    def org_id(self) -> str:
        return f"{5_000_000 + self.number}"

    @property
    def aws_account_id(self) -> str:
        return f"{300_000_000_000 + self.number}"

    def arn(self, role: str = "meter") -> str:
        return f"arn:aws:iam::{self.aws_account_id}:role/{role}"

    @property
    def authentication_id(self) -> int:
        return 10_000 + self.number

    @property
    def application_id(self) -> int:
        return 20_000 + self.number

    @property
    def source_id(self) -> int:
        return 30_000 + self.number

    def body(self, event_type: str) -> dict[str, Any]:
        if event_type == UPDATE:
            return {"id": str(self.authentication_id)}
        if event_type in (PAUSE, UNPAUSE):
            return {"id": self.application_id}
        return {
            "id": 40_000 + self.number,
            "application_id": self.application_id,
            "authentication_id": self.authentication_id,
        }


class SourcesEnvironment:
    """Everything that a message of the sources service meets on its way."""

    settings = _SETTINGS
    service_names: tuple[str, ...] = ("aws", "kafka", "valkey", "sources", "postgres")

    def __init__(self) -> None:
        self.services = LocalServices(self.service_names, environment={})
        self._exit = ExitStack()
        self._processes: dict[str, ManagedProcess] = {}
        try:
            self._start()
        except BaseException:
            self.stop()
            raise

    def _start(self) -> None:
        self._exit.callback(self.services.stop)
        self.services.start()
        self.product = Product(self.services, settings=self.settings)
        self._exit.callback(self.product.stop)
        self.product.start("beat")
        self._exit.callback(lambda: stop_together(self._processes.values()))
        self.sources = SourcesControl(self.services.env["SOURCES_API_BASE_URL"])
        self.aws = AwsControl(self.services.env["AWS_ENDPOINT_URL"])
        self.statuses = Statuses(self.bootstrap_servers)
        self._exit.callback(self.statuses.close)
        self._producer = Producer({"bootstrap.servers": self.bootstrap_servers, **KAFKA_CLIENT})
        self._numbers = iter(range(1, 100_000))
        self._start_processes()

    def _start_processes(self) -> None:
        self.start("listener", *WORKERS)
        self.wait_until_ready()

    # Services and processes

    def process_id(self, name: str) -> int:
        """Return the process of this name that was started last."""
        pid = self._processes[name].pid
        assert pid is not None
        return pid

    @property
    def bootstrap_servers(self) -> str:
        return self.services.embedded["kafka"].address

    def service(self, name: str) -> ManagedProcess:
        process = self.services.embedded[name].process
        assert process is not None
        return process

    def start(self, *names: str) -> None:
        """Start some of our processes, also those that were killed."""
        for name in names:
            self._run(name, LISTENER if name == "listener" else self.worker_command(name))

    def recover(self) -> None:
        """Start again what a test that failed has left dead."""
        for name in ("listener", *WORKERS):
            process = self._processes[name]
            if process.pid is None or process.exit_code() is not None:
                process.stop()
                self.start(name)
        self.wait_until_ready()

    def wait_until_ready(self) -> None:
        """Wait until the listener has its part of the topic, and the workers listen to Redis.

        The broker of these tests gives a group no partitions any more once a member has left it
        that was just joining.
        """
        self.wait_for(lambda: self.has_said("listener", "Kafka gives us"), "the listener is ready")
        for name in WORKERS:
            self.wait_for(partial(self.has_said, name, " ready."), f"{name} is ready")

    def has_said(self, name: str, text: str) -> bool:
        """Return whether the process of this name that runs now has logged a text."""
        process = self._processes[name]
        lines = process.log_file.read_text(errors="replace").splitlines()
        return any(text in line and f"| {process.pid} |" in line for line in lines)

    def worker_command(self, name: str) -> tuple[str, ...]:
        """Return the command of a worker that calls itself so."""
        return (
            *("celery", "--app", "cloudigrade", "worker", "--loglevel", "info"),
            *("--pool", "solo", "--without-gossip", "--without-mingle"),
            *("--hostname", f"{name}@test"),
            *("--queues", self.product.environment["CELERY_QUEUE_NAMES"]),
        )

    def _run(self, name: str, command: tuple[str, ...], **variables: str) -> ManagedProcess:
        surroundings = self.services.surroundings
        process = ManagedProcess(
            name=name,
            command=command,
            log_file=surroundings.log_file(name),
            watchdog=surroundings.watchdog,
            environment=self.product.environment | variables,
            directory=Path(__file__).parents[2],
        )
        process.start()
        self._processes[name] = process
        return process

    def kill(self, *names: str) -> None:
        """Let processes die without a word."""
        for name in names:
            os.kill(self.process_id(name), signal.SIGKILL)
            self._processes[name].stop()

    def end(self, name: str) -> None:
        """Ask a process to stop, and wait until it has: with exit code 0."""
        process = self._processes[name]
        process.request_stop()
        self.wait_for(lambda: process.exit_code() is not None, f"{name} has ended")
        assert process.exit_code() == 0, process.describe_failure("did not end well")
        process.stop()

    def restart_service(self, name: str, *, after: float = 0.0) -> None:
        """Stop a service and start it again after a while, empty if it keeps nothing on disk."""
        process = self.service(name)
        process.stop()
        time.sleep(after)
        process.start()
        self.services.embedded[name].wait_until_ready()

    def suspended(self, name: str) -> AbstractContextManager[None]:
        """Let a service hang: connections stay, nothing is answered."""
        pid = self.service(name).pid
        assert pid is not None
        return suspended(pid)

    def stop(self) -> None:
        """Stop everything that was started."""
        self._exit.close()

    def wait_for(
        self,
        condition: Callable[[], Any],
        what: str,
        seconds: float = TIMEOUT_SECONDS,
        pause: float = 0.1,
    ) -> None:
        """Wait until a condition holds, looking again after each pause."""
        deadline = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < deadline, f"not in {seconds:.0f} s: {what}"
            time.sleep(pause)

    def show_logs(self) -> None:
        """Print the last that our processes said, for whoever has to find out what went wrong."""
        for name, process in self._processes.items():
            print(f"--- {name}, running: {process.exit_code() is None}")
            lines = process.log_file.read_text(errors="replace").splitlines()[-1000:]
            said = [line for line in lines if not any(noise in line for noise in _NOISE)]
            print("\n".join(said[-60:]))

    # Customers

    def new_customer(self) -> Customer:
        """Make a customer whom the sources service knows and we do not."""
        customer = self.new_number()
        self.set_role(customer, "meter")
        return customer

    def new_number(self) -> Customer:
        """Make a customer whom nobody knows."""
        return Customer(next(self._numbers))

    def set_subscription(self, customer: Customer, subscription_id: str) -> None:
        """Let the sources service name this Azure subscription from now on."""
        self.sources.add_customer_application(
            authentication_id=customer.authentication_id,
            application_id=customer.application_id,
            source_id=customer.source_id,
            username=subscription_id,
            authtype="lighthouse_subscription_id",
        )

    def set_role(self, customer: Customer, role: str) -> None:
        """Let the sources service name this role from now on."""
        self.sources.add_customer_application(
            authentication_id=customer.authentication_id,
            application_id=customer.application_id,
            source_id=customer.source_id,
            username=customer.arn(role),
        )

    def customer_with_account(self) -> Customer:
        """Make a customer with an enabled account and one running instance."""
        customer = self.new_customer()
        with self.database() as cursor:
            cursor.execute(_USER, [str(uuid.uuid4()), customer.account_number, customer.org_id])
            user_id = cursor.fetchone()[0]
            cursor.execute(_LOCK, [user_id])
            ids = [customer.authentication_id, customer.application_id, customer.source_id]
            cursor.execute(_ACCOUNT, [user_id, customer.aws_account_id, customer.arn(), *ids])
            account_id = cursor.fetchone()[0]
            cursor.execute(_INSTANCE, [account_id, f"i-{customer.number:017x}"])
            cursor.execute(_EVENT, [cursor.fetchone()[0], account_id])
        return customer

    def send(self, customer: Customer, *event_types: str) -> None:
        """Write messages of a customer to Kafka, in order, and wait until it has them."""
        tenant = {
            "x-rh-sources-account-number": customer.account_number,
            "x-rh-sources-org-id": customer.org_id,
        }
        self._produce(
            customer.org_id,
            [
                (
                    json.dumps(customer.body(event_type)),
                    {"event_type": event_type, "encoding": "json", **tenant},
                )
                for event_type in event_types
            ],
        )

    def send_raw(self, value: bytes | None, *, event_type: str | None) -> None:
        """Write a message of any kind to Kafka."""
        headers = {} if event_type is None else {"event_type": event_type}
        self._produce(None, [(value, headers)])

    def _produce(self, key: str | None, messages: list[tuple[Any, dict[str, str]]]) -> None:
        for value, headers in messages:
            self._producer.produce(EVENT_TOPIC, key=key, value=value, headers=list(headers.items()))
        assert self._producer.flush(TIMEOUT_SECONDS) == 0

    # What came of it

    def verify_order_of_a_burst(self) -> None:
        """Send many contradicting messages of one customer; the last of them decides."""
        self.sources.reset()
        self.recover()
        customer = self.new_customer()
        self.send(customer, CREATE, *[PAUSE, UNPAUSE] * 4, DESTROY, CREATE, PAUSE)
        self.wait_until_done(12, customer)
        account = self.account(customer)
        assert account is not None
        assert (account["enabled"], account["paused"]) == (False, True)

    @contextmanager
    def database(self) -> Iterator[Any]:
        """Return a cursor on the product's database; all is committed at the end."""
        connection = self._connect()
        try:
            with connection, connection.cursor() as cursor:
                yield cursor
        finally:
            connection.close()

    def _connect(self) -> Any:
        port = self.services.embedded["postgres"].port
        return psycopg2.connect(host=LOOPBACK, port=port, user="postgres", dbname="postgres")

    def query(self, statement: str, *parameters: Any) -> list[tuple]:
        with self.database() as cursor:
            cursor.execute(statement, parameters)
            return cursor.fetchall()

    def account(self, customer: Customer) -> dict[str, Any] | None:
        """Read a customer's account; there must be no second one."""
        rows = self.query(
            "SELECT is_enabled, platform_application_is_paused, account_arn"
            " FROM api_cloudaccount WHERE platform_application_id = %s",
            customer.application_id,
        )
        assert len(rows) <= 1
        return dict(zip(("enabled", "paused", "arn"), rows[0], strict=True)) if rows else None

    def history(self, customer: Customer) -> list[tuple[str, str, str]]:
        """Read what became of a customer's account: from which state to which, and the code."""
        return self.query(
            "SELECT from_state, to_state, code FROM api_accountstate"
            " WHERE cloud_account_number = %s ORDER BY id",
            customer.aws_account_id,
        )

    def is_described(self, customer: Customer) -> bool:
        """Return whether the instances of a customer's account have been looked at."""
        return bool(
            self.query(
                "SELECT FROM api_describerun look"
                " JOIN api_cloudaccount account ON account.id = look.cloud_account_id"
                " WHERE outcome = 'ok' AND platform_application_id = %s",
                customer.application_id,
            )
        )

    def power_offs(self, customer: Customer) -> int:
        return self.query(
            "SELECT count(*) FROM api_instanceevent event"
            " JOIN api_cloudaccount account ON account.id = event.cloud_account_id"
            " WHERE event_type = 'power_off' AND platform_application_id = %s",
            customer.application_id,
        )[0][0]

    def messages(self, *customers: Customer) -> list[tuple[str, str, str]]:
        """Read event type, state and reason of all stored messages of these customers."""
        return self.query(
            "SELECT event_type, state, reason FROM api_inboxmessage"
            " WHERE customer_key = ANY(%s) ORDER BY id",
            [f"account {customer.account_number}" for customer in customers],
        )

    def are_done(self, count: int, *customers: Customer) -> bool:
        """Return whether these customers' messages are all stored and processed."""
        states = [state for _, state, _ in self.messages(*customers)]
        assert "dead" not in states
        return states == ["processed"] * count

    def wait_until_done(self, count: int, *customers: Customer) -> None:
        try:
            self.wait_for(lambda: self.are_done(count, *customers), f"{count} messages done")
        except AssertionError:
            raise AssertionError(self.messages(*customers)) from None

    def asked_sources(self, customer: Customer) -> bool:
        """Return whether the sources service was asked for this customer's application."""
        path = f"/applications/{customer.application_id}"
        return any(path in request["path"] for request in self.sources.received())

    def asked_aws(self, customer: Customer) -> bool:
        """Return whether anything was asked inside this customer's AWS account."""
        return any(call["account"] == customer.aws_account_id for call in self.aws.calls())

    def redis(self) -> redis.Redis:
        return redis.Redis(host=LOOPBACK, port=self.services.embedded["valkey"].port)

    def make_topics(self) -> None:
        create_topics(self.bootstrap_servers, [EVENT_TOPIC, STATUS_TOPIC])


class Statuses:
    """Reads all statuses that we send, from the beginning to the end."""

    def __init__(self, servers: str) -> None:
        self._consumer = Consumer(
            {
                "bootstrap.servers": servers,
                **KAFKA_CLIENT,
                "group.id": "sources",
                "auto.offset.reset": "earliest",
                "session.timeout.ms": 6000,
            }
        )
        self._consumer.subscribe([STATUS_TOPIC])
        self._found: dict[int, list[dict[str, Any]]] = defaultdict(list)
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self) -> None:
        while not self._ended.is_set():
            message = self._consumer.poll(0.2)
            if message is not None and message.error() is None:
                status = json.loads(message.value() or b"{}")
                self._found[int(status["resource_id"])].append(status)

    def of(self, customer: Customer) -> list[str]:
        return [status["status"] for status in list(self._found[customer.application_id])]

    def close(self) -> None:
        self._ended.set()
        self._thread.join()
        self._consumer.close()


_USER = """
INSERT INTO api_user (password, is_superuser, uuid, account_number, org_id, date_joined, is_active,
                      is_permanent)
VALUES ('!', false, %s, %s, %s, now() - interval '10 days', false, false) RETURNING id
"""
_LOCK = """
INSERT INTO api_usertasklock (created_at, updated_at, user_id, locked)
VALUES (now(), now(), %s, false)
"""
_ACCOUNT = """
INSERT INTO api_cloudaccount (created_at, updated_at, user_id, cloud_type, aws_account_id,
    account_arn, is_enabled, enabled_at, is_synthetic, platform_authentication_id,
    platform_application_id, platform_source_id, platform_application_is_paused)
VALUES (now(), now(), %s, 'aws', %s, %s, true, now(), false, %s, %s, %s, false) RETURNING id
"""
_INSTANCE = """
INSERT INTO api_instance (created_at, updated_at, cloud_account_id, cloud_type, cloud_instance_id,
                          region)
VALUES (now(), now(), %s, 'aws', %s, 'us-east-1') RETURNING id
"""
_EVENT = """
INSERT INTO api_instanceevent (created_at, updated_at, instance_id, cloud_account_id, event_type,
                               occurred_at, origin, source_id, source_name)
VALUES (now(), now(), %s, %s, 'power_on', now() - interval '1 hour', 'cloudtrail', '', '')
"""

__all__ = ["CREATE", "DESTROY", "PAUSE", "UNPAUSE", "UPDATE", "Customer", "SourcesEnvironment"]
