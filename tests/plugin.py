"""Pytest plugin: embedded services for the tests, started when the first test asks for them.

It is loaded with ``-p tests.plugin``, that is before Django reads its settings: the ports of the
services are reserved and written to the environment here, the services themselves start later.
With pytest-xdist each worker has services of its own. A service that the environment configures
already is used as it is.
"""

import os

import pytest
from django.test import TransactionTestCase

from deployment.local.world import MISLEADING_VARIABLES, LocalServices

# Names of the variables that an outer pytest process set, so that its xdist workers, which inherit
# them, do not take the controller's services for real ones.
_SET_BY_CONTROLLER = "CLOUDIGRADE_TEST_EMBEDDED_VARIABLES"

_SERVICE_FIXTURES = frozenset({"postgres"})
_DATABASE_FIXTURES = frozenset({"db", "transactional_db", "django_db_setup", "live_server"})

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
    services = LocalServices()
    variables = {
        **{name: os.environ.get(name, value) for name, value in _BASIC_ENVIRONMENT.items()},
        **services.env,
    }
    os.environ.update(variables)
    os.environ[_SET_BY_CONTROLLER] = " ".join(services.env)
    return services


_services = _prepare_environment()


def pytest_unconfigure() -> None:
    """Stop whatever was started."""
    _services.stop()


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Give the marker ``services`` to every test that needs one, before ``-m`` selects tests."""
    for item in items:
        if _needs_services(item):
            item.add_marker(pytest.mark.services)


def _needs_services(item: pytest.Item) -> bool:
    if item.get_closest_marker("django_db"):
        return True
    if not _SERVICE_FIXTURES.isdisjoint(_fixture_names(item)):
        return True
    test_class = getattr(item, "cls", None)
    return test_class is not None and issubclass(test_class, TransactionTestCase)


def _fixture_names(item: pytest.Item) -> frozenset[str]:
    return frozenset(getattr(item, "fixturenames", ()))


@pytest.fixture(scope="session")
def local_services() -> LocalServices:
    """The embedded services of this test process; start what you need by its name."""
    return _services


@pytest.fixture(scope="session")
def postgres(local_services: LocalServices) -> None:
    """PostgreSQL runs; every test marked ``django_db`` has it by itself."""
    local_services.start("postgres")
