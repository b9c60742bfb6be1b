"""Renew the console's vendored scripts from their npm packages: ``python -m deployment.vendor``.

The versions stand in ``api/console/static/vendor/package.json``, where Renovate knows them. npm
itself fetches the packages, from the registry that it is configured for, and checks them.
"""

import json
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

FOLDER = Path(__file__).parent.parent / "api" / "console" / "static" / "vendor"

FILES = {
    "htmx.org": {"dist/htmx.min.js": "htmx.min.js", "LICENSE": "htmx.LICENSE"},
    "uplot": {
        "dist/uPlot.iife.min.js": "uplot.iife.min.js",
        "dist/uPlot.min.css": "uplot.min.css",
        "LICENSE": "uplot.LICENSE",
    },
}
"""What is copied of each package, and under which name."""


def versions() -> dict[str, str]:
    """Return the version of each package."""
    document: dict[str, dict[str, str]] = json.loads((FOLDER / "package.json").read_text())
    return document["dependencies"]


def renew(package: str, version: str) -> None:
    """Fetch a package and copy its files. Raises CalledProcessError if npm cannot."""
    with tempfile.TemporaryDirectory() as folder:
        packed = subprocess.run(  # noqa: S603
            ["npm", "pack", "--silent", f"{package}@{version}"],  # noqa: S607
            cwd=folder,
            check=True,
            capture_output=True,
            text=True,
        )
        with tarfile.open(Path(folder) / packed.stdout.split()[-1]) as archive:
            for source, target in FILES[package].items():
                content = archive.extractfile(f"package/{source}")
                if content is None:
                    raise FileNotFoundError(f"{package} has no {source}")
                (FOLDER / target).write_bytes(content.read())


def main() -> int:
    """Renew all packages."""
    for package, version in versions().items():
        renew(package, version)
        sys.stdout.write(f"{package} {version}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
