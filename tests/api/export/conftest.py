"""A customer with something of everything that is exported."""

import csv
import io
import json

import pytest

from api.models import CoverageDay, Instance, User
from tests import factories
from tests.api.public.callers import Caller, caller_for
from tests.factories import utc
from util import clock

DAY = utc("2019-04-16").date()


def fill(user: User) -> None:
    """Store a customer's accounts, instances, runs, usage and coverage."""
    account = factories.make_aws_account(user=user)
    images = [
        factories.make_rhel_image(name="=cmd()|'/c calc'!A1", usage_operation="RunInstances:0010"),
        factories.make_aws_image(name='a "quoted", name\nof two lines'),
        None,
    ]
    for number, image in enumerate(images):
        instance = factories.make_instance(account=account, image=image, region="us-east-1")
        Instance.objects.filter(id=instance.id).update(
            power_state="running", power_changed_at=utc("2019-04-15"), instance_type="t3.large"
        )
        start = utc(f"2019-04-1{number + 2}T10:00:00.5")
        factories.make_event(instance=instance, occurred_at=start, origin="describe_initial")
        factories.make_run(instance=instance, start=start)
        factories.make_run(
            instance=instance, start=utc("2019-04-01"), end=utc("2019-04-02T12:00:00")
        )
    factories.make_usage(
        user=user,
        date=DAY,
        counts=[["_ANY"] * 5 + [2], ["x86_64", "_ANY", "=Premium", "", "_ANY", 1]],
    )
    CoverageDay.objects.create(
        cloud_account=account,
        date=DAY,
        state=CoverageDay.State.PARTIAL,
        metered_seconds=86_400,
        gaps=[{"from": "2019-04-16T00:00:00Z", "to": "2019-04-16T01:00:00Z", "reason": "log"}],
        computed_at=clock.now(),
    )


@pytest.fixture
def morning(time_machine):
    """It is the morning of 2019-04-17."""
    time_machine.move_to(utc("2019-04-17T10:00:00"), tick=False)


@pytest.fixture
def customer(db, morning) -> User:
    user = factories.make_user(account_number="100001")
    fill(user)
    return user


@pytest.fixture
def other(customer) -> User:
    """Another customer, with as much."""
    user = factories.make_user(account_number="300003")
    fill(user)
    return user


@pytest.fixture
def as_customer(customer) -> Caller:
    return caller_for(customer)


def body_of(answer) -> bytes:
    assert answer.status_code == 200, answer.content
    return b"".join(answer.streaming_content)


def csv_rows(answer) -> list[dict[str, str]]:
    """Read CSV as a spreadsheet would."""
    text = body_of(answer).decode()
    return list(csv.DictReader(io.StringIO(text, newline="")))


def json_rows(answer) -> list[dict]:
    return [json.loads(line) for line in body_of(answer).splitlines()]
