"""Programs of Debian packages for the tests: those of this machine, else unpacked from the package.

Nothing is installed, and root is not needed.
"""

import os
import shutil
import subprocess
from pathlib import Path

SEARCHED = f"{os.environ['PATH']}{os.pathsep}/usr/sbin"
WRAPPER = """#!/bin/sh
export LD_LIBRARY_PATH={libraries}
exec {program} "$@"
"""


def find(package: str, program: str, folder: Path) -> Path | None:
    """Return a package's program, None if it is neither on this machine nor to be had.

    ``folder`` is where it is unpacked to, with the libraries that it needs.
    """
    if installed := shutil.which(program, path=SEARCHED):
        return Path(installed)
    if not all(map(shutil.which, ("apt-get", "apt-cache", "dpkg"))):
        return None
    try:
        return _unpack(package, program, folder)
    except (subprocess.SubprocessError, StopIteration):
        return None


def _unpack(package: str, program: str, folder: Path) -> Path:
    root = folder / "root"
    root.mkdir()
    for archive in _download(package, folder / "apt"):
        _run(["dpkg", "--extract", archive, root])
    found = next(root.rglob(f"bin/{program}"), None) or next(root.rglob(f"sbin/{program}"))
    libraries = {str(library.parent) for library in root.rglob("*.so.*")}
    wrapper = folder / program
    wrapper.write_text(WRAPPER.format(libraries=":".join(sorted(libraries)), program=found))
    wrapper.chmod(0o755)
    _run([wrapper, "--version"])
    return wrapper


def _download(package: str, folder: Path) -> list[Path]:
    """Fetch the package and the shared libraries it needs, with package lists of our own."""
    (folder / "state" / "lists" / "partial").mkdir(parents=True)
    (folder / "cache" / "archives" / "partial").mkdir(parents=True)
    options = [
        *("-o", f"Dir::State={folder / 'state'}", "-o", f"Dir::Cache={folder / 'cache'}"),
        *("-o", "Dir::State::status=/var/lib/dpkg/status", "-o", "APT::Sandbox::User="),
        *("-o", "Acquire::Retries=1", "-o", "Acquire::http::Timeout=20"),
    ]
    _run(["apt-get", *options, "-qq", "update"])
    told = _run(["apt-cache", *options, "depends", "--important", package])
    words = [line.split() for line in told.splitlines()]
    needed = {line[1] for line in words if line[:1] == ["Depends:"] and line[1].startswith("lib")}
    # The C library must be that of this machine; scripts of web pages are no libraries to link.
    unwanted = {name for name in needed if name == "libc6" or name.startswith("libjs-")}
    wanted = {package, *needed} - unwanted
    _run(["apt-get", *options, "-qq", "download", *sorted(wanted)], directory=folder)
    return sorted(folder.glob("*.deb"))


def _run(command: list[str | Path], directory: Path | None = None) -> str:
    return subprocess.run(
        command, cwd=directory, check=True, capture_output=True, text=True, timeout=180
    ).stdout
