"""A cloud that does as the test says, in place of both real ones."""

import datetime
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest
from django.core.cache import cache
from django.db import connection

from api.clouds import provider
from api.clouds.provider import AccountRef
from api.models import CloudType
from api.sources import client
from tests.api.accounts.records import APPLICATION, AUTHENTICATION, OUR_TYPE
from tests.api.accounts.workers import Broker
from util import tasks


@dataclass
class FakeCloud:
    """Remembers what it was asked; ``problem`` is raised by ``verify``, ``trail_problem`` later.

    ``removals`` are the answers when the last removal was; none, once they are used up.
    """

    cloud_type: str
    problem: Exception | None = None
    trail_problem: Exception | None = None
    calls: list[tuple[str, AccountRef]] = field(default_factory=list)
    meanwhile: list = field(default_factory=list)
    removals: list[datetime.datetime | None] = field(default_factory=list)
    own: tuple[str, ...] = ()
    in_transaction: list[str] = field(default_factory=list)

    def is_own(self, account: AccountRef) -> bool:
        if connection.savepoint_ids:
            self.in_transaction.append("is_own")
        return account.cloud_account_number in self.own

    def verify(self, account: AccountRef) -> None:
        self._note("verify", account)
        for happening in self.meanwhile:
            happening()
        if self.problem is not None:
            raise self.problem

    def configure(self, account: AccountRef) -> None:
        self._note("configure", account)
        if self.trail_problem is not None:
            raise self.trail_problem

    def release(self, account: AccountRef) -> None:
        self.calls.append(("release", account))

    def last_removal(self, account: AccountRef) -> datetime.datetime | None:
        return self.removals.pop(0) if self.removals else None

    def forget(self, account: AccountRef) -> None:
        self.calls.append(("forget", account))

    def discover(self, account: AccountRef) -> None:
        self.calls.append(("discover", account))

    @property
    def asked(self) -> list[str]:
        return [name for name, _ in self.calls]

    def refs(self, name: str) -> list[AccountRef]:
        return [ref for called, ref in self.calls if called == name]

    def _note(self, name: str, account: AccountRef) -> None:
        self.calls.append((name, account))
        # A test's own transaction counts as none.
        if len(connection.savepoint_ids) > 0:
            self.in_transaction.append(name)


@pytest.fixture
def clouds(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, FakeCloud]]:
    fakes = {str(kind): FakeCloud(str(kind)) for kind in CloudType.values}
    monkeypatch.setattr(provider, "_providers", fakes)
    yield fakes
    for fake in fakes.values():
        assert not fake.in_transaction, "a cloud was asked inside a transaction"


@pytest.fixture
def aws(clouds: dict[str, FakeCloud]) -> FakeCloud:
    return clouds[str(CloudType.AWS)]


@pytest.fixture
def azure(clouds: dict[str, FakeCloud]) -> FakeCloud:
    return clouds[str(CloudType.AZURE)]


@pytest.fixture(autouse=True)
def nothing_remembered() -> None:
    client.forget_everything()
    cache.clear()


@pytest.fixture
def sources(sources_api):
    """A sources service that knows one application with its authentication."""
    sources_api.add("application_types", OUR_TYPE)
    sources_api.add("applications", APPLICATION)
    sources_api.add("authentications", AUTHENTICATION)
    return sources_api


@pytest.fixture
def broker(monkeypatch, queued) -> Broker:
    """The tasks that the test queues, to be run by it."""
    found = Broker(queued)
    monkeypatch.setattr(tasks, "publish", found.publish)
    return found
