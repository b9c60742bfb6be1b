"""Measure at the scales 1, 5 and 20 up to SCALE; write build/bench-scale.json."""

import importlib
import json
import multiprocessing
import os
import sys
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import django

from deployment.local.local_services import LocalServices
from tests.benchmarks.scale.fanout import waits

OUTPUT = Path("build") / "bench-scale.json"
ALLOWED = 1.5
"""Times that an operation may take at the largest scale what it takes at scale 1."""
PER_CUSTOMER = frozenset({"an idle hour"})
"""These look at each customer: they may take so many times more as there are customers."""


def main() -> int:
    """Measure; return 1 if something grew with what is stored."""
    largest = int(os.environ.get("SCALE") or 1)
    services = LocalServices(["postgres", "valkey"])
    os.environ.update(services.env)
    os.environ["CLOUDIGRADE_ENVIRONMENT"] = "test"
    os.environ["DJANGO_SETTINGS_MODULE"] = "cloudigrade.settings.test"
    results = []
    with services:
        django.setup()
        # Only now can modules that need Django be loaded.
        suites = importlib.import_module("tests.benchmarks.scale.suites")
        runner = importlib.import_module("tests.benchmarks.runner")
        alone = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(1, alone, django.setup, max_tasks_per_child=1) as processes:
            for suite in suites.SUITES:
                if suite.scale <= largest:
                    found = processes.submit(runner.run_suite, suite, [], None).result()
                    results += [(suite.scale, result) for result in found]
    grown = _growth(results)
    OUTPUT.parent.mkdir(exist_ok=True)
    OUTPUT.write_text(
        json.dumps(
            {
                "results": [{"scale": scale, **result.as_json()} for scale, result in results],
                "growth": grown,
                "fan_out": waits(),
            },
            indent=2,
        )
        + "\n"
    )
    too_much = 0
    for name, times in grown.items():
        allowed = ALLOWED * (largest if name in PER_CUSTOMER else 1)
        mark = "" if times <= allowed else "  <- grows with what is stored"
        too_much += times > allowed
        print(f"{name}: {times:.2f} times the processor time of scale 1{mark}")
    return 1 if too_much else 0


def _growth(results: list) -> dict[str, float]:
    """Return how many times the processor time of scale 1 the largest scale takes."""
    smallest = {result.name: result.total_cpu_s for scale, result in results if scale == 1}
    top = max(scale for scale, _ in results)
    return {
        result.name: round(result.total_cpu_s / max(smallest[result.name], 0.01), 2)
        for scale, result in results
        if scale == top and top > 1
    }


if __name__ == "__main__":
    sys.exit(main())
