"""Every process is replaced under load, and one worker is lost: all is done, once (08 §22 DR-11).

The load: messages of the sources service, logs of CloudTrail, customers who look at their pages.
What must have come of it is known from the generators of the load, not from the product.
"""

from datetime import timedelta

import pytest

from deployment.local.demo.oracle import TOTAL, Span, expected_usage
from tests.e2e.deployment import Deployment
from tests.e2e.load import PUBLIC, Logs, Messages, Requests

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

EVENTS = """
SELECT instance.cloud_instance_id, event.event_type, event.occurred_at
FROM api_instanceevent event
JOIN api_instance instance ON instance.id = event.instance_id
JOIN api_cloudaccount account ON account.id = event.cloud_account_id
WHERE account.aws_account_id = %s
"""
RUNS = """
SELECT instance.cloud_instance_id, run.start_time, run.end_time, run.instance_type
FROM api_run run
JOIN api_instance instance ON instance.id = run.instance_id
JOIN api_cloudaccount account ON account.id = run.cloud_account_id
WHERE account.aws_account_id = %s
ORDER BY 1, 2
"""
METERED_FOR_LONG = """
UPDATE api_cloudaccount
SET created_at = now() - interval '9 days', enabled_at = now() - interval '9 days'
WHERE platform_application_id = ANY(%s)
"""
FORGET_INSTANCES = """
DELETE FROM api_instance WHERE cloud_account_id IN (
    SELECT id FROM api_cloudaccount WHERE platform_application_id = ANY(%s))
"""


@pytest.fixture
def world(request):
    failed_before = request.session.testsfailed
    world = Deployment()
    try:
        yield world
        if request.session.testsfailed > failed_before:
            world.show_logs()
    finally:
        world.stop()


def metered_customers(world, number):
    """Make customers who have been metered for days and have no instance yet."""
    customers = [world.customer_with_account() for _ in range(number)]
    ids = [customer.application_id for customer in customers]
    with world.database() as cursor:
        cursor.execute("DELETE FROM api_instanceevent")
        cursor.execute(FORGET_INSTANCES, [ids])
        cursor.execute(METERED_FOR_LONG, [ids])
    return customers


def test_all_processes_are_replaced_under_load(world):
    customers = metered_customers(world, 3)
    logs, messages = Logs(world, customers), Messages(world)
    requests = [Requests(world, customer) for customer in customers]

    for pod in (*world.of("api"), *world.of("worker")):
        world.roll(pod)
    for pod in (*world.of("listener"), *world.of("beat")):
        world.recreate(pod)
    world.lose(world.of("worker")[0])

    for load in (logs, messages):
        load.finish()
    world.settle()
    for load in requests:
        load.finish()

    verify_messages(world, messages)
    for customer, reader in zip(customers, requests, strict=True):
        verify_logs(world, logs, customer)
        verify_usage(logs, customer, reader)
    answers = world.balancer.answers
    assert answers[200] > 50
    assert set(answers) <= {200, 425}, answers
    events = sum(len(fleet.expected.events) for _, fleet in logs.fleets)
    print(f"{messages.sent} messages, {events} events of {len(logs.fleets)} fleets, {answers}")


def verify_messages(world, load):
    """Each message was stored and carried out once."""
    assert world.count("api_inboxmessage") == load.sent
    for creator in load.creators:
        account = world.account(creator)
        assert account == {"enabled": True, "paused": False, "arn": creator.arn()}
        events = world.query(
            EVENTS.replace("event.source_name <> ''", "true"), creator.aws_account_id
        )
        assert [event[1] for event in events] == ["power_on"], "the first look finds the instance"
    for pauser in load.pausers:
        account = world.account(pauser)
        assert (account["enabled"], account["paused"]) == (False, True)
        assert world.power_offs(pauser) == 1
    told = [world.statuses.of(customer) for customer in (*load.creators, *load.pausers)]
    assert all(set(statuses) == {"available"} for statuses in told), told
    told_twice = sum(map(len, told)) - len(told)
    assert told_twice <= 1, "the worker that was lost may have sent one and not said so"


def verify_logs(world, load, customer):
    """Each event was stored once, and the runs are those of the instances."""
    fleets = load.fleets_of(customer)
    events = world.query(EVENTS, customer.aws_account_id)
    assert len(events) == len(set(events))
    assert set(events) == set().union(*(fleet.expected.events for fleet in fleets))
    spans = sorted(span for fleet in fleets for span in fleet.spans)
    assert world.query(RUNS, customer.aws_account_id) == spans


def verify_usage(load, customer, reader):
    """The customer is shown the daily maximum of his RHEL instances."""
    spans = [
        Span(start, end, arch="")
        for fleet in load.fleets_of(customer)
        for machine, start, end, _ in fleet.spans
        if fleet.expected.images[machine] in fleet.expected.rhel
    ]
    days = [load.day, load.day + timedelta(days=1)]
    path = f"{PUBLIC}/concurrent/?start_date={days[0]}&end_date={days[1] + timedelta(days=1)}"
    answer = reader.get(path)
    assert answer.status_code == 200, answer.text
    shown = {
        one["date"]: max((count["instances_count"] for count in one["maximum_counts"]), default=0)
        for one in answer.json()["data"]
    }
    assert shown == {str(day): expected_usage(spans, day).get(TOTAL, 0) for day in days}
