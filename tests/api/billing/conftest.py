"""The customer of the tests of metering, whose instances are paid for in various ways."""

import pytest

from api.models import InstanceFact
from tests.api.metering.conftest import Environment
from tests.api.metering.notation import at


@pytest.fixture
def environment(db, queued):
    """A customer without instances."""
    return Environment()


@pytest.fixture
def observe():
    """Store what a cloud said of an instance at a moment, in the notation of spec 07 §13."""

    def observe(instance, when, **columns) -> InstanceFact:
        return InstanceFact.objects.create(
            instance=instance, observed_at=at(when), source="test", **columns
        )

    return observe
