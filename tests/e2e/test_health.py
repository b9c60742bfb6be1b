"""What the probes of a real web server say while its services are away or hang (08 §10)."""

import pytest

from deployment.local.app import Product
from deployment.local.http import local_session
from deployment.local.local_services import LocalServices
from tests.deployment.processes import away, suspended, wait_for

pytestmark = [pytest.mark.e2e, pytest.mark.services, pytest.mark.slow]

HEALTH, LIFE, READINESS, METRICS = (
    f"/internal/{name}" for name in ("healthz/?format=json", "livez/", "readyz/", "metrics")
)
WELL = {HEALTH: 200, LIFE: 200, READINESS: 200, METRICS: 200}


@pytest.fixture(scope="module")
def services():
    with LocalServices(["postgres", "valkey"], environment={}) as started:
        yield started


@pytest.fixture(scope="module")
def ask(services):
    """Ask the web server for a path."""
    product = Product(services)
    with local_session() as session:
        try:
            product.start("api")
            yield lambda path: session.get(product.url + path, timeout=25)
        finally:
            product.stop()


def hanging(service):
    return suspended(service.process.pid)


def codes(ask):
    return {path: ask(path).status_code for path in WELL}


def checks(ask):
    return {name: one["status"] for name, one in ask(READINESS).json()["checks"].items()}


def is_well_again(ask):
    return wait_for(lambda: codes(ask) == WELL)


@pytest.mark.parametrize("trouble", [away, hanging])
def test_without_redis_requests_are_served(services, ask, trouble):
    assert is_well_again(ask)
    with trouble(services.embedded["valkey"]):
        assert codes(ask) == WELL
        assert checks(ask)["database"] == "working"
        assert checks(ask)["redis"] != "working"
    assert is_well_again(ask)


@pytest.mark.parametrize(
    ("trouble", "told"), [(away, "failed: OperationalError"), (hanging, "no answer in time")]
)
def test_without_the_database_none_are_but_nobody_is_killed(services, ask, trouble, told):
    assert is_well_again(ask)
    with trouble(services.embedded["postgres"]):
        assert codes(ask) == {HEALTH: 500, LIFE: 200, READINESS: 503, METRICS: 200}
        assert ask(HEALTH).json() == {"DatabaseBackend": "unavailable: Database error"}
        assert checks(ask)["database"] == told
    assert is_well_again(ask)
