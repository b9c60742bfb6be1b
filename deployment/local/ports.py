"""Loopback ports that are free now and stay ours until a server takes them over."""

import random
import socket
from contextlib import closing

LOOPBACK = "127.0.0.1"

# Below the range from which operating systems choose the ports of outgoing connections, so that
# no client of this machine can take a port between its reservation and the start of its server.
_FIRST_PORT = 15_000
_LAST_PORT = 29_999
_ATTEMPTS = 500


class PortReservation:
    """A free loopback port, held by a bound socket until :meth:`release`."""

    def __init__(self) -> None:
        self._socket: socket.socket | None = None
        for _ in range(_ATTEMPTS):
            candidate = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
            try:
                candidate.bind((LOOPBACK, random.randint(_FIRST_PORT, _LAST_PORT)))
            except OSError:
                candidate.close()
                continue
            self._socket = candidate
            self.number: int = candidate.getsockname()[1]
            return
        message = f"no free port on {LOOPBACK} between {_FIRST_PORT} and {_LAST_PORT}"
        raise OSError(message)

    def release(self) -> None:
        """Let go of the port: the server that it was kept for is about to bind it."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None


def is_listening(port: int, host: str = LOOPBACK) -> bool:
    """Return whether something accepts TCP connections on the port."""
    with closing(socket.socket(socket.AF_INET, socket.SOCK_STREAM)) as probe:
        probe.settimeout(1)
        return probe.connect_ex((host, port)) == 0
