"""What the product's processes take to start, and hold while they have nothing to do."""

import time
from functools import partial
from pathlib import Path

from deployment.local.app import Product
from deployment.local.local_services import LocalServices
from tests.benchmarks.measure import TICKS, Cost, children_of, cpu_of_family, stat
from tests.benchmarks.suite import Operation, Suite

MIB = 1024
PARTS = ("api", "worker", "beat")
STARTED = 19
"""Where /proc/<pid>/stat, after the name, has when a process began, in ticks since the boot."""


class Processes(Suite):
    """Each process with the command of its deployment, on services of its own."""

    title = "processes: from the start until it is ready, then idle"

    def load(self) -> None:
        """Start the services."""
        self.services = LocalServices(
            ("aws", "kafka", "valkey", "sources", "postgres"), environment={}
        )
        self.services.start()
        self.product = Product(self.services)

    def unload(self) -> None:
        """Stop everything."""
        self.product.stop()
        self.services.stop()

    def operations(self) -> list[Operation]:
        """Start each process by itself; the memory is that of the largest process of its family."""
        return [
            Operation(name, partial(self.start, name), target={"peak_rss_mib": 110}, rounds=1)
            for name in PARTS
        ]

    def start(self, name: str) -> Cost:
        """Start a process, wait until it is ready, and stop it again."""
        self.product.start(name)
        process = self.product.processes()[name].pid
        assert process is not None
        uptime = time.clock_gettime(time.CLOCK_BOOTTIME)
        cost = Cost(
            wall_s=uptime - int(stat(process)[STARTED]) / TICKS,
            cpu_s=cpu_of_family(process) or 0.0,
            peak_rss_mib=max(_resident(one) for one in (process, *children_of(process))),
        )
        self.product.stop()
        return cost


def _resident(process: int) -> float:
    """Return the resident memory of a process in MiB."""
    status = Path(f"/proc/{process}/status").read_text()
    line = next(line for line in status.splitlines() if line.startswith("VmRSS"))
    return int(line.split()[1]) / MIB
