"""Giving a delegation back (spec 06 §2.5, scenario 32; 03 §16.34)."""

from uuid import UUID

import pytest

from api.accounts.deletion import delete_account
from api.accounts.states import API
from api.clouds.azure.assignments import assignments_in, remove_assignment
from api.clouds.azure.errors import AzureBusyError
from api.models import CloudAccount
from api.tasks import azure as tasks
from deployment.local.azure import TENANT_ID
from deployment.local.azure_resources import assignment
from tests.api.clouds.azure.conftest import SUBSCRIPTION, calls
from tests.factories import make_azure_account

pytestmark = pytest.mark.django_db

OTHER = "11111111-1111-4111-8111-111111111111"
N1 = assignment(SUBSCRIPTION, "n1")
TASK = "api.clouds.azure.tasks.remove_lighthouse_assignment"


def remove() -> None:
    tasks.remove_lighthouse_assignment(SUBSCRIPTION)


def test_scenario_32_one_assignment(azure, account, queued):
    """03 §16.34, too: of exactly one."""
    azure.delegate(SUBSCRIPTION, assignments=[N1])
    delete_account(account_id=account.id, trigger=API)
    (task,) = queued.named(TASK)
    assert task.args == (SUBSCRIPTION,)
    assert calls(azure) == []
    tasks.remove_lighthouse_assignment(*task.args)
    assert calls(azure)[:3] == ["login", "L1", "L2"]
    (deletion,) = [one for one in azure.requests() if one["method"] == "DELETE"]
    assert deletion["path"].endswith("/registrationAssignments/n1")
    assert deletion["query"] == {"api-version": "2020-02-01-preview"}


@pytest.mark.parametrize(
    "found",
    [
        [],
        [N1, assignment(SUBSCRIPTION, "n2")],
        [assignment(OTHER, "n1")],
        [assignment(SUBSCRIPTION, "n1", state="Failed")],
        [assignment(SUBSCRIPTION, "n1", managed_by=OTHER)],
    ],
    ids=["none", "two", "another subscription's", "not succeeded", "another tenant's"],
)
def test_scenario_32_nothing_is_deleted(azure, found):
    """03 §16.34, too: of two, none."""
    azure.delegate(SUBSCRIPTION, assignments=found)
    remove()
    assert calls(azure) == ["login", "L1"]


def test_our_tenant_is_seen_in_the_definition(azure):
    azure.delegate(
        SUBSCRIPTION, assignments=[assignment(SUBSCRIPTION, "n1", managed_by=TENANT_ID.upper())]
    )
    remove()
    assert "L2" in calls(azure)


@pytest.mark.parametrize(
    ("status", "asked"), [(401, ["login", "L1", "login", "L1"]), (403, ["login", "L1"])]
)
def test_scenario_32_a_refusal_is_logged(azure, account, queued, status, asked):
    azure.delegate(SUBSCRIPTION, assignments=[N1])
    azure.fail("registrationAssignments", status=status)
    delete_account(account_id=account.id, trigger=API)
    remove()
    assert not CloudAccount.objects.exists()
    assert calls(azure) == asked


def test_a_refused_deletion_is_logged(azure):
    azure.delegate(SUBSCRIPTION, assignments=[N1])
    azure.fail("^DELETE", status=403)
    remove()
    assert calls(azure) == ["login", "L1", "L2"]


def test_a_passing_failure_is_raised_for_the_task_to_repeat(azure):
    azure.delegate(SUBSCRIPTION, assignments=[N1])
    azure.fail("registrationAssignments", status=503)
    with pytest.raises(AzureBusyError):
        remove_assignment(subscription_id=UUID(SUBSCRIPTION))


def test_a_subscription_that_has_come_back_keeps_its_delegation(azure):
    make_azure_account(subscription_id=SUBSCRIPTION)
    azure.delegate(SUBSCRIPTION, assignments=[N1])
    remove()
    assert calls(azure) == []


def test_a_synthetic_account_has_nothing_to_give_back(azure, queued):
    account = make_azure_account(is_synthetic=True)
    delete_account(account_id=account.id, trigger=API)
    assert queued.named(TASK) == []


@pytest.mark.parametrize(
    "entry",
    [
        None,
        {},
        {"id": 7, "name": "n", "properties": {"provisioningState": "Succeeded"}},
        N1 | {"properties": None},
        N1 | {"name": None},
        N1 | {"id": f"/subscriptions/{SUBSCRIPTION}x/n1"},
    ],
)
def test_a_malformed_entry_is_not_ours(entry):
    assert assignments_in(UUID(SUBSCRIPTION), [entry]) == []
