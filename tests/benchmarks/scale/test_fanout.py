"""The model of the workers (spec 15 §2.4)."""

import math
import re

import pytest

from cloudigrade.task_names import ONBOARDING_QUEUES, QUEUE_NAMES
from deployment.local.service import REPOSITORY
from tests.benchmarks.scale.fanout import (
    HOUR,
    JOINING,
    LOGS,
    LONGER,
    Task,
    Workers,
    arrivals,
    percentile,
    waits,
)


def mean_wait(workers: int, rate: float, duration: float) -> float:
    """Erlang's formula of the wait where tasks come at random and take exponentially long."""
    load = rate * duration
    busy = load**workers / math.factorial(workers) * workers / (workers - load)
    likely = busy / (sum(load**n / math.factorial(n) for n in range(workers)) + busy)
    return likely * duration / (workers - load)


@pytest.mark.parametrize(("workers", "rate"), [(2, 1.5), (4, 3.2), (16, 13)])
def test_the_model_waits_as_erlang_says(workers, rate):
    tasks = arrivals(queue="any", rate=rate, until=10_000, duration=1, customers=10**6, seed=7)
    waited = Workers(workers).run(tasks)
    assert len(waited) == len(tasks)
    found = sum(one.seconds for one in waited) / len(waited)
    assert found == pytest.approx(mean_wait(workers, rate, 1), rel=0.15)


def test_a_long_queue_delays_others_by_its_turn_alone():
    many = [Task(1, "long", f"customer {number}", 1) for number in range(100)]
    waited = Workers(1).run([*many, Task(1.5, "short", "somebody", 1)])
    assert percentile(waited, "short") <= 2


def test_a_customer_has_four_tasks_running_at_most():
    many = [Task(1, "queue", "greedy", 100) for _ in range(20)]
    waited = Workers(16).run([*many, Task(2, "queue", "somebody", 1)])
    assert [one.seconds for one in waited if one.task.customer == "somebody"] == [0]
    assert sum(one.seconds == 0 for one in waited if one.task.customer == "greedy") == 4


def test_the_queues_of_those_who_join_are_told():
    """docs/scale.md gives both halves of the workers the same list; every name is a queue."""
    text = (REPOSITORY / "docs" / "scale.md").read_text()
    told = re.findall(r"--(?:exclude-)?queues ([\w,]+)", text)
    assert [set(queues.split(",")) for queues in told] == [set(ONBOARDING_QUEUES)] * 2
    assert set(ONBOARDING_QUEUES) < set(QUEUE_NAMES)


def test_who_waits_for_whom():
    """15 §2.4: a customer with 10^6 instances; 10,000 accounts that join within an hour.

    The large customer keeps nobody waiting for a minute more. So many accounts do, unless they have
    workers of their own, as docs/scale.md tells to give them.
    """
    found = waits()
    alone = found["alone"]
    for name in ("one customer is large", "10,000 accounts join, own workers"):
        assert all(found[name][queue] - alone[queue] <= LONGER for queue in alone), name
    shared = found["10,000 accounts join, same workers"]
    assert shared[LOGS] - alone[LOGS] > LONGER
    assert found["10,000 accounts join, own workers"][JOINING] < 2 * HOUR
