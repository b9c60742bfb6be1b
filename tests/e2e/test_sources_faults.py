"""Nothing that sources tells us is lost or done twice, whatever breaks meanwhile (decision 27).

Real listener, workers and scheduler on a real broker, Redis and PostgreSQL, with fakes of the
sources service and of AWS. Each test breaks one thing while four customers' messages are on their
way: one creates an account, one changes its role, one deletes it, one pauses it.
"""

import time
from dataclasses import dataclass
from functools import partial

import pytest

from tests.e2e.sources_environment import (
    CREATE,
    DESTROY,
    PAUSE,
    UNPAUSE,
    UPDATE,
    WORKERS,
    Customer,
    SourcesEnvironment,
)

pytestmark = [pytest.mark.e2e, pytest.mark.slow]


@pytest.fixture(scope="module")
def environment():
    environment = SourcesEnvironment()
    try:
        yield environment
    finally:
        environment.stop()


@dataclass
class Wave:
    """Four customers, and what is to become of each."""

    environment: SourcesEnvironment
    creator: Customer
    changer: Customer
    leaver: Customer
    pauser: Customer

    @classmethod
    def prepare(cls, environment: SourcesEnvironment) -> "Wave":
        return cls(
            environment,
            environment.new_customer(),
            environment.customer_with_account(),
            environment.customer_with_account(),
            environment.customer_with_account(),
        )

    @property
    def customers(self) -> tuple[Customer, ...]:
        return (self.creator, self.changer, self.leaver, self.pauser)

    def send(self) -> None:
        self.environment.set_role(self.changer, "new")
        self.environment.send(self.creator, CREATE)
        self.environment.send(self.changer, UPDATE)
        self.environment.send(self.leaver, DESTROY)
        # The order of these three decides: the account ends paused.
        self.environment.send(self.pauser, PAUSE, UNPAUSE, PAUSE)

    def verify(self) -> None:
        """Wait for the end, and find everything done, once, and told; print how long it took."""
        environment = self.environment
        begun = time.monotonic()
        environment.wait_until_done(6, *self.customers)
        done = time.monotonic() - begun
        assert environment.account(self.creator) == {
            "enabled": True,
            "paused": False,
            "arn": self.creator.arn(),
        }
        assert environment.account(self.changer) == {
            "enabled": True,
            "paused": False,
            "arn": self.changer.arn("new"),
        }
        assert environment.account(self.leaver) is None
        pauser = environment.account(self.pauser)
        assert pauser is not None
        assert (pauser["enabled"], pauser["paused"]) == (False, True)
        assert environment.power_offs(self.pauser) == 1
        for customer, last in (
            (self.creator, "available"),
            (self.changer, "available"),
            (self.leaver, "unavailable"),
            (self.pauser, "available"),
        ):
            environment.wait_for(
                partial(self.is_told_last, customer, last),
                f"{last} is told to {customer}: {environment.statuses.of(customer)}",
            )
            assert set(environment.statuses.of(customer)) == {last}
        for customer in (self.creator, self.changer):
            environment.wait_for(partial(environment.is_described, customer), "a description")
        told = time.monotonic() - begun
        print(f"after the fault: all done in {done:.1f} s, all told in {told:.1f} s")

    def is_told_last(self, customer: Customer, status: str) -> bool:
        """Return whether this is the latest status that sources was told of a customer."""
        return self.environment.statuses.of(customer)[-1:] == [status]

    def is_stored(self) -> bool:
        """Return whether all messages are in the inbox."""
        return len(self.environment.messages(*self.customers)) == 6


@pytest.fixture
def wave(environment, request):
    environment.sources.reset()
    environment.recover()
    failed_before = request.session.testsfailed
    wave = Wave.prepare(environment)
    yield wave
    if request.session.testsfailed > failed_before:
        for customer in wave.customers:
            print(customer, environment.history(customer), environment.statuses.of(customer))
        environment.show_logs()


def test_nothing_breaks(environment, wave):
    wave.send()
    wave.verify()
    for customer in wave.customers:
        assert len(environment.statuses.of(customer)) == 1


def test_listener_is_killed_and_stopped(environment, wave):
    environment.kill("listener")
    wave.send()
    environment.start("listener")
    environment.wait_for(lambda: environment.messages(wave.creator), "the first message is stored")
    environment.kill("listener")
    environment.start("listener")
    wave.verify()
    environment.wait_until_ready()
    environment.end("listener")
    environment.start("listener")


