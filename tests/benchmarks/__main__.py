"""Run the benchmarks, print a table and write build/bench.json."""

import argparse
import importlib
import json
import os
import pkgutil
import sys
from pathlib import Path

import django

from deployment.local.local_services import LocalServices
from tests import benchmarks
from tests.benchmarks.against import TURNS, as_json, measure_against, show_comparisons

OUTPUT = Path("build") / "bench.json"


def main() -> int:
    """Measure what was asked for; return 1 if a target was missed, or a revision is slower."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description=__doc__)
    parser.add_argument("words", nargs="*", help="run suites or operations whose names hold one")
    parser.add_argument("--rounds", type=int, help="how often, in place of the operations' own")
    parser.add_argument("--output", type=Path, default=OUTPUT)
    parser.add_argument("--against", metavar="REV", help="measure this revision too, in turns")
    parser.add_argument("--turns", type=int, default=TURNS, help="with --against (%(default)s)")
    options = parser.parse_args()
    options.output.parent.mkdir(exist_ok=True)
    return _compare(options) if options.against else _measure(options)


def _compare(options: argparse.Namespace) -> int:
    """Measure two revisions in turn; return 1 if one operation is slower in this one."""
    rounds = ["--rounds", str(options.rounds)] if options.rounds else []
    comparisons = measure_against(options.against, [*options.words, *rounds], options.turns)
    show_comparisons(comparisons, options.against)
    options.output.write_text(as_json(comparisons, options.against))
    return 1 if any(one.verdict == "slower" for one in comparisons) else 0


def _measure(options: argparse.Namespace) -> int:
    """Measure this revision; return 1 if a target was missed."""
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
        results = runner.run_all(modules, options.words, options.rounds)
    options.output.write_text(json.dumps([result.as_json() for result in results], indent=2) + "\n")
    missed = [result for result in results if result.missed]
    for result in missed:
        print(f"missed: {result.suite}: {result.name}: {', '.join(result.missed)}")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
