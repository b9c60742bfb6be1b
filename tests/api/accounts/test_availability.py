"""The sources service asks whether its applications can still be used (spec 03 §6.5)."""

import pytest
from django.core.cache import cache

from api.clouds.provider import VerificationFailedError, VerificationProblem
from api.sources.codes import ErrorCode
from api.tasks import accounts as tasks
from tests.api.accounts.statuses import available, statuses, unavailable
from tests.factories import make_aws_account

pytestmark = pytest.mark.django_db

URL = "/internal/api/cloudigrade/v1/availability_status"


def test_scenario_26_two_accounts_of_a_source(client, queued, aws):
    cache.clear()
    accounts = [make_aws_account(platform_source_id=9) for _ in range(2)]
    make_aws_account(platform_source_id=10)
    reply = client.post(URL, {"source_id": "9"}, content_type="application/json")
    assert reply.status_code == 204
    checks = queued.named("api.tasks.enable_account")
    assert [check.args for check in checks] == [(account.id,) for account in accounts]
    aws.problem = VerificationFailedError(VerificationProblem.ACCESS)
    tasks.enable_account(*checks[0].args)
    aws.problem = None
    tasks.enable_account(*checks[1].args)
    first, second = accounts
    assert statuses(queued) == [
        unavailable(first.user, first.platform_application_id, ErrorCode.CG3002),
        available(second.user, second.platform_application_id),
    ]


def test_scenario_26_without_source(client, queued):
    reply = client.post(URL, {}, content_type="application/json")
    assert reply.status_code == 400
    assert reply.json() == ["source_id field is required"]
