"""The customer of the tests of metering, asked about over HTTP."""

import pytest
import time_machine

from tests.api.metering.conftest import Environment
from tests.api.metering.notation import at
from tests.api.public.callers import caller_for


class Asker:
    """Asks the public API on 12 March 2023, in the name of a customer."""

    def __init__(self, customer: Environment, now: str = "12T02") -> None:
        self.caller = caller_for(customer.user)
        self.now = now

    def get(self, path, status=200):
        with time_machine.travel(at(self.now), tick=False):
            answer = self.caller.get(path)
        assert answer.status_code == status, answer.content
        return answer.json()


@pytest.fixture
def environment(db, queued):
    """A customer without instances."""
    return Environment()


@pytest.fixture
def ask(environment):
    """Whoever speaks for the customer."""
    return Asker(environment)
