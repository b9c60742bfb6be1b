"""How each fault of a plan is done."""

import itertools
import threading
import time
from collections import Counter
from collections.abc import Iterable

from deployment.local.aws import AwsControl
from deployment.local.sources import SourcesControl
from tests.soak.deployment import SoakDeployment
from tests.soak.lives import insist
from tests.soak.plan import AZURE_FAULTS, Step

DISTURBED_REQUESTS = 20
"""Of Azure, by one fault at most."""


class Lane:
    """Does the steps of one lane, each when it is due."""

    def __init__(
        self,
        deployment: SoakDeployment,
        steps: Iterable[Step],
        *,
        denied: list[str],
        done: Counter[str],
    ) -> None:
        self._deployment = deployment
        self._steps = list(steps)
        self._denied = itertools.cycle(denied)
        self._done = done
        self._aws = AwsControl(deployment.services.env["AWS_ENDPOINT_URL"])
        self._azure = deployment.azure_control()
        self._sources = SourcesControl(deployment.services.env["SOURCES_API_BASE_URL"])
        self._ended = threading.Event()
        self.failure: BaseException | None = None
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._begin = time.monotonic()
        self._thread.start()

    def stop(self) -> None:
        """Begin no step any more, and wait for the one that is being done."""
        self._ended.set()
        self._thread.join()

    def _run(self) -> None:
        try:
            for step in self._steps:
                if self._ended.wait(max(0.0, self._begin + step.at - time.monotonic())):
                    return
                self._do(step)
        except Exception as error:
            self.failure = error

    def _do(self, step: Step) -> None:
        deployment, name = self._deployment, step.target
        counted = f"{step.kind} {name.rpartition('-')[0] or name.split(' ')[0]}"
        match step.kind:
            case "kill" | "restart" if not deployment.may_end(name):
                return
            case "kill":
                deployment.places.kill(name)
            case "restart":
                deployment.places.restart(name)
            case "freeze":
                deployment.places.freeze(name, step.amount)
            case "hang":
                with deployment.suspended(name):
                    self._ended.wait(step.amount)
            case "lose":
                deployment.restart_service(name, after=step.amount / 2)
            case "flush":
                deployment.redis().flushall()
            case "fail":
                self._sources.fail("/", status=503, times=int(step.amount))
            case "slow":
                self._sources.fail("/", hang=step.amount, status=500, times=2)
            case _:
                self._answer_wrongly(step)
                return
        self._done[counted] += 1

    def _answer_wrongly(self, step: Step) -> None:
        """Let a cloud do so for a while; counted are the calls that really met it."""
        if step.kind == "disturb":
            self._done[f"Azure: {step.target}"] += self._disturb(step)
        else:
            # The fake AWS counts these itself.
            self._refuse(step)

    def _refuse(self, step: Step) -> None:
        service, action, code = step.target.split(" ")
        account = next(self._denied) if step.kind == "deny" else None
        self._aws.recover()
        self._aws.refuse(service, action, code, account_id=account)
        self._ended.wait(step.amount)
        self._aws.recover()

    def _disturb(self, step: Step) -> int:
        """Let Azure misbehave for a while; return how many requests met that."""
        times = DISTURBED_REQUESTS
        insist(lambda: self._azure.fail(**AZURE_FAULTS[step.target], times=times))
        self._ended.wait(step.amount)
        return sum(times - fault["times"] for fault in insist(self._azure.recover))
