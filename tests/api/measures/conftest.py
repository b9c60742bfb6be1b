"""The customer of the tests of metering, asked for measures over HTTP."""

import pytest

from tests import factories
from tests.api.metering.conftest import Environment
from tests.api.trust.conftest import Asker


@pytest.fixture
def environment(db, queued):
    """A customer without instances, and the sizes of two instance types."""
    factories.make_definition(instance_type="m5.large", vcpu=2, memory_mib=8192)
    factories.make_definition(instance_type="m5.xlarge", vcpu=4, memory_mib=16384)
    return Environment()


@pytest.fixture
def ask(environment):
    """Whoever speaks for the customer."""
    return Asker(environment)


@pytest.fixture
def usage(ask):
    """Ask for rows; parameters are given as in a query string."""

    def get(query="", now="12T02"):
        ask.now = now
        return ask.get(f"/usage/?limit=100&{query}")["data"]

    return get
