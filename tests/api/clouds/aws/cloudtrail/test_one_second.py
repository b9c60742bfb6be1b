"""Events of one second in CloudTrail's logs (decisions 37, 49, 52; fault 11)."""

import random
import uuid
from datetime import timedelta

import pytest

from api.models import IngestObject, InstanceEvent
from tests.api.clouds.aws.testbed import at, events, ingest, make_account, runs
from tests.api.metering import reference
from tests.generators import cloudtrail as trail
from tests.generators.cloudtrail import launched
from tests.generators.fleet import LogFile

pytestmark = [pytest.mark.django_db, pytest.mark.random_history]

ID = "i-1"
AMI = "ami-1"
SECOND = timedelta(seconds=1)


@pytest.fixture
def deliver(logs):
    """Deliver files, each a list of records, in batches of some size; keys tell their number."""
    make_account(trail.ACCOUNT)

    def run(*files, at_once=10, keys=None):
        delivered = [
            LogFile(key or trail.log_key(at=at(13), name=f"N{uuid.uuid4().hex}"), records)
            for key, records in zip(keys or [None] * len(files), files, strict=True)
        ]
        messages = logs.notified(delivered)
        for first in range(0, len(messages), at_once):
            some = messages[first : first + at_once]
            assert ingest(some) == some

    return run


def unique(record):
    """Return a record an id of its own, as CloudTrail does."""
    return record | {"eventID": str(uuid.uuid4())}


def launch(when, size="m5.large"):
    return unique(trail.run_instances(launched(ID, image=AMI, type=size), type=size, at=when))


def stop(when):
    return unique(trail.stop_instances(ID, at=when))


def start(when):
    return unique(trail.start_instances(ID, at=when))


def terminate(when):
    return unique(trail.terminate_instances(ID, at=when))


def resize(when, size):
    return unique(trail.modify_instance(ID, size, at=when))


def test_stop_start_stop_are_three_events_and_the_run_ends(deliver):
    deliver([launch(at(1))], [stop(at(2)), start(at(2)), stop(at(2))])
    assert [event[1] for event in events()] == ["power_on", "power_off", "power_on", "power_off"]
    assert runs() == [(ID, at(1), at(2), "m5.large"), (ID, at(2), at(2), "m5.large")]


def test_several_cycles_of_one_second_are_one_run(deliver):
    cycle = [record(at(2)) for _ in range(3) for record in (stop, start)]
    deliver([launch(at(1)), *cycle])
    assert InstanceEvent.objects.count() == 7
    assert runs() == [(ID, at(1), at(2), "m5.large"), (ID, at(2), None, "m5.large")]
    deliver([stop(at(3))])
    assert runs()[1:] == [(ID, at(2), at(3), "m5.large")]


def test_the_same_log_delivered_twice_stores_nothing_more(deliver):
    records = [launch(at(1)), stop(at(2)), start(at(2)), stop(at(2)), resize(at(3), "c5.large")]
    deliver(records, records)
    before = list(InstanceEvent.objects.order_by("id").values()), runs()
    deliver(records)
    deliver(*([record] for record in reversed(records)), at_once=1)
    assert (list(InstanceEvent.objects.order_by("id").values()), runs()) == before
    assert InstanceEvent.objects.count() == 5
    assert sum(IngestObject.objects.values_list("stored", flat=True)) == 5


def test_what_an_earlier_version_left_out_is_made_up_for(deliver):
    """Its narrower key dropped the second stop; a replay of the log stores just that one."""
    records = [launch(at(1)), stop(at(2)), start(at(2)), stop(at(2))]
    deliver(records[:3])
    assert runs()[-1] == (ID, at(2), None, "m5.large")
    deliver(records)
    assert InstanceEvent.objects.count() == 4
    assert runs()[-1] == (ID, at(2), at(2), "m5.large")


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("files", [1, 2])
def test_launch_and_end_of_one_second_leave_a_run_of_no_length(deliver, reverse, files):
    records = [launch(at(1)), terminate(at(1))]
    if reverse:
        records.reverse()
    if files == 1:
        deliver(records)
    else:
        deliver(*([record] for record in records), at_once=1)
    assert runs() == [(ID, at(1), at(1), "m5.large")]


def test_nothing_switches_an_instance_on_in_the_second_of_its_termination(deliver):
    deliver([launch(at(1))], [terminate(at(2))], [start(at(2))], at_once=1)
    assert runs() == [(ID, at(1), at(2), "m5.large")]


def test_of_two_type_changes_of_one_second_the_later_record_wins(deliver):
    deliver(
        [launch(at(1)), stop(at(2)), resize(at(3), "c5.large"), resize(at(3), "r5.large")],
        [start(at(4))],
    )
    assert runs()[-1] == (ID, at(4), None, "r5.large")


def test_files_of_one_batch_count_in_the_order_of_their_delivery(deliver):
    """SQS hands out messages in any order."""
    keys = [trail.log_key(at=at(13, minute), name="N") for minute in (1, 6, 2)]
    deliver([launch(at(1))], [start(at(2))], [stop(at(2))], keys=keys)
    assert runs() == [(ID, at(1), at(2), "m5.large"), (ID, at(2), None, "m5.large")]


@pytest.mark.parametrize("seed", range(12))
def test_any_records_in_any_files_end_in_the_runs_of_the_reference(deliver, seed):
    """Split, shuffled, repeated: runs follow from the events in the order of storing them."""
    randomly = random.Random(seed)
    kinds = [launch, stop, start, stop, start, terminate, lambda when: resize(when, "c5.large")]
    records = [
        randomly.choice(kinds)(at(1) + randomly.randrange(4) * SECOND)
        for _ in range(randomly.randrange(2, 16))
    ]
    files = []
    for record in records:
        if not files or randomly.random() < 0.4:
            files.append([])
        files[-1].append(record)
    files += randomly.sample(files, len(files) // 2)
    randomly.shuffle(files)
    deliver(*files, at_once=randomly.randrange(1, 4))
    columns = ("occurred_at", "event_type", "source_name", "instance_type", "source_id")
    stored = list(InstanceEvent.objects.order_by("id").values_list(*columns))
    assert sorted(row[-1] for row in stored) == sorted(record["eventID"] for record in records)
    spans = reference.expected_runs(stored)
    assert runs() == [
        (ID, begin, end, reference.expected_type(stored, begin)) for begin, end in spans
    ]
