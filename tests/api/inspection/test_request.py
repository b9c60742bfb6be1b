"""Starting inspections in bulk, and the one place that says what may follow what (05 §2, §3)."""

import pytest

from api.images.users import InspectionRequest
from api.inspection.request import start_inspections
from api.inspection.states import ANY, UNFINISHED, InspectionEvent, after
from api.models import MachineImage
from tests.api.inspection.testbed import COPY, START, Testbed, attempts, fresh
from util.tasks import enqueue

Status = MachineImage.Status


@pytest.mark.parametrize("status", Status.values)
@pytest.mark.parametrize(
    ("event", "target"),
    [
        (InspectionEvent.STARTED, "preparing"),
        (InspectionEvent.POSTPONED, "pending"),
        (InspectionEvent.SKIPPED, "inspected"),
        (InspectionEvent.EXHAUSTED, "error"),
        (InspectionEvent.RESULT, "inspected"),
        (InspectionEvent.ASKED_AGAIN, "pending"),
    ],
)
def test_what_may_happen_at_any_time(status, event, target):
    assert after(status, event) == target


@pytest.mark.parametrize("status", Status.values)
@pytest.mark.parametrize(
    ("event", "sources", "target"),
    [
        (InspectionEvent.LAUNCHED, {"pending", "preparing"}, "inspecting"),
        (InspectionEvent.COMPLETED, UNFINISHED, "inspected"),
        (InspectionEvent.GIVEN_UP, UNFINISHED, "error"),
    ],
)
def test_what_may_happen_while_it_is_waited_for(status, event, sources, target):
    assert after(status, event) == (target if status in sources else None)


def test_nothing_leads_to_what_only_a_description_tells():
    assert not [
        event
        for event in InspectionEvent
        for status in ANY
        if after(status, event) == "unavailable"
    ]


@pytest.mark.django_db
def test_an_azure_image_is_never_started(queued):
    enqueue(START, [["arn:aws:iam::1:role/r", "sku-1", "us-east-1"]])
    start_inspections([InspectionRequest("arn:aws:iam::1:role/r", "sku-1", "us-east-1")])
    assert COPY not in queued.names


def test_a_start_that_is_delivered_again_makes_no_second_attempt(testbed: Testbed):
    image = testbed.image("ami-1")
    for _ in range(2):
        testbed.start(image)
    assert len(attempts(image)) == 1
    assert testbed.queued.names == [COPY, COPY]


def test_a_restart_ends_the_attempt_in_progress(testbed: Testbed, time_machine):
    time_machine.move_to("2024-05-06T12:00:00Z")
    image = testbed.image("ami-1")
    testbed.start(image)
    time_machine.move_to("2024-05-07T12:00:00Z")
    testbed.run("api.tasks.inspect_pending_images")
    first, second = attempts(image)
    assert (first.outcome, second.outcome) == ("replaced", "")
    assert fresh(image).status == "preparing"


def test_an_image_that_stays_stuck_ends_in_error(testbed: Testbed, time_machine):
    image = testbed.image("ami-1")
    for day in range(1, 9):
        time_machine.move_to(f"2034-05-0{day}T12:00:00Z")
        testbed.run("api.tasks.inspect_pending_images")
    assert fresh(image).status == "error"
    assert len(attempts(image)) == 6
