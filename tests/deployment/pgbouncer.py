"""PgBouncer for the tests: that of this machine, else Debian's, unpacked without installing it."""

import os
import shutil
import subprocess
from pathlib import Path

PACKAGE = "pgbouncer"
SEARCHED = f"{os.environ['PATH']}{os.pathsep}/usr/sbin"
WRAPPER = """#!/bin/sh
export LD_LIBRARY_PATH={libraries}
exec {program} "$@"
"""


def find(folder: Path) -> Path | None:
    """Return the program, None if it is neither here nor to be had.

    ``folder`` is where it is unpacked to; everybody has to be able to enter it, as the program does
    not run as root.
    """
    if installed := shutil.which(PACKAGE, path=SEARCHED):
        return Path(installed)
    if not all(map(shutil.which, ("apt-get", "apt-cache", "dpkg"))):
        return None
    try:
        return _unpack(folder)
    except (subprocess.SubprocessError, StopIteration):
        return None


def _unpack(folder: Path) -> Path:
    root = folder / "root"
    root.mkdir()
    for package in _download(folder / "apt"):
        _run(["dpkg", "--extract", package, root])
    program = next(root.rglob(f"bin/{PACKAGE}"), None) or next(root.rglob(f"sbin/{PACKAGE}"))
    libraries = {str(library.parent) for library in root.rglob("*.so.*")}
    wrapper = folder / PACKAGE
    wrapper.write_text(WRAPPER.format(libraries=":".join(sorted(libraries)), program=program))
    wrapper.chmod(0o755)
    _run([wrapper, "--version"])
    return wrapper


def _download(folder: Path) -> list[Path]:
    """Fetch the package and the libraries it needs, with lists of our own: root is not needed."""
    (folder / "state" / "lists" / "partial").mkdir(parents=True)
    (folder / "cache" / "archives" / "partial").mkdir(parents=True)
    options = [
        *("-o", f"Dir::State={folder / 'state'}", "-o", f"Dir::Cache={folder / 'cache'}"),
        *("-o", "Dir::State::status=/var/lib/dpkg/status", "-o", "APT::Sandbox::User="),
        *("-o", "Acquire::Retries=1", "-o", "Acquire::http::Timeout=20"),
    ]
    _run(["apt-get", *options, "-qq", "update"])
    told = _run(["apt-cache", *options, "depends", "--important", PACKAGE])
    words = [line.split() for line in told.splitlines()]
    needed = {line[1] for line in words if line[:1] == ["Depends:"] and line[1].startswith("lib")}
    # The C library must be that of this machine.
    wanted = {PACKAGE, *needed} - {"libc6"}
    _run(["apt-get", *options, "-qq", "download", *sorted(wanted)], directory=folder)
    return sorted(folder.glob("*.deb"))


def _run(command: list[str | Path], directory: Path | None = None) -> str:
    return subprocess.run(
        command, cwd=directory, check=True, capture_output=True, text=True, timeout=180
    ).stdout
