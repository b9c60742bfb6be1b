"""Make the screenshots: ``python -m docs.console [FOLDER]``, or ``make docs-console``.

Plays the demo's story, and then looks at its data with headless Chromium.
"""

import argparse
import sys
from pathlib import Path

from rich.console import Console

from deployment.local.app import Product
from deployment.local.demo.story import SETTINGS, Story
from deployment.local.local_services import LocalServices
from docs.console.chromium import program
from docs.console.pages import take_screenshots

IMAGES = Path(__file__).parent.parent / "images"


def main(arguments: list[str] | None = None) -> int:
    """Make the screenshots; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m docs.console", description=__doc__)
    parser.add_argument("folder", nargs="?", type=Path, default=IMAGES)
    options = parser.parse_args(arguments)
    if program() is None:
        sys.stderr.write("There is no Chromium here: install Debian's package chromium.\n")
        return 1
    console = Console(highlight=False, soft_wrap=True)
    with LocalServices() as services:
        product = Product(services, settings={**SETTINGS, "SAMPLE_FLEET_SCHEDULE": "5"})
        try:
            product.start()
            with Story(console=console, services=services, product=product, started=0.0) as story:
                story.play()
            for path in take_screenshots(product.url, options.folder):
                console.print(f"{path}", markup=False)
        finally:
            product.stop()
    return 0


if __name__ == "__main__":
    sys.exit(main())
