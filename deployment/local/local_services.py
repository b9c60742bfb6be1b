"""The local environment: every service that the product talks to, embedded, on this machine."""

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Self

from deployment.local.aws import Aws
from deployment.local.azure import Azure
from deployment.local.http import without_proxies
from deployment.local.kafka import Kafka
from deployment.local.postgres import Postgres
from deployment.local.service import Service, Surroundings
from deployment.local.sources import Sources
from deployment.local.valkey import Valkey

SERVICES: tuple[type[Service], ...] = (Aws, Azure, Kafka, Valkey, Sources, Postgres)
ALL_SERVICES = tuple(service.name for service in SERVICES)

# Variables of the surrounding shell that would lead the product, or an SDK, somewhere else.
MISLEADING_VARIABLES = (
    "ACG_CONFIG",
    "AWS_PROFILE",
    "AWS_SESSION_TOKEN",
    "AWS_DEFAULT_PROFILE",
    "DJANGO_SETTINGS_MODULE",
)


class LocalServices:
    """Embedded services below one scratch folder; each gives way to a real one of the environment.

    ``environment`` (by default that of this process) says which services are configured already:
    those are left alone and used as they are. The variables that lead the product to the others
    are in ``env`` from the beginning, before anything is started.
    """

    def __init__(
        self,
        names: Iterable[str] = ALL_SERVICES,
        *,
        environment: Mapping[str, str] | None = None,
        scratch_parent: Path | None = None,
    ) -> None:
        self._environment = os.environ if environment is None else environment
        self.surroundings = Surroundings(scratch_parent)
        wanted = set(names)
        self.embedded: dict[str, Service] = {
            kind.name: kind(self.surroundings)
            for kind in SERVICES
            if kind.name in wanted and not is_configured(kind, self._environment)
        }
        self._started: list[Service] = []

    @property
    def env(self) -> dict[str, str]:
        """The product's environment variables for all embedded services (spec 08 §4)."""
        variables = without_proxies(dict(self._environment))
        for service in self.embedded.values():
            variables |= service.env
        return variables

    def start(self, *names: str) -> None:
        """Start the named services, by default all; what runs already or is real is skipped.

        Raises LocalServiceError naming the service that failed, after stopping all.
        """
        wanted = names or tuple(self.embedded)
        services = [
            service
            for name, service in self.embedded.items()
            if name in wanted and service not in self._started
        ]
        try:
            for service in services:
                self._started.append(service)
                service.launch()
            for service in services:
                service.wait_until_ready()
        except BaseException:
            self.stop()
            raise

    def check(self) -> None:
        """Raise LocalServiceError if a started service has ended by itself."""
        for service in self._started:
            service.check()

    def stop(self) -> None:
        """Stop what was started, last first, and remove the scratch folder. May be repeated."""
        for service in reversed(self._started):
            service.request_stop()
        for service in reversed(self.embedded.values()):
            service.stop()
        self._started.clear()
        self.surroundings.close()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.stop()


def is_configured(kind: type[Service], environment: Mapping[str, str]) -> bool:
    """Return whether the environment names a real service of this kind."""
    return any(environment.get(variable) for variable in kind.configured_by)
