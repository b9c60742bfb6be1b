"""How long customers wait while others ask for much: a model of the workers (spec 15 §2.4).

Workers take tasks from queues by turns, as Celery does over Redis: a long queue delays the tasks in
other queues by one task of its own each time, not by its length. A customer has a number of tasks
running at most. Times are seconds. Pure: the same seed gives the same result.
"""

import heapq
import random
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True, order=True)
class Task:
    """Something to be done, from when on, for whom, in which queue, and how long it takes."""

    at: float
    queue: str = field(compare=False)
    customer: str = field(compare=False)
    duration: float = field(compare=False)


@dataclass(frozen=True)
class Waited:
    """How long a task waited until a worker took it."""

    task: Task
    seconds: float


class Workers:
    """Workers that take tasks from the queues by turns."""

    def __init__(self, count: int, *, per_customer: int = 4) -> None:
        self._free = count
        self._per_customer = per_customer
        self._queues: dict[str, deque[Task]] = {}
        self._order: deque[str] = deque()
        self._running: dict[str, int] = {}
        self._ends: list[tuple[float, int, str]] = []
        self._started = 0

    def run(self, tasks: Iterable[Task]) -> list[Waited]:
        """Return how long each task waited, in the order in which they were taken."""
        waited: list[Waited] = []
        arriving = deque(sorted(tasks))
        now = 0.0
        while arriving or self._ends or any(self._queues.values()):
            moments = [one for one in (self._next_end(), self._next_arrival(arriving)) if one]
            now = min(moments)
            self._finish(now)
            while arriving and arriving[0].at <= now:
                self._add(arriving.popleft())
            waited += self._take(now)
        return waited

    def _next_end(self) -> float:
        return self._ends[0][0] if self._ends else 0.0

    @staticmethod
    def _next_arrival(arriving: Sequence[Task]) -> float:
        return arriving[0].at if arriving else 0.0

    def _finish(self, now: float) -> None:
        while self._ends and self._ends[0][0] <= now:
            _, _, customer = heapq.heappop(self._ends)
            self._running[customer] -= 1
            self._free += 1

    def _add(self, task: Task) -> None:
        if task.queue not in self._queues:
            self._queues[task.queue] = deque()
            self._order.append(task.queue)
        self._queues[task.queue].append(task)

    def _take(self, now: float) -> list[Waited]:
        taken: list[Waited] = []
        idle = 0
        while self._free and idle < len(self._order):
            name = self._order[0]
            self._order.rotate(-1)
            task = self._next(self._queues[name])
            if task is None:
                idle += 1
                continue
            idle = 0
            self._free -= 1
            self._started += 1
            self._running[task.customer] = self._running.get(task.customer, 0) + 1
            heapq.heappush(self._ends, (now + task.duration, self._started, task.customer))
            taken.append(Waited(task, now - task.at))
        return taken

    def _next(self, queue: deque[Task]) -> Task | None:
        """Take the first task of a customer who has not too many running already."""
        for place, task in enumerate(queue):
            if self._running.get(task.customer, 0) < self._per_customer:
                del queue[place]
                return task
        return None


def arrivals(
    *, queue: str, rate: float, until: float, duration: float, customers: int, seed: int
) -> list[Task]:
    """Return tasks that come at random, so many a second, and take exponentially long."""
    chance = random.Random(seed)
    tasks: list[Task] = []
    now = 0.0
    while True:
        now += chance.expovariate(rate)
        if now >= until:
            return tasks
        customer = f"{queue} {chance.randrange(customers)}"
        tasks.append(Task(now, queue, customer, chance.expovariate(1 / duration)))


def percentile(waited: Iterable[Waited], queue: str, share: float = 0.95) -> float:
    """Return the wait that this share of a queue's tasks did not exceed."""
    seconds = sorted(one.seconds for one in waited if one.task.queue == queue)
    return seconds[min(int(len(seconds) * share), len(seconds) - 1)]


HOUR = 3600.0
WORKERS = 16
"""As many as the manifests allow."""
OWN = 8
"""Workers, beside these, that take nothing but what accounts that join ask for."""

LOGS, DAYS, JOINING = "analyze_log", "recalculate_stale_usage", "initial_aws_describe_instances"
LONGER = 60.0
"""Seconds that others may wait longer than alone, 95 of a hundred of them."""


def everyday(until: float = 2 * HOUR) -> list[Task]:
    """Return what workers do on a busy day: logs, and days to be calculated."""
    logs = arrivals(queue=LOGS, rate=2, until=until, duration=2, customers=1000, seed=1)
    days = arrivals(queue=DAYS, rate=1, until=until, duration=3, customers=1000, seed=2)
    return logs + days


def many_join() -> list[Task]:
    """Return the first describes of 10,000 accounts that join within an hour."""
    return arrivals(
        queue=JOINING, rate=10_000 / HOUR, until=HOUR, duration=6, customers=10_000, seed=3
    )


def one_is_large() -> list[Task]:
    """Return what a customer of 10^6 instances asks for at once: 500 parts of a minute each."""
    return [Task(HOUR / 2, DAYS, "the large one", 60.0) for _ in range(500)]


def waits() -> dict[str, dict[str, float]]:
    """Return how long others wait, 95 of a hundred tasks, alone and beside each of the two.

    Accounts that join share the workers with everybody, or have workers of their own.
    """
    beside: dict[str, list[Task]] = {
        "alone": [],
        "one customer is large": one_is_large(),
        "10,000 accounts join, same workers": many_join(),
    }
    found = {
        name: _others(Workers(WORKERS).run(everyday() + more)) for name, more in beside.items()
    }
    joining = Workers(OWN).run(many_join())
    found["10,000 accounts join, own workers"] = {
        **found["alone"],
        JOINING: max(one.seconds for one in joining),
    }
    return found


def _others(waited: Sequence[Waited]) -> dict[str, float]:
    others = [one for one in waited if one.task.customer != "the large one"]
    return {queue: round(percentile(others, queue), 2) for queue in (LOGS, DAYS)}
