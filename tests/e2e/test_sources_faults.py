"""Nothing that sources tells us is lost or done twice, whatever breaks meanwhile (decision 27).

Real listener, workers and scheduler on a real broker, Redis and PostgreSQL, with fakes of the
sources service and of AWS. Each test breaks one thing while four customers' messages are on their
way: one creates an account, one changes its role, one deletes it, one pauses it.
"""

import time
from dataclasses import dataclass
from functools import partial

import pytest

from tests.e2e.sources_world import (
    CREATE,
    DESTROY,
    PAUSE,
    UNPAUSE,
    UPDATE,
    WORKERS,
    Customer,
    SourcesWorld,
)

pytestmark = [pytest.mark.e2e, pytest.mark.slow]


@pytest.fixture(scope="module")
def world():
    world = SourcesWorld()
    try:
        yield world
    finally:
        world.stop()


@dataclass
class Wave:
    """Four customers, and what is to become of each."""

    world: SourcesWorld
    creator: Customer
    changer: Customer
    leaver: Customer
    pauser: Customer

    @classmethod
    def prepare(cls, world: SourcesWorld) -> "Wave":
        return cls(
            world,
            world.new_customer(),
            world.customer_with_account(),
            world.customer_with_account(),
            world.customer_with_account(),
        )

    @property
    def customers(self) -> tuple[Customer, ...]:
        return (self.creator, self.changer, self.leaver, self.pauser)

    def send(self) -> None:
        self.world.set_role(self.changer, "new")
        self.world.send(self.creator, CREATE)
        self.world.send(self.changer, UPDATE)
        self.world.send(self.leaver, DESTROY)
        # The order of these three decides: the account ends paused.
        self.world.send(self.pauser, PAUSE, UNPAUSE, PAUSE)

    def verify(self) -> None:
        """Wait for the end, and find everything done, once, and told; print how long it took."""
        world = self.world
        begun = time.monotonic()
        world.wait_until_done(6, *self.customers)
        done = time.monotonic() - begun
        assert world.account(self.creator) == {
            "enabled": True,
            "paused": False,
            "arn": self.creator.arn(),
        }
        assert world.account(self.changer) == {
            "enabled": True,
            "paused": False,
            "arn": self.changer.arn("new"),
        }
        assert world.account(self.leaver) is None
        pauser = world.account(self.pauser)
        assert pauser is not None
        assert (pauser["enabled"], pauser["paused"]) == (False, True)
        assert world.power_offs(self.pauser) == 1
        for customer, last in (
            (self.creator, "available"),
            (self.changer, "available"),
            (self.leaver, "unavailable"),
            (self.pauser, "available"),
        ):
            world.wait_for(
                lambda customer=customer, last=last: (  # type: ignore[misc]
                    world.statuses.of(customer)[-1:] == [last]
                ),
                f"{last} is told to {customer}: {world.statuses.of(customer)}",
            )
            assert set(world.statuses.of(customer)) == {last}
        for customer in (self.creator, self.changer):
            world.wait_for(lambda customer=customer: world.is_described(customer), "a description")  # type: ignore[misc]
        told = time.monotonic() - begun
        print(f"after the fault: all done in {done:.1f} s, all told in {told:.1f} s")

    def is_stored(self) -> bool:
        """Return whether all messages are in the inbox."""
        return len(self.world.messages(*self.customers)) == 6


@pytest.fixture
def wave(world, request):
    world.sources.reset()
    world.recover()
    failed_before = request.session.testsfailed
    wave = Wave.prepare(world)
    yield wave
    if request.session.testsfailed > failed_before:
        for customer in wave.customers:
            print(customer, world.history(customer), world.statuses.of(customer))
        world.show_logs()


def test_nothing_breaks(world, wave):
    wave.send()
    wave.verify()
    for customer in wave.customers:
        assert len(world.statuses.of(customer)) == 1


def test_listener_is_killed_and_stopped(world, wave):
    world.kill("listener")
    wave.send()
    world.start("listener")
    world.wait_for(lambda: world.messages(wave.creator), "the first message is stored")
    world.kill("listener")
    world.start("listener")
    wave.verify()
    world.wait_until_ready()
    world.end("listener")
    world.start("listener")


