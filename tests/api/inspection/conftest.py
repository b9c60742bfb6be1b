"""A customer with an image in the fake AWS, and ourselves ready to inspect it."""

import pytest

from api.clouds.aws.provisioning import queues
from tests.api.clouds.aws.conftest import aws, events, pipes_ready, requests  # noqa: F401
from tests.api.inspection.testbed import Testbed


@pytest.fixture(autouse=True)
def _times_go_together(one_clock):
    """Inspections go by PostgreSQL's clock (decision 41), and these tests travel in time."""


@pytest.fixture
def testbed(db, pipes_ready, queued, monkeypatch):  # noqa: F811
    """An enabled AWS account, our buckets and queues, and the inspectors' launch template."""
    monkeypatch.setattr(queues, "LONG_POLL", 0)
    return Testbed(pipes_ready, queued)


@pytest.fixture
def image(testbed):
    """An image whose inspection has been started."""
    image = testbed.image()
    testbed.start(image)
    testbed.queued.clear()
    return image
