"""Nothing that sources tells us is lost or done twice, whatever breaks meanwhile (decision 27).

Real listener, workers and scheduler on a real broker, Redis and PostgreSQL, with fakes of the
sources service and of AWS. Each test breaks one thing while four customers' messages are on their
way: one creates an account, one changes its role, one deletes it, one pauses it.
"""

import time
from dataclasses import dataclass

import pytest

from tests.e2e.sources_world import (
    CREATE,
    DESTROY,
    PAUSE,
    UNPAUSE,
    UPDATE,
    Customer,
    SourcesWorld,
)

pytestmark = [pytest.mark.e2e, pytest.mark.faults]


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
        """Wait for the end, and find everything done, once, and told."""
        world = self.world
        world.wait_until_done(6, *self.customers)
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


@pytest.fixture
def wave(world, request):
    world.sources.reset()
    failed_before = request.session.testsfailed
    yield Wave.prepare(world)
    if request.session.testsfailed > failed_before:
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
    world.wait_for(world.listens, "the listener has started")
    world.end("listener")
    world.start("listener")


def test_workers_are_killed_at_each_step(world, wave):
    """While sources is asked, while AWS is asked, and when the account has just been stored."""
    world.sources.fail(
        f"/api/sources/v3.0/applications/{wave.creator.application_id}", hang=1, times=1
    )
    wave.send()
    for reached in (
        lambda: world.asked_sources(wave.creator),
        lambda: world.asked_aws(wave.creator),
        lambda: world.account(wave.creator),
    ):
        world.wait_for(reached, "the next step is reached")
        world.kill("worker-1", "worker-2")
        world.start("worker-1")
        world.start("worker-2")
    wave.verify()


def test_redis_is_flushed(world, wave):
    world.kill("worker-1", "worker-2")
    wave.send()
    world.wait_for(lambda: len(world.messages(*wave.customers)) == 6, "all is stored")
    world.redis().flushall()
    world.start("worker-1")
    world.start("worker-2")
    wave.verify()


def test_redis_is_down(world, wave):
    """It hangs first; messages are stored meanwhile, and queued when it is back, empty."""
    with world.suspended("valkey"):
        wave.send()
        world.wait_for(lambda: len(world.messages(*wave.customers)) == 6, "all is stored")
    world.service("valkey").stop()
    time.sleep(1)
    world.service("valkey").start()
    wave.verify()


def test_kafka_hangs(world, wave):
    world.sources.fail("/", hang=0.5, times=8)
    wave.send()
    world.wait_for(lambda: len(world.messages(*wave.customers)) == 6, "all is stored")
    with world.suspended("kafka"):
        time.sleep(5)
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


def test_postgresql_is_restarted(world, wave):
    world.service("postgres").stop()
    wave.send()
    time.sleep(2)
    world.service("postgres").start()
    world.services.embedded["postgres"].wait_until_ready()
    world.wait_for(lambda: world.messages(wave.creator), "the first message is stored")
    world.restart_service("postgres")
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
    customer = world.new_customer()
    world.send(customer, CREATE, *[PAUSE, UNPAUSE] * 4, DESTROY, CREATE, PAUSE)
    world.wait_until_done(12, customer)
    account = world.account(customer)
    assert account is not None
    assert (account["enabled"], account["paused"]) == (False, True)


def test_kafka_is_replaced_by_an_empty_one(world, wave):
    """Its offsets count from 0 again: messages are new ones all the same."""
    world.restart_service("kafka")
    world.make_topics()
    wave.send()
    wave.verify()
