"""The product's processes, the services below them, and the customers' clouds."""

import os
import time
from collections.abc import Callable
from typing import Any

import psycopg2

from deployment.local.azure import AzureControl
from deployment.local.ports import LOOPBACK
from deployment.local.process import ManagedProcess
from tests.cloudigrade.programs import free_port
from tests.e2e.deployment import BEAT, GUNICORN, Deployment
from tests.e2e.sources_environment import LISTENER
from tests.e2e.test_shifted_clocks import FOLDER as SHIFTED_CLOCK
from tests.soak import plan
from tests.soak.pods import Pods

SETTINGS = {
    **Deployment.settings,
    "RECALCULATE_RUNS_FOR_ALL_CLOUD_ACCOUNTS_SCHEDULE": "30",
    "AWS_RECONCILE_SCHEDULE": "120",
    "AWS_DESCRIBE_MISSING_SCHEDULE": "60",
    "REDRIVE_DEAD_LETTERS_SCHEDULE": "20",
    "CHECK_AND_CACHE_SQS_QUEUES_LENGTHS_SCHEDULE": "10",
    "INSPECT_PENDING_IMAGES_SCHEDULE": "10",
    "INSPECT_PENDING_IMAGES_MIN_AGE": "10",
    "SWEEP_INSPECTIONS_SCHEDULE": "20",
    "CALCULATE_COVERAGE_SCHEDULE": "60",
    "SAMPLE_FLEET_SCHEDULE": "20",
    "INSPECTION_SNAPSHOT_CLEAN_UP_INITIAL_DELAY": "5",
    "INSPECTION_SNAPSHOT_CLEAN_UP_RETRY_DELAY": "5",
    "AWS_INSPECTION_METHOD": "direct",
    "UPDATE_AZURE_INSTANCE_EVENTS_SCHEDULE": "10",
    "AZURE_RHEL_DETECTION": "license",
    # Nobody knows how often a process that inspects is killed.
    "MAX_ALLOWED_INSPECTION_ATTEMPTS": "1000",
    "USAGE_PUSH": "on",
    "USAGE_PUSH_TODAY": "on",
    "PUBLISH_USAGE_CHANGES_SCHEDULE": "5",
}
"""Periods that fit into minutes; all else is as in production."""

SECONDS_WITHOUT_DATABASE = 60.0


class SoakDeployment(Deployment):
    """A deployment that is broken all the time."""

    settings = SETTINGS
    service_names = (*Deployment.service_names, "azure")

    def __init__(self, seed: int) -> None:
        self._seed = seed
        super().__init__()

    def _start_processes(self) -> None:
        self.product.manage("configurequeues")
        # It was only to migrate the database; ours have places of their own.
        self.product.stop()
        self.ports: dict[str, int] = {}
        self.places = Pods(self._seed, self._start_pod)
        self._exit.callback(self.places.stop)

    def azure_control(self) -> AzureControl:
        """Return a remote control of the fake Azure, for one thread."""
        variables = self.services.env
        return AzureControl(variables["AZURE_ARM_BASE_URL"], variables["AZURE_CA_BUNDLE"])

    def urls(self, part: str) -> list[str]:
        """Return where the processes of one kind are asked."""
        return [f"http://{LOOPBACK}:{self._port(name)}" for name in plan.slots(part)]

    def may_end(self, name: str) -> bool:
        """Return whether a process may end now: a listener not while it joins its group.

        The broker of these tests gives a group no partitions any more once a member has left it
        that was just joining.
        """
        return not name.startswith("listener") or self.has_said(name, "Kafka gives us")

    def _port(self, name: str) -> int:
        if name not in self.ports:
            self.ports[name] = free_port()
        return self.ports[name]

    def _start_pod(self, name: str, shift: int) -> ManagedProcess:
        clock = {
            "PYTHONPATH": os.pathsep.join(
                filter(None, [str(SHIFTED_CLOCK), os.environ.get("PYTHONPATH")])
            ),
            "CLOCK_SHIFT_SECONDS": str(shift),
        }
        match name.split("-")[0]:
            case "api":
                place = {"GUNICORN_BIND": f"{LOOPBACK}:{self._port(name)}"}
                return self._run(name, GUNICORN, **clock, **place)
            case "worker":
                return self._run(name, self.worker_command(name), **clock)
            case "beat":
                return self._run(name, BEAT, **clock)
            case _:
                place = {"LISTENER_METRICS_PORT": str(self._port(name))}
                return self._run(name, LISTENER, **clock, **place)

    def query(self, statement: str, *parameters: Any) -> list[tuple]:
        """Ask, and ask again if the database went away meanwhile."""
        return self._once_there(lambda: super(SoakDeployment, self).query(statement, *parameters))

    def _connect(self) -> Any:
        """Connect to the product's database, once it is there."""
        return self._once_there(super()._connect)

    def _once_there(self, ask: Callable[[], Any]) -> Any:
        deadline = time.monotonic() + SECONDS_WITHOUT_DATABASE
        while True:
            try:
                return ask()
            except (psycopg2.OperationalError, psycopg2.InterfaceError):
                # The latter where the connection was lost before it could be ended.
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.3)
