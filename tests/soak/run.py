"""One soak: begin, break, let it come to rest, judge."""

import time
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from tests.soak import judge, plan
from tests.soak.alarms import Alarms
from tests.soak.azure_lives import Subscribers
from tests.soak.customers import Metered, Newcomer
from tests.soak.deployment import SoakDeployment
from tests.soak.faults import Lane
from tests.soak.growth import Growth
from tests.soak.lives import NewCustomers, OldCustomers
from tests.soak.operators import Operators
from tests.soak.report import Progress, Report
from tests.soak.tampering import problems_of_a_wrong_number

SECONDS_TO_BEGIN = 180.0
SECONDS_BETWEEN_LOOKS = 10.0
LOOKS = 24


@dataclass(frozen=True)
class Size:
    """How long a soak is, and for how many customers."""

    seconds: float
    old_customers: int = 3
    new_customers: int = 24
    subscribers: int = 5
    pace: plan.Pace = field(default_factory=plan.Pace)


class Soak:
    """All that runs in a soak, and what it came to."""

    def __init__(self, deployment: SoakDeployment, seed: int, size: Size, report: Report) -> None:
        self.deployment = deployment
        self.seed = seed
        self.size = size
        self.report = report
        self.progress = Progress()
        self.faults: Counter[str] = Counter()
        self.irregularities: Counter[str] = Counter()
        self.growth = Growth()
        self.alarms = Alarms(deployment.urls("api")[0])
        today = datetime.now(UTC).date()
        owners = deployment.metered_customers(size.old_customers)
        self.metered = [Metered(owner, seed, today) for owner in owners]
        self.old = OldCustomers(deployment, seed, self.irregularities, self.metered)
        self.new = NewCustomers(deployment, seed, self.irregularities, size.new_customers)
        self.azure = Subscribers(deployment, seed, self.irregularities, size.subscribers)
        # Operators go on until all others are finished.
        operators = Operators(deployment, seed, self.irregularities)
        self.lives = (self.old, self.new, self.azure, operators)
        self.lanes: list[Lane] = []

    def run(self) -> None:
        """Run it to its end. Raises what broke in the soak itself."""
        self._begin()
        try:
            self._break()
        finally:
            self._mend()
        for lives in self.lives:
            lives.finish()
        for failure in self._failures():
            if failure:
                raise failure
        self._judge()

    def stop(self) -> None:
        """End what still goes on; for a soak that is interrupted, too."""
        for lane in self.lanes:
            lane.stop()

    def _begin(self) -> None:
        self.deployment.wait_for(
            lambda: all(self.deployment.has_said(name, " ready.") for name in plan.slots("worker")),
            "the workers are ready",
            SECONDS_TO_BEGIN,
        )
        for lives in self.lives:
            lives.start()
        denied = [one.customer.aws_account_id for one in self.metered]
        steps = plan.lanes(self.seed, self.size.seconds, self.size.pace)
        self.lanes = [
            Lane(self.deployment, lane, denied=denied, done=self.faults) for lane in steps.values()
        ]

    def _break(self) -> None:
        end = self.progress.seconds + self.size.seconds
        while self.progress.seconds < end:
            time.sleep(1)
            self.alarms.scrape()
            self.growth.look(self.deployment.places, self.progress.seconds)
            self.progress.tell_now_and_then(self.faults, self._counts())
            for failure in [lane.failure for lane in self.lanes] + self._failures():
                if failure:
                    raise failure

    def _alert_problems(self) -> list[str]:
        """Return alerts that are on though all is done, or off though a number is wrong."""
        # Gauges are of moments ago, and some are of looks that come every few minutes.
        on: set[str] = set()
        for _ in range(LOOKS):
            if not (on := self._look_at_alerts()):
                break
        self.report.alerts = self.alarms.report(on)
        found = [f"alert {alert} is on though all is done" for alert in sorted(on)]
        counted = [
            (one.customer, day)
            for one in self.metered
            for day, (least, _) in one.expected().items()
            if least
        ]
        if not counted:
            return found
        return found + problems_of_a_wrong_number(self.deployment, self.alarms, *counted[0])

    def _look_at_alerts(self) -> set[str]:
        time.sleep(SECONDS_BETWEEN_LOOKS)
        return self.alarms.scrape()

    def _failures(self) -> list[BaseException | None]:
        return [lives.failure for lives in self.lives]

    def _counts(self) -> dict[str, Any]:
        return {
            "log files": self.irregularities["log delivered"],
            "histories": sum(len(one.fleets) for one in self.metered),
            "customers came": len(self.new.all),
            "subscriptions": len(self.azure.all),
            "messages": self.new.messages + self.azure.messages,
            "restarts": sum(slot.lives - 1 for slot in self.deployment.places.slots.values()),
        }

    def _mend(self) -> None:
        """Let no fault be left, and count those that AWS made."""
        self.progress.tell("no more faults")
        self.stop()
        for code, number in self.deployment.aws.refused().items():
            self.faults[f"AWS answered {code}"] += number
        self.deployment.aws.refuse_nothing()
        self.report.faults = dict(self.faults)

    def _judge(self) -> None:
        deployment, tell = self.deployment, self.progress.tell
        left = judge.settle(deployment, tell)
        problems = [f"left over: {number} {name}" for name, number in left.items()]
        tell("all is done" if not left else f"left over: {left}")
        newcomers: list[Newcomer] = [*self.new.all, *self.azure.all]
        problems += judge.wrong_events(deployment, self.metered)
        problems += self.azure.wrong_events()
        problems += self.azure.kept_delegations()
        problems += judge.Numbers(deployment).wrong(self.metered, newcomers)
        problems += judge.wrong_states(deployment, newcomers)
        problems += judge.wrong_for_consumers(deployment)
        problems += self.growth.problems()
        problems += self._alert_problems()
        report = self.report
        report.problems = problems
        report.verdict = "bad" if problems else "good"
        report.irregularities = {
            **self.irregularities,
            **deployment.places.shifted,
            **{f"ended alone: {name}": n for name, n in deployment.places.ended_alone.items()},
        }
        report.done = self._counts() | {
            "events": deployment.count("api_instanceevent"),
            "runs": deployment.count("api_run"),
            "days of usage": deployment.count("api_concurrentusage"),
        }
        everybody: list[Metered | Newcomer] = [*self.metered, *newcomers]
        report.growth = self.growth.report()
        report.evidence = {
            str(one.customer): {
                "truth": one.truth(),
                "stored": judge.evidence(deployment, one.customer),
            }
            for one in everybody
            if any(problem.startswith(str(one.customer)) for problem in problems)
        }
