"""The customers of the chapter's acceptance scenarios (spec 02 §14, "S")."""

from collections.abc import Iterator
from dataclasses import dataclass

import pytest
import redis
from django.core.cache import cache

from api.models import CloudAccount, User
from tests.api.accounts.conftest import FakeCloud, clouds  # noqa: F401
from tests.api.internal.callers import PSK
from tests.api.internal.environment import CREATED, Environment
from tests.factories import (
    make_aws_account,
    make_azure_account,
    make_usage_between,
    make_user,
    utc,
)

NOW = utc("2022-06-10T15:00:00")


@dataclass
class Story:
    """Both customers and their accounts."""

    user1: User
    user2: User
    aws: CloudAccount
    azure: CloudAccount


@pytest.fixture(autouse=True)
def keys(settings) -> None:
    """One service has a pre-shared key."""
    settings.CLOUDIGRADE_PSKS = {"svc": PSK}


@pytest.fixture(autouse=True)
def empty_cache() -> Iterator[None]:
    """Nothing is remembered from other tests."""
    cache.clear()
    yield
    cache.clear()


@pytest.fixture
def afternoon(time_machine) -> None:
    """It is the afternoon of 10 June 2022."""
    time_machine.move_to(NOW, tick=False)


@pytest.fixture
def story(db, afternoon) -> Story:
    """Base data "S"."""
    user1 = make_user(
        account_number="100001", org_id="200002", date_joined=utc("2022-06-01T05:06:07")
    )
    user2 = make_user(account_number="100002", date_joined=utc("2022-06-01"))
    aws = make_aws_account(
        user=user1,
        aws_account_id="123456789012",
        platform_source_id=11,
        platform_application_id=22,
        platform_authentication_id=33,
    )
    azure = make_azure_account(user=user2)
    make_usage_between(
        user=user1,
        first_day=utc("2022-06-01").date(),
        last_day=utc("2022-06-10").date(),
        counts=[["_ANY", "_ANY", "_ANY", "_ANY", "_ANY", 1]],
    )
    return Story(user1, user2, aws, azure)


@pytest.fixture
def environment(db, time_machine) -> Environment:
    """One row of everything, all stored at one time."""
    time_machine.move_to(CREATED, tick=False)
    return Environment()


@pytest.fixture
def real_cache(settings, redis_client: redis.Redis) -> redis.Redis:
    """The cache is in Redis, as it is outside of tests; gives a client of it."""
    settings.CACHES = {
        "default": {
            "BACKEND": "util.cache.RedisCache",
            "LOCATION": settings.REDIS_URL,
            "KEY_PREFIX": "test-cloudigrade",
            "TIMEOUT": settings.CACHE_TTL_DEFAULT,
        }
    }
    return redis_client
