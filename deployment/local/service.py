"""What every embedded service is to the supervisor."""

import secrets
import stat
import tempfile
from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

from deployment.local.ports import PortReservation
from deployment.local.process import LocalServiceError, ManagedProcess
from deployment.local.signals import last_moment
from deployment.local.watchdog import Watchdog

REPOSITORY = Path(__file__).resolve().parents[2]

# After the last moment of the processes; what is left then, the watchdog removes behind us.
_SECONDS_TO_REMOVE = 1.0

# Where any user may have files, on every Unix.
_COMMON_FOLDER = Path("/var/tmp")  # noqa: S108 - nobody can guess the names that are used in it


class Surroundings:
    """What a service gets from the supervisor: one scratch folder, one watchdog."""

    def __init__(self, scratch_parent: Path | None = None) -> None:
        self.watchdog = Watchdog()
        #: The one folder for all files, below TMPDIR by default. Only its name is settled here.
        self.scratch = _choose_folder(scratch_parent or Path(tempfile.gettempdir()))
        self._made: list[Path] = []

    def folder(self, name: str) -> Path:
        """Return the folder of this name in the scratch folder, created if it was not there."""
        return self._make_below(self.scratch, name)

    def folder_for_everybody(self, name: str) -> Path:
        """Create a folder that every user of this machine can reach.

        It lies in the scratch folder, unless that lies below a folder which is closed to others.
        """
        if _others_may_enter(self.scratch.parent):
            return self.folder(name)
        return self._make_below(_choose_folder(_COMMON_FOLDER), name)

    def close(self) -> None:
        """Let the watchdog remove the scratch folder and end; after a signal it is left alone."""
        self._made.clear()
        self.watchdog.close(until=last_moment() + _SECONDS_TO_REMOVE)

    def _make_below(self, parent: Path, name: str) -> Path:
        if parent not in self._made:
            self._made.append(parent)
            self.watchdog.remove(parent)
            # Others may pass through: as root the database server runs as another user.
            parent.mkdir(mode=0o711)
        folder = parent / name
        folder.mkdir(exist_ok=True)
        return folder

    def log_file(self, name: str) -> Path:
        """Return where the process of this name writes its log."""
        return self.folder("logs") / f"{name}.log"


def _choose_folder(parent: Path) -> Path:
    return parent / f"cloudigrade-{secrets.token_hex(8)}"


def _others_may_enter(folder: Path) -> bool:
    return all(path.stat().st_mode & stat.S_IXOTH for path in (folder, *folder.parents))


class Service(ABC):
    """An embedded server on a free loopback port.

    The port is reserved at once, so that ``env`` is known before anything runs. ``launch`` starts
    the server and returns early, ``wait_until_ready`` waits for it: servers thus start together.
    """

    name: ClassVar[str]
    title: ClassVar[str]
    #: Environment variables of the product: if one is set, a real service is used instead.
    configured_by: ClassVar[tuple[str, ...]]

    def __init__(self, surroundings: Surroundings) -> None:
        self.surroundings = surroundings
        self.reservation = PortReservation()
        self.port = self.reservation.number
        self.process: ManagedProcess | None = None

    @property
    @abstractmethod
    def env(self) -> dict[str, str]:
        """The product's environment variables that point to this service (spec 08 §4)."""

    @property
    @abstractmethod
    def address(self) -> str:
        """Where the service is found, to be shown to people."""

    @abstractmethod
    def launch(self) -> None:
        """Start the server process."""

    def run(self, command: Sequence[str | Path], **options: Any) -> None:
        """Start the process that is this server, on the reserved port.

        ``options`` are those of ManagedProcess; the repository is the directory by default.
        """
        self.process = ManagedProcess(
            name=self.title,
            command=command,
            log_file=self.surroundings.log_file(self.name),
            watchdog=self.surroundings.watchdog,
            **{"directory": REPOSITORY, **options},
        )
        self.reservation.release()
        self.process.start()

    @abstractmethod
    def wait_until_ready(self) -> None:
        """Wait until the server answers in its own protocol.

        Raises LocalServiceError if it does not.
        """

    def check(self) -> None:
        """Raise LocalServiceError if the server has ended by itself."""
        if self.process is not None and (code := self.process.exit_code()) is not None:
            raise LocalServiceError(self.process.describe_failure(f"ended with exit code {code}"))

    def request_stop(self) -> None:
        """Ask the server to stop and do not wait for it."""
        if self.process is not None:
            self.process.request_stop()

    def stop(self) -> None:
        """Stop the server, or give back the port of one that was never started."""
        self.reservation.release()
        if self.process is not None:
            self.process.stop()
            self.process = None
