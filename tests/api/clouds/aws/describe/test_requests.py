"""Descriptions that logs ask for (decision 46)."""

import pytest

from api.clouds.aws.describe.requests import DESCRIBE, request_describes
from api.clouds.aws.provider import AwsProvider
from api.clouds.provider import AccountRef
from tests.factories import make_aws_account

pytestmark = pytest.mark.django_db


def test_each_account_is_described_once_while_it_waits(queued):
    assert request_describes([1, 2, 2]) == 2
    assert request_describes([2, 3]) == 1
    assert [task.args for task in queued.named(DESCRIBE)] == [(1,), (2,), (3,)]


def test_the_first_look_that_waits_is_enough(queued):
    account = make_aws_account()
    AwsProvider().discover(AccountRef.of(account))
    assert request_describes([account.id]) == 0
    assert [task.args for task in queued.named(DESCRIBE)] == [(account.id,)]
