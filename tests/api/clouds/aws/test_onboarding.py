"""AWS accounts from creation to disabling, with AWS behind them (spec 04 §4, §14)."""

import pytest

from api.accounts import lifecycle
from api.accounts.relocation import change_token
from api.accounts.states import API, KAFKA
from api.models import CloudAccount, Instance, InstanceEvent
from api.sources.codes import ErrorCode
from api.sources.messages import Tenant
from api.tasks.accounts import configure_customer_aws_and_create_cloud_account
from api.tasks.aws import delete_cloudtrail
from tests.api.clouds.aws.testbed import ACCOUNT, trails
from tests.factories import make_aws_account, make_event, make_instance, make_user

pytestmark = pytest.mark.django_db

OTHER = "222222222222"
DELETE_TRAIL = "api.clouds.aws.tasks.delete_cloudtrail"
DESCRIBE = "api.clouds.aws.tasks.initial_aws_describe_instances"
NOTIFY = "api.tasks.notify_application_availability_task"


@pytest.fixture
def user():
    return make_user(account_number="1701", org_id="3340851")


def role(number=ACCOUNT, name="r"):
    return f"arn:aws:iam::{number}:role/{name}"


def create(arn=None, application_id=11):
    configure_customer_aws_and_create_cloud_account(
        "1701", "3340851", arn or role(), application_id * 2, application_id, 9
    )


def told(queued):
    """Statuses that sources was told: application, status, error code."""
    found = []
    for task in queued.named(NOTIFY):
        text = task.args[4] if len(task.args) > 4 else task.kwargs["availability_status_error"]
        code = next((code.name for code in ErrorCode if code.name in text), "")
        found.append((task.args[2], task.args[3], code))
    return found


def calls(aws, number=ACCOUNT):
    return [call["action"] for call in aws.calls() if call["account"] == number]


def test_scenario_20_a_new_account(bucket, user, queued):
    create()
    account = CloudAccount.objects.get()
    assert (account.aws_account_id, account.is_enabled) == (ACCOUNT, True)
    assert told(queued) == [(11, "available", "")]
    assert [task.args for task in queued.named(DESCRIBE)] == [(account.id,)]
    assert calls(bucket)[-4:] == [
        "DescribeTrails",
        "CreateTrail",
        "PutEventSelectors",
        "StartLogging",
    ]
    assert trails(bucket) == [f"test-{ACCOUNT}"]


def test_scenario_22_a_refused_action(bucket, user, queued):
    bucket.refuse("ec2", "CopyImage", "UnauthorizedOperation")
    create()
    assert not CloudAccount.objects.exists()
    assert told(queued) == [(11, "unavailable", "CG3003")]
    assert trails(bucket) == []


@pytest.mark.parametrize(
    ("service", "action", "answer", "code"),
    [
        ("sts", "AssumeRole", "AccessDenied", "CG3002"),
        ("cloudtrail", "CreateTrail", "MaximumNumberOfTrailsExceededException", "CG3001"),
        ("cloudtrail", "PutEventSelectors", "Weird", "CG3002"),
    ],
)
def test_scenario_23_refusals(bucket, user, queued, service, action, answer, code):
    bucket.refuse(service, action, answer)
    create()
    assert not CloudAccount.objects.exists()
    assert told(queued) == [(11, "unavailable", code)]


@pytest.mark.parametrize(
    ("arn", "code"),
    [
        (role(), "CG1001"),
        (role(name="another"), "CG1002"),
        ("arn:aws:iam:::role/r", "CG1004"),
    ],
)
def test_scenario_24_arns_that_are_taken_or_none(bucket, user, queued, arn, code):
    make_aws_account(aws_account_id=ACCOUNT, account_arn=role())
    create(arn, application_id=12)
    assert CloudAccount.objects.count() == 1
    assert told(queued) == [(12, "unavailable", code)]
    assert bucket.calls() == []


def test_scenario_25_a_check_of_an_account_whose_role_was_deleted(bucket, user, queued):
    create()
    queued.clear()
    bucket.refuse("sts", "AssumeRole", "AccessDenied")
    account = CloudAccount.objects.get()
    lifecycle.enable_account(account_id=account.id, trigger=API)
    account.refresh_from_db()
    assert account.is_enabled
    assert told(queued) == [(11, "unavailable", "CG3002")]
    assert DESCRIBE not in queued.names


def test_scenario_26_disabling(bucket, user, queued):
    create()
    account = CloudAccount.objects.get()
    make_event(instance=make_instance(account=account))
    queued.clear()
    lifecycle.disable_account(account_id=account.id, trigger=API)
    events = InstanceEvent.objects.order_by("id").values_list("event_type", "instance_type")
    assert list(events) == [
        ("power_on", "t3.large"),
        ("power_off", None),
    ]
    (task,) = queued.named(DELETE_TRAIL)
    delete_cloudtrail(*task.args)
    assert trails(bucket) == []
    delete_cloudtrail(*task.args)
    assert told(queued) == [(11, "unavailable", "")]


def test_the_trail_stays_if_the_account_is_enabled_again_meanwhile(bucket, user, queued):
    create()
    account = CloudAccount.objects.get()
    lifecycle.disable_account(account_id=account.id, trigger=API)
    (task,) = queued.named(DELETE_TRAIL)
    lifecycle.enable_account(account_id=account.id, trigger=API)
    delete_cloudtrail(*task.args)
    assert trails(bucket) == [f"test-{ACCOUNT}"]


def test_scenario_27_another_aws_account(bucket, user, queued):
    create()
    account = CloudAccount.objects.get()
    make_event(instance=make_instance(account=account))
    queued.clear()
    change_token(
        account_id=account.id,
        token=role(OTHER),
        tenant=Tenant("1701", "3340851"),
        trigger=KAFKA,
    )
    (task,) = queued.named(DELETE_TRAIL)
    assert task.args == (role(), ACCOUNT)
    delete_cloudtrail(*task.args)
    account.refresh_from_db()
    assert (account.aws_account_id, account.account_arn) == (OTHER, role(OTHER))
    assert account.is_enabled
    assert not Instance.objects.exists()
    assert trails(bucket, ACCOUNT) == []
    assert trails(bucket, OTHER) == [f"test-{OTHER}"]
    assert told(queued)[-1] == (11, "available", "")


def test_a_synthetic_account_asks_nothing_of_aws(aws, queued):
    account = make_aws_account(is_synthetic=True, is_enabled=False)
    assert lifecycle.enable_account(account_id=account.id, trigger=API)
    assert aws.calls() == []
    assert DESCRIBE not in queued.names
