"""Play the story: ``python -m deployment.local.demo [--once]``, or ``make demo``.

Starts the embedded services and the product's own processes, plays the story with its checks, and
serves until Ctrl-C; with ``--once`` (``make demo ONCE=1``) it ends after the checks. The last line
is then ``demo: OK`` and the exit code 0, or it says what was wrong and the code is not 0.
"""

import argparse
import sys
import time

from rich.console import Console

from deployment.local.app import Product
from deployment.local.demo.entry_points import StoryError
from deployment.local.demo.story import SETTINGS, Story
from deployment.local.local_services import LocalServices
from deployment.local.process import LocalServiceError
from deployment.local.signals import Interrupted, raise_on_signals

_SECONDS_BETWEEN_CHECKS = 1.0
_ERRORS_SHOWN = 20
_COLUMNS = 120


def main(arguments: list[str] | None = None) -> int:
    """Play; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m deployment.local.demo", description=__doc__)
    parser.add_argument("--once", action="store_true", help="end after the checks")
    options = parser.parse_args(arguments)
    raise_on_signals()
    console = Console(highlight=False, soft_wrap=True)
    console.width = max(console.width, _COLUMNS)
    try:
        _play(console, once=options.once)
    except Interrupted as interrupted:
        return 0 if not options.once else interrupted.exit_code
    except (LocalServiceError, StoryError) as error:
        console.print(str(error), markup=False)
        console.print("demo: FAILED", markup=False)
        return 1
    console.print("demo: OK", markup=False)
    return 0


def _play(console: Console, *, once: bool) -> None:
    started = time.monotonic()
    console.print("Starting PostgreSQL, Valkey, Kafka, AWS and sources on free ports ...")
    with LocalServices() as services:
        product = Product(services, settings=SETTINGS)
        console.print(f"... up after {time.monotonic() - started:.1f} s; starting cloudigrade ...")
        try:
            product.start()
            story = Story(console=console, services=services, product=product, started=started)
            try:
                with story:
                    story.play()
                    if once:
                        story.try_lines()
            except StoryError:
                _show_errors(console, product)
                raise
            if not once:
                console.print("\ncloudigrade serves until Ctrl-C.")
                while True:
                    services.check()
                    product.check()
                    time.sleep(_SECONDS_BETWEEN_CHECKS)
        finally:
            product.stop()


def _show_errors(console: Console, product: Product) -> None:
    """Show what the product's processes complained about."""
    for name, process in product.processes().items():
        lines = process.log_file.read_text(errors="replace").splitlines()
        for line in [line for line in lines if "| ERROR |" in line][-_ERRORS_SHOWN:]:
            console.print(f"{name}: {line}", markup=False)


if __name__ == "__main__":
    sys.exit(main())
