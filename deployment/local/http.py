"""HTTP on this machine, and the remote control of the fake services."""

from typing import Any

import requests

_SECONDS_PER_REQUEST = 30.0


def local_session() -> requests.Session:
    """Return a session that leaves proxies of the surrounding network aside."""
    session = requests.Session()
    session.trust_env = False
    return session


def without_proxies(environment: dict[str, str]) -> dict[str, str]:
    """Return the variables that keep other programs from asking a proxy for this machine."""
    hosts = {"127.0.0.1", "localhost"}
    for name in ("NO_PROXY", "no_proxy"):
        hosts |= {host.strip() for host in environment.get(name, "").split(",") if host.strip()}
    value = ",".join(sorted(hosts))
    return {"NO_PROXY": value, "no_proxy": value}


class RemoteControl:
    """Control a fake service: set how it behaves, and read what it was asked.

    Raises requests.RequestException when the service does not answer as it should.
    """

    def __init__(self, base_url: str, certificate: str | None = None) -> None:
        self.base_url = base_url
        self._session = local_session()
        if certificate is not None:
            self._session.verify = certificate

    def close(self) -> None:
        """Close the connection."""
        self._session.close()

    def call(self, method: str, path: str, content: Any = None) -> Any:
        """Send a request and return what its answer's JSON says, None if it is empty."""
        response = self._session.request(
            method, self.base_url + path, json=content, timeout=_SECONDS_PER_REQUEST
        )
        response.raise_for_status()
        return response.json() if response.content else None
