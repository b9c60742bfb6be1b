"""Run the benchmarks, print a table and write build/bench.json."""

import argparse
import importlib
import json
import os
import pkgutil
import sys
from pathlib import Path

import django

from deployment.local.world import LocalServices
from tests import benchmarks

OUTPUT = Path("build") / "bench.json"
COLUMNS = (
    ("wall s", "wall_s", 4),
    ("95 % s", "p95_s", 4),
    ("cpu s", "cpu_s", 4),
    ("db cpu s", "db_cpu_s", 4),
    ("statements", "statements", 0),
    ("rows", "rows", 0),
    ("messages", "messages", 0),
    ("peak MiB", "peak_rss_mib", 0),
)


def main() -> int:
    """Measure what was asked for; return 1 if a target was missed."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description=__doc__)
    parser.add_argument("words", nargs="*", help="run suites or operations whose names hold one")
    parser.add_argument("--rounds", type=int, help="how often, in place of the operations' own")
    parser.add_argument("--output", type=Path, default=OUTPUT)
    options = parser.parse_args()
    services = LocalServices(["postgres"])
    os.environ.update(services.env)
    os.environ["CLOUDIGRADE_ENVIRONMENT"] = "test"
    os.environ["DJANGO_SETTINGS_MODULE"] = "cloudigrade.settings.test"
    with services:
        django.setup()
        # Only now can modules that need Django be loaded.
        runner = importlib.import_module("tests.benchmarks.runner")
        names = sorted(
            module.name
            for module in pkgutil.iter_modules(benchmarks.__path__)
            if module.name.startswith("bench_")
        )
        modules = [importlib.import_module(f"tests.benchmarks.{name}") for name in names]
        results = runner.run_all(modules, options.words, options.rounds, show)
    options.output.parent.mkdir(exist_ok=True)
    options.output.write_text(json.dumps([result.as_json() for result in results], indent=2) + "\n")
    missed = [result for result in results if result.missed]
    for result in missed:
        print(f"missed: {result.suite}: {result.name}: {', '.join(result.missed)}")
    return 1 if missed else 0


def show(text: str, result=None) -> None:
    """Print a heading, or a line of the table."""
    if result is None:
        heads = "".join(f"{head:>12}" for head, _, _ in COLUMNS)
        print(f"\n{text:<56}{heads}", flush=True)
        return
    cells = ""
    for _, name, digits in COLUMNS:
        value = getattr(result.cost, name)
        cells += f"{'-':>12}" if value is None else f"{value:>12,.{digits}f}"
    print(f"{text:<56}{cells}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
