"""Loopback ports that are free now and stay ours until a server takes them over.

A server needs seconds from when it is started to when it binds its port, and many are started at
the same time where tests run in several processes. The port itself cannot be held for so long, but
its number can: a UDP socket is bound to it for as long as the reservation exists.
"""

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
    """A free loopback port, held by a bound socket until :meth:`release`.

    No other reservation on this machine has the same number while this one exists.
    """

    def __init__(self) -> None:
        self._socket: socket.socket | None = None
        for _ in range(_ATTEMPTS):
            number = random.randint(_FIRST_PORT, _LAST_PORT)
            mark, candidate = socket.socket(type=socket.SOCK_DGRAM), socket.socket()
            try:
                mark.bind((LOOPBACK, number))
                candidate.bind((LOOPBACK, number))
            except OSError:
                mark.close()
                candidate.close()
                continue
            self._mark, self._socket, self.number = mark, candidate, number
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
