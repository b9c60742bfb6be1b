"""Every process is replaced under load, and one worker is lost: all is done, once (08 §22 DR-11).

The load: messages of the sources service, logs of CloudTrail, customers who look at their pages.
What must have come of it is known from the generators of the load, not from the product.
"""

from concurrent.futures import ThreadPoolExecutor
from datetime import date, timedelta

import pytest

from tests.e2e.deployment import Deployment
from tests.e2e.load import EVENTS, PUBLIC, Logs, Messages, Requests

pytestmark = [pytest.mark.e2e, pytest.mark.slow]


@pytest.fixture
def deployment(request):
    failed_before = request.session.testsfailed
    deployment = Deployment()
    try:
        yield deployment
        if request.session.testsfailed > failed_before:
            deployment.show_logs()
    finally:
        deployment.stop()


def test_all_processes_are_replaced_under_load(deployment):
    customers = deployment.metered_customers(3)
    logs, messages = Logs(deployment, customers), Messages(deployment)
    requests = [Requests(deployment, customer) for customer in customers]
    deployment.wait_for(lambda: deployment.count("api_inboxmessage"), "the first message is stored")

    roll_out(deployment)
    deployment.lose(deployment.of("worker")[0])

    for load in (logs, messages):
        load.finish()
    deployment.settle(messages=messages.sent)
    for load in requests:
        load.finish()

    verify_messages(deployment, messages)
    histories = logs.histories
    for customer, reader in zip(customers, requests, strict=True):
        histories.verify(customer)
        verify_usage(deployment, histories, customer, reader)
    assert any(sum(histories.expected_usage(one).values()) for one in customers)
    answers = deployment.balancer.answers
    assert answers[200] > 50
    assert set(answers) <= {200, 425}, answers
    print(f"{messages.sent} messages, {histories.expected_events} events, {answers}")


def roll_out(deployment):
    """Replace all kinds of pods at once; of one kind, one after the other."""
    replace = {
        "api": deployment.roll,
        "worker": deployment.roll,
        "listener": deployment.recreate,
        "beat": deployment.recreate,
    }

    def replace_all(part):
        for pod in deployment.of(part):
            replace[part](pod)

    with ThreadPoolExecutor() as pool:
        for done in [pool.submit(replace_all, part) for part in replace]:
            done.result()


def verify_messages(deployment, load):
    """Each message was stored and carried out once."""
    assert deployment.count("api_inboxmessage") == load.sent
    for creator in load.creators:
        account = deployment.account(creator)
        assert account == {"enabled": True, "paused": False, "arn": creator.arn()}
        events = deployment.query(
            EVENTS.replace("event.source_name <> ''", "true"), creator.aws_account_id
        )
        assert [event[1] for event in events] == ["power_on"], "the first look finds the instance"
    for pauser in load.pausers:
        account = deployment.account(pauser)
        assert (account["enabled"], account["paused"]) == (False, True)
        assert deployment.power_offs(pauser) == 1
    told = [deployment.statuses.of(customer) for customer in (*load.creators, *load.pausers)]
    assert all(set(statuses) == {"available"} for statuses in told), told
    told_twice = sum(map(len, told)) - len(told)
    assert told_twice <= 1, "the worker that was lost may have sent one and not said so"


def verify_usage(deployment, histories, customer, reader):
    """The customer is shown the daily maximum of their RHEL instances.

    A describe that comes late withdraws days once more, for as long as it takes to calculate them.
    """
    expected = histories.expected_usage(customer)
    first, last = min(expected), max(expected)
    end = date.fromisoformat(last) + timedelta(days=1)
    page = f"{PUBLIC}/concurrent/?start_date={first}&end_date={end}"
    deployment.wait_for(lambda: reader.get(page).status_code == 200, "the days are calculated")
    answer = reader.get(page)
    shown = {
        one["date"]: max((count["instances_count"] for count in one["maximum_counts"]), default=0)
        for one in answer.json()["data"]
    }
    assert shown == expected
