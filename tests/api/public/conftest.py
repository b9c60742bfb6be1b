"""The customers of the specification (01 §16), and who speaks for them."""

from collections.abc import Iterator

import pytest
from django.core.signals import request_finished, request_started
from django.db import close_old_connections

from api.clouds.aws import session
from api.models import User
from tests import factories
from tests.api.public.belongings import Belongings, calculate_usage
from tests.api.public.callers import Caller, caller

NOW = factories.utc("2019-04-17T10:00:00")
OWN_AWS_ACCOUNT = "123456789012"


@pytest.fixture
def customer_a(db) -> User:
    """A customer with account number and org id."""
    return factories.make_user(account_number="100001", org_id="200002")


@pytest.fixture
def customer_b(db) -> User:
    """A customer with an account number only."""
    return factories.make_user(account_number="300003")


@pytest.fixture
def customer_c(db) -> User:
    """A customer with an org id only."""
    return factories.make_user(org_id="400004")


@pytest.fixture
def as_a(customer_a) -> Caller:
    """Whoever speaks for customer A, by account number."""
    return caller(account_number="100001")


@pytest.fixture
def as_b(customer_b) -> Caller:
    """Whoever speaks for customer B."""
    return caller(account_number="300003")


@pytest.fixture
def as_c(customer_c) -> Caller:
    """Whoever speaks for customer C."""
    return caller(org_id="400004")


@pytest.fixture
def spring_2019(time_machine) -> None:
    """It is the morning of 2019-04-17."""
    time_machine.move_to(NOW, tick=False)


@pytest.fixture
def usage_of_a(spring_2019, customer_a) -> None:
    """Customer A has a stored result for each day of 2019 until yesterday, but 10 February."""
    for first, last in (("2019-01-01", "2019-02-09"), ("2019-02-11", "2019-04-16")):
        factories.make_usage_between(
            user=customer_a,
            first_day=factories.utc(first).date(),
            last_day=factories.utc(last).date(),
            counts=[["_ANY", "_ANY", "_ANY", "_ANY", "_ANY", 3]],
        )


@pytest.fixture
def own(customer_b, spring_2019) -> Belongings:
    """What customer B has."""
    return Belongings(customer_b, factories.utc("2019-04-16").date())


@pytest.fixture
def foreign(customer_a, own) -> Belongings:
    """What customer A has, for whom other days are told; the use of both is calculated."""
    belongings = Belongings(customer_a, factories.utc("2019-04-15").date())
    calculate_usage()
    return belongings


@pytest.fixture
def one_connection() -> Iterator[None]:
    """The WSGI application leaves the connection of the test, with its transaction, alone."""
    signals = (request_started, request_finished)
    for signal in signals:
        signal.disconnect(close_old_connections)
    yield
    for signal in signals:
        signal.connect(close_old_connections)


@pytest.fixture
def own_aws_account(monkeypatch) -> Iterator[str]:
    """AWS knows who we are."""
    session.own_account_id.cache_clear()
    monkeypatch.setattr(session, "primary_account_id", lambda: OWN_AWS_ACCOUNT)
    yield OWN_AWS_ACCOUNT
    session.own_account_id.cache_clear()
