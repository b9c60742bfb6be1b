"""Serve cloudigrade on this machine: ``python -m deployment.local``.

Starts the embedded services and the product's processes, says where they are, and serves until
Ctrl-C. ``--services-only`` leaves the product out and prints lines for a shell to ``eval``.
"""

import argparse
import shlex
import sys
import time
from typing import NoReturn

from deployment.local import welcome
from deployment.local.app import Product
from deployment.local.local_services import LocalServices
from deployment.local.process import LocalServiceError
from deployment.local.signals import Interrupted, raise_on_signals

_SECONDS_BETWEEN_CHECKS = 1.0


def main(arguments: list[str] | None = None) -> int:
    """Serve; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m deployment.local", description=__doc__)
    parser.add_argument(
        "--services-only",
        action="store_true",
        help="start no process of the product; print export lines for a shell",
    )
    options = parser.parse_args(arguments)
    raise_on_signals()
    try:
        with LocalServices() as services:
            if options.services_only:
                _print_exports(services)
                _serve(services, None)
            product = Product(services)
            try:
                product.start()
                _print_addresses(services, product)
                _serve(services, product)
            finally:
                product.stop()
    except Interrupted as interrupted:
        return interrupted.exit_code
    except LocalServiceError as error:
        print(error, file=sys.stderr)
        return 1


def _print_exports(services: LocalServices) -> None:
    for name, value in services.env.items():
        print(f"export {name}={shlex.quote(value)}")
    print("# ready; Ctrl-C stops the services", flush=True)


def _print_addresses(services: LocalServices, product: Product) -> None:
    for title, address in welcome.places(services, product):
        print(f"{title:<16}{address}")
    print("\nLook around:")
    for line in welcome.lines_for_everybody(product):
        print(f"  {line}")
    print("\nCommands, in a shell of your own:")
    for line in welcome.lines_of_commands(welcome.write_variables(services, product)):
        print(f"  {line}")
    print("\ncloudigrade is up; Ctrl-C stops everything.", flush=True)


def _serve(services: LocalServices, product: Product | None) -> NoReturn:
    """Wait for a signal, or until a service or process ends by itself."""
    while True:
        services.check()
        if product is not None:
            product.check()
        time.sleep(_SECONDS_BETWEEN_CHECKS)


if __name__ == "__main__":
    sys.exit(main())
