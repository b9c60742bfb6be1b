"""The product's AWS clients, which one test after the other uses: making one costs 20 ms."""

import os
from collections import defaultdict
from collections.abc import Callable
from typing import Any

from botocore.config import Config

from api.clouds.aws.session import Credentials

Make = Callable[[str, str, Credentials | None, Config], Any]


class LentClients:
    """Stands in for ``Clients._make``; no client is lent twice before it was taken back."""

    def __init__(self, make: Make) -> None:
        self._make = make
        self._free: dict[tuple, list[Any]] = defaultdict(list)
        self._lent: list[tuple[tuple, Any]] = []

    def make(
        self, service: str, region: str, credentials: Credentials | None, config: Config
    ) -> Any:
        """Return a client that does what a new one would."""
        free = self._free[key := _key(service, region, credentials, config)]
        client = free.pop() if free else self._make(service, region, credentials, config)
        if credentials is not None:
            used = client._request_signer._credentials
            used.access_key = credentials.access_key_id
            used.secret_key = credentials.secret_access_key
            used.token = credentials.token
        self._lent.append((key, client))
        return client

    def take_back(self) -> None:
        """Lend all clients again."""
        for key, client in self._lent:
            self._free[key].append(client)
        self._lent.clear()


def _key(
    service: str, region: str, credentials: Credentials | None, config: Config
) -> tuple[Any, ...]:
    environment = tuple(sorted(pair for pair in os.environ.items() if pair[0].startswith("AWS_")))
    options = repr(config._user_provided_options)
    return service, region, credentials is None, options, environment
