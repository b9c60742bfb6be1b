"""Acceptance scenarios of 08 §26 that are about whole processes; others lie by their code."""

import pytest

from deployment.local.app import Product
from deployment.local.http import local_session
from deployment.local.local_services import LocalServices
from tests.cloudigrade.programs import run


@pytest.mark.services
@pytest.mark.e2e
@pytest.mark.slow
def test_scenario_16_health_follows_the_database(tmp_path):
    with LocalServices(["postgres", "valkey"], environment={}, scratch_parent=tmp_path) as services:
        product = Product(services)
        url = f"{product.url}/internal/healthz/"
        try:
            product.start("api")
            with local_session() as session:
                healthy = session.get(url, params={"format": "json"}, timeout=30)
                text = session.get(url, headers={"Accept": "text/plain"}, timeout=30)
                services.embedded["postgres"].stop()
                sick = session.get(url, params={"format": "json"}, timeout=30)
        finally:
            product.stop()
    assert (healthy.status_code, healthy.json()) == (200, {"DatabaseBackend": "working"})
    assert text.status_code == 406
    assert sick.status_code == 500


def test_scenario_24_production_disables_nothing():
    # There is no database either: it is not even asked.
    done = run(
        *("python", "manage.py", "disable_accounts", "--confirm"), CLOUDIGRADE_ENVIRONMENT="prod"
    )
    assert (done.returncode, done.stdout) == (
        0,
        "You cannot run this command in production.\n",
    ), done.stderr