@pytest.mark.parametrize("steps", [("asked_sources", "asked_aws"), ("asked_aws", "account")])
def test_workers_are_killed_at_each_step(environment, wave, steps):
    """While sources is asked, while AWS is asked, and when the account has just been stored.

    Twice: what has lost three workers is set aside (decision 43).
    """
    environment.sources.fail(
        f"/api/sources/v3.0/applications/{wave.creator.application_id}", hang=1, times=1
    )
    wave.send()
    for step in steps:
        environment.wait_for(
            partial(getattr(environment, step), wave.creator), f"{step} is reached"
        )
        environment.kill(*WORKERS)
        environment.start(*WORKERS)
    wave.verify()


def test_redis_is_flushed(environment, wave):
    environment.kill(*WORKERS)
    wave.send()
    environment.wait_for(wave.is_stored, "all is stored")
    environment.redis().flushall()
    environment.start(*WORKERS)
    wave.verify()


def test_redis_is_down(environment, wave):
    """It hangs first; messages are stored meanwhile, and queued when it is back, empty."""
    with environment.suspended("valkey"):
        wave.send()
        environment.wait_for(wave.is_stored, "all is stored")
    environment.service("valkey").stop()
    time.sleep(1)
    environment.service("valkey").start()
    wave.verify()


def test_kafka_hangs_and_redis_loses_what_waits_for_it(environment, wave):
    """Work is done meanwhile, and statuses that could not be sent are lost with the queues."""
    wave.send()
    environment.wait_for(wave.is_stored, "all is stored")
    with environment.suspended("kafka"):
        environment.wait_for(
            lambda: environment.are_done(3, wave.pauser), "a customer's work is done"
        )
        time.sleep(7)
        environment.redis().flushall()
    wave.verify()


@pytest.mark.parametrize(
    "fault",
    [{"status": 500}, {"status": 200, "body": "<html>no JSON</html>"}, {"hang": 4}],
    ids=["error", "bad JSON", "hanging"],
)
def test_sources_is_out_of_order(environment, wave, fault):
    environment.sources.fail("/", **fault, times=3)
    wave.send()
    wave.verify()


def test_postgresql_is_stopped_and_restarted(environment, wave):
    environment.service("postgres").stop()
    wave.send()
    time.sleep(2)
    environment.service("postgres").start()
    environment.services.embedded["postgres"].wait_until_ready()
    environment.wait_for(lambda: environment.messages(wave.creator), "the first message is stored")
    environment.restart_service("postgres")
    wave.verify()


def test_postgresql_hangs(environment, wave):
    """The listener takes it for away, and so goes on showing that it lives."""
    with environment.suspended("postgres"):
        wave.send()
        environment.wait_for(
            lambda: environment.has_said("listener", "wait for the database: no answer"),
            "the listener waits for the database no longer",
        )
    wave.verify()


def test_bad_messages_harm_nobody(environment, wave):
    for value in (b"this is not json", b"\xff\xfe", b"[]", b'{"id": "\\u0000"}', None):
        environment.send_raw(value, event_type=CREATE)
        environment.send_raw(value, event_type="Application.update")
    environment.send_raw(b'{"id": 1}', event_type=None)
    environment.send_raw(b'{"id": "x"}', event_type=PAUSE)
    wave.send()
    wave.verify()


def test_burst_of_one_customer_is_worked_on_in_order(environment):
    """Two workers; the last of many contradicting messages decides."""
    environment.verify_order_of_a_burst()


def test_kafka_is_down_and_replaced_by_an_empty_one(environment, wave):
    """Statuses wait for it. Its offsets count from 0 again: messages are new ones all the same."""
    environment.kill(*WORKERS)
    wave.send()
    environment.wait_for(wave.is_stored, "all is stored")
    environment.service("kafka").stop()
    environment.start(*WORKERS)
    environment.wait_until_done(6, *wave.customers)
    environment.service("kafka").start()
    environment.services.embedded["kafka"].wait_until_ready()
    environment.make_topics()
    later = Wave.prepare(environment)
    later.send()
    wave.verify()
    later.verify()