@pytest.mark.parametrize("steps", [("asked_sources", "asked_aws"), ("asked_aws", "account")])
def test_workers_are_killed_at_each_step(world, wave, steps):
    """While sources is asked, while AWS is asked, and when the account has just been stored.

    Twice: what has lost three workers is set aside (decision 43).
    """
    world.sources.fail(
        f"/api/sources/v3.0/applications/{wave.creator.application_id}", hang=1, times=1
    )
    wave.send()
    for step in steps:
        world.wait_for(partial(getattr(world, step), wave.creator), f"{step} is reached")
        world.kill(*WORKERS)
        world.start(*WORKERS)
    wave.verify()


def test_redis_is_flushed(world, wave):
    world.kill(*WORKERS)
    wave.send()
    world.wait_for(wave.is_stored, "all is stored")
    world.redis().flushall()
    world.start(*WORKERS)
    wave.verify()


def test_redis_is_down(world, wave):
    """It hangs first; messages are stored meanwhile, and queued when it is back, empty."""
    with world.suspended("valkey"):
        wave.send()
        world.wait_for(wave.is_stored, "all is stored")
    world.service("valkey").stop()
    time.sleep(1)
    world.service("valkey").start()
    wave.verify()


def test_kafka_hangs_and_redis_loses_what_waits_for_it(world, wave):
    """Work is done meanwhile, and statuses that could not be sent are lost with the queues."""
    wave.send()
    world.wait_for(wave.is_stored, "all is stored")
    with world.suspended("kafka"):
        world.wait_for(lambda: world.are_done(3, wave.pauser), "a customer's work is done")
        time.sleep(7)
        world.redis().flushall()
    wave.verify()


@pytest.mark.parametrize(
    "fault",
    [{"status": 500}, {"status": 200, "body": "<html>no JSON</html>"}, {"hang": 4}],
    ids=["error", "bad JSON", "hanging"],
)
def test_sources_is_out_of_order(world, wave, fault):
    world.sources.fail("/", **fault, times=3)
    wave.send()
    wave.verify()


def test_postgresql_is_stopped_and_restarted(world, wave):
    world.service("postgres").stop()
    wave.send()
    time.sleep(2)
    world.service("postgres").start()
    world.services.embedded["postgres"].wait_until_ready()
    world.wait_for(lambda: world.messages(wave.creator), "the first message is stored")
    world.restart_service("postgres")
    wave.verify()


def test_postgresql_hangs(world, wave):
    """The listener takes it for away, and so goes on showing that it lives."""
    with world.suspended("postgres"):
        wave.send()
        world.wait_for(
            lambda: world.has_said("listener", "wait for the database: no answer"),
            "the listener waits for the database no longer",
        )
    wave.verify()


def test_bad_messages_harm_nobody(world, wave):
    for value in (b"this is not json", b"\xff\xfe", b"[]", b'{"id": "\\u0000"}', None):
        world.send_raw(value, event_type=CREATE)
        world.send_raw(value, event_type="Application.update")
    world.send_raw(b'{"id": 1}', event_type=None)
    world.send_raw(b'{"id": "x"}', event_type=PAUSE)
    wave.send()
    wave.verify()


def test_burst_of_one_customer_is_worked_on_in_order(world):
    """Two workers; the last of many contradicting messages decides."""
    world.sources.reset()
    world.recover()
    customer = world.new_customer()
    world.send(customer, CREATE, *[PAUSE, UNPAUSE] * 4, DESTROY, CREATE, PAUSE)
    world.wait_until_done(12, customer)
    account = world.account(customer)
    assert account is not None
    assert (account["enabled"], account["paused"]) == (False, True)


def test_kafka_is_down_and_replaced_by_an_empty_one(world, wave):
    """Statuses wait for it. Its offsets count from 0 again: messages are new ones all the same."""
    world.kill(*WORKERS)
    wave.send()
    world.wait_for(wave.is_stored, "all is stored")
    world.service("kafka").stop()
    world.start(*WORKERS)
    world.wait_until_done(6, *wave.customers)
    world.service("kafka").start()
    world.services.embedded["kafka"].wait_until_ready()
    world.make_topics()
    later = Wave.prepare(world)
    later.send()
    wave.verify()
    later.verify()
