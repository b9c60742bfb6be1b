"""Pytest plugin: embedded services for the tests, started when the first test asks for them.

It is loaded with ``-p tests.plugin``, that is before Django reads its settings: the ports of the
services are reserved and written to the environment here, the services themselves start later.
With pytest-xdist each worker has services of its own. A service that the environment configures
already is used as it is.

Session fixtures start a service: ``postgres`` (by itself for everything that touches the
database), ``valkey``, ``kafka``, ``aws_server``, ``azure_server``, ``sources_server``.
Function fixtures give a fresh one: ``redis_client``, ``aws``, ``azure``, ``sources_api``.
"""

import os
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
import redis
from django.test import TransactionTestCase

from deployment.local.aws import AwsControl
from deployment.local.azure import AzureControl
from deployment.local.local_services import MISLEADING_VARIABLES, LocalServices
from deployment.local.postgres import Postgres
from deployment.local.sources import SourcesControl
from tests import migrated
from tests.order import by_kind_and_weight

# Names of the variables that an outer pytest process set, so that its xdist workers, which inherit
# them, do not take the controller's services for real ones.
_SET_BY_CONTROLLER = "CLOUDIGRADE_TEST_EMBEDDED_VARIABLES"

# Tests that wait for the product's processes need a good part of a processor for these, too.
_MOST_PROCESSES = 4

_OF_SCHEMATHESIS = {"test_document.py"}

_SERVICE_FIXTURES = frozenset(
    {"postgres", "valkey", "kafka", "aws_server", "azure_server", "sources_server"}
)

_BASIC_ENVIRONMENT = {
    "CLOUDIGRADE_ENVIRONMENT": "test",
    "DJANGO_SETTINGS_MODULE": "cloudigrade.settings.test",
    "SOURCES_PSK": "test",
}


def _prepare_environment() -> LocalServices:
    for name in os.environ.pop(_SET_BY_CONTROLLER, "").split():
        os.environ.pop(name, None)
    for name in MISLEADING_VARIABLES:
        os.environ.pop(name, None)
    # Where this is forbidden, pytest compiles all tests anew each time, which takes six seconds.
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    sys.dont_write_bytecode = False
    Postgres.template = staticmethod(migrated.data_folder)  # type: ignore[method-assign]
    services = LocalServices()
    variables = {**services.env, **_BASIC_ENVIRONMENT}
    os.environ.update(variables)
    os.environ[_SET_BY_CONTROLLER] = " ".join(variables)
    return services


_services = _prepare_environment()

#: The names of the services that are embedded; real ones stand in the environment.
EMBEDDED = frozenset(_services.embedded)


def pytest_unconfigure() -> None:
    """Stop whatever was started."""
    _services.stop()


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Mark every test that needs services, before ``-m`` selects tests; order what is shared."""
    for item in items:
        if _needs_services(item):
            item.add_marker(pytest.mark.services)
    if hasattr(config, "workerinput"):
        items[:] = by_kind_and_weight(items)


def pytest_collect_file(file_path: Path, parent: pytest.Collector) -> None:
    """Load schemathesis' own plugin for the files that need it only: it takes half a second."""
    if file_path.name in _OF_SCHEMATHESIS:
        parent.config.pluginmanager.import_plugin("schemathesis.pytest.plugin")


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """Return how many processes ``-n auto`` means; each has services of its own.

    Beside as many as there are processors one may wait: two processes used two of them for two
    thirds of the time. Without the tests that wait there are two at least.
    """
    processors = len(os.sched_getaffinity(0))
    if "not e2e" in config.option.markexpr:
        return max(2, min(_MOST_PROCESSES, processors))
    return min(_MOST_PROCESSES, processors + 1)


def _needs_services(item: pytest.Item) -> bool:
    if item.get_closest_marker("django_db"):
        return True
    if not _SERVICE_FIXTURES.isdisjoint(getattr(item, "fixturenames", ())):
        return True
    test_class = getattr(item, "cls", None)
    return test_class is not None and issubclass(test_class, TransactionTestCase)


@pytest.fixture(scope="session")
def local_services() -> LocalServices:
    """The embedded services of this test process; start what you need by its name."""
    return _services


@pytest.fixture(scope="session")
def postgres(local_services: LocalServices) -> None:
    """PostgreSQL runs; every test marked ``django_db`` has it by itself."""
    local_services.start("postgres")


@pytest.fixture(scope="session")
def valkey(local_services: LocalServices) -> None:
    """Valkey runs; tests share what is in it: see ``redis_client``."""
    local_services.start("valkey")


@pytest.fixture
def redis_client(valkey: None) -> Iterator[redis.Redis]:
    """A client of an empty Valkey."""
    url = os.environ.get("REDIS_URL") or "redis://{REDIS_HOST}:{REDIS_PORT}/0".format_map(
        {"REDIS_PORT": "6379", **os.environ}
    )
    with redis.Redis.from_url(url) as client:
        client.flushdb()
        yield client


@pytest.fixture(scope="session")
def kafka(local_services: LocalServices) -> str:
    """A Kafka broker runs; the value is its bootstrap servers.

    All tests see all messages: choose topics or consumer groups of your own.
    """
    local_services.start("kafka")
    servers = os.environ.get("KAFKA_BOOTSTRAP_SERVERS")
    port = os.environ.get("KAFKA_SERVER_PORT", "9092")
    return servers or f"{os.environ['KAFKA_SERVER_HOST']}:{port}"


@pytest.fixture(scope="session")
def aws_server(local_services: LocalServices) -> Iterator[AwsControl]:
    """The fake AWS runs; its resources are shared by all tests: see ``aws``."""
    local_services.start("aws")
    with closing(AwsControl(os.environ["AWS_ENDPOINT_URL"])) as control:
        yield control


@pytest.fixture
def aws(aws_server: AwsControl) -> AwsControl:
    """An empty fake AWS: clients for any account, faults, and the record of calls."""
    aws_server.reset()
    return aws_server


@pytest.fixture(scope="session")
def azure_server(local_services: LocalServices) -> Iterator[AzureControl]:
    """The fake Azure runs; its resources are shared by all tests: see ``azure``."""
    local_services.start("azure")
    address, certificate = os.environ["AZURE_ARM_BASE_URL"], os.environ["AZURE_CA_BUNDLE"]
    with closing(AzureControl(address, certificate)) as control:
        yield control


@pytest.fixture
def azure(azure_server: AzureControl) -> AzureControl:
    """An Azure that has delegated nothing to us: add what the test needs, inject faults."""
    azure_server.reset()
    return azure_server


@pytest.fixture(scope="session")
def sources_server(local_services: LocalServices) -> Iterator[SourcesControl]:
    """The fake sources service runs; its records are shared by all tests: see ``sources_api``."""
    local_services.start("sources")
    with closing(SourcesControl(os.environ["SOURCES_API_BASE_URL"])) as control:
        yield control


@pytest.fixture
def sources_api(sources_server: SourcesControl) -> SourcesControl:
    """A fake sources service without records: add what the test needs, inject faults."""
    sources_server.reset()
    return sources_server
