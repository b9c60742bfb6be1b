"""Workers whose clocks are minutes off poll as well as any other (fault 5; decision 41).

PostgreSQL's clock runs on as it does; a worker's is moved against it.
"""

import datetime
from collections.abc import Iterator
from contextlib import contextmanager
from uuid import UUID

import pytest
import time_machine

from api.accounts.lifecycle import pause_application, unpause_application
from api.accounts.states import API
from api.clouds.azure.discovery import discover_account, poll_subscription
from api.models import CloudAccount, DescribeRun, Instance, InstanceEvent, Run
from deployment.local import azure_resources as resources
from tests.api.clouds.azure.conftest import SUBSCRIPTION, machine, powers
from tests.factories import make_azure_account
from util import clock, postgres

pytestmark = pytest.mark.django_db

FAST, RIGHT, SLOW = 5, 0, -5


@contextmanager
def worker(minutes: int) -> Iterator[None]:
    """Work where the clock is some minutes fast."""
    moment = datetime.datetime.now(datetime.UTC) + datetime.timedelta(minutes=minutes)
    with time_machine.travel(moment, tick=True):
        yield


def poll(azure, *names: str, by: int, power: str = "running") -> None:
    machines = [machine(name, power=power) for name in names]
    azure.delegate(SUBSCRIPTION, machines=machines)
    with worker(by):
        poll_subscription(subscription_id=SUBSCRIPTION)


@pytest.fixture
def account(azure) -> CloudAccount:
    return make_azure_account(subscription_id=UUID(SUBSCRIPTION), enabled_at=postgres.now())


@pytest.mark.parametrize("first", [FAST, RIGHT, SLOW])
@pytest.mark.parametrize("second", [FAST, RIGHT, SLOW])
def test_polls_one_after_the_other(azure, account, first, second):
    """The first one of a fast worker does not make the next ones change nothing."""
    before = postgres.now()
    poll(azure, "a", "b", by=first)
    between = postgres.now()
    poll(azure, "a", by=second)
    after = postgres.now()
    assert powers("a") == ["power_on"]
    assert powers("b") == ["power_on", "power_off"]
    on, off = InstanceEvent.objects.filter(instance__cloud_instance_id__endswith="/b").order_by(
        "id"
    )
    assert before < on.occurred_at < between < off.occurred_at < after
    for run in DescribeRun.objects.all():
        assert before < run.started_at < run.finished_at < after


@pytest.mark.parametrize("poller", [FAST, RIGHT, SLOW])
@pytest.mark.parametrize("pauser", [FAST, RIGHT, SLOW])
def test_a_pause_and_its_end(azure, account, poller, pauser):
    """Events of the polls and of the pause are in their order, whoever wrote them."""
    poll(azure, "a", by=poller)
    with worker(pauser):
        pause_application(application_id=account.platform_application_id, trigger=API)
    assert Run.objects.get().end_time is not None
    poll(azure, "a", by=poller)
    assert powers("a") == ["power_on", "power_off"]
    with worker(pauser):
        unpause_application(application_id=account.platform_application_id, trigger=API)
    poll(azure, "a", by=poller)
    assert powers("a") == ["power_on", "power_off", "power_on"]
    moments = list(InstanceEvent.objects.order_by("id").values_list("occurred_at", flat=True))
    assert moments == sorted(moments)
    poll(azure, by=poller)
    assert powers("a")[-1] == "power_off"
    assert not Run.objects.filter(end_time=None).exists()
    assert Run.objects.count() == 2


@pytest.mark.parametrize("enabler", [FAST, RIGHT, SLOW])
@pytest.mark.parametrize("poller", [FAST, RIGHT, SLOW])
def test_the_first_poll_of_an_account_that_was_just_enabled(azure, account, enabler, poller):
    CloudAccount.objects.update(
        is_enabled=False, enabled_at=None, platform_application_is_paused=True
    )
    azure.delegate(SUBSCRIPTION, machines=[machine("a")])
    with worker(enabler):
        unpause_application(application_id=account.platform_application_id, trigger=API)
    with worker(poller):
        discover_account(account_id=account.id)
    assert powers("a") == ["power_on"]


@pytest.mark.parametrize("minutes", [FAST, SLOW])
def test_replaced_machines(azure, account, minutes):
    for vm_id in ("1", "2"):
        one = resources.machine(resources.machine_id(SUBSCRIPTION, "a"), vmId=vm_id)
        azure.delegate(SUBSCRIPTION, machines=[one])
        with worker(minutes):
            poll_subscription(subscription_id=SUBSCRIPTION)
    assert powers("a") == ["power_on", "power_off", "power_on"]
    assert Instance.objects.count() == 1
    assert clock.now() >= Run.objects.get(end_time=None).start_time
