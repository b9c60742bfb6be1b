"""An instance may have more events, and more runs, than a process can hold (decision 43)."""

import random
from datetime import timedelta

import pytest
from django.db import connection, transaction

from api.metering import runs
from api.metering.runs import recalculate_runs
from api.models import Instance, InstanceEvent, Run, StaleUsage
from tests import factories
from tests.api.metering.conftest import rhel_result
from tests.api.metering.notation import at, day
from tests.memory import growth

EVENTS = 200_000
BOUND = 70
"""MiB that a process may grow by, however many events there are."""

KINDS = ["power_on", "power_off", "attribute_change"]
NAMES = ["RunInstances", "StartInstances", "StopInstances", "TerminateInstances", ""]
MARCH = [day(number) for number in range(1, 32)]
COLUMNS = ("id", "start_time", "end_time", "machine_image_id", "instance_type", "vcpu", "resizes")


def store_random_events(randomly, instances, number):
    """Store events of which several happen at one moment; those of one identity are one."""
    InstanceEvent.objects.bulk_create(
        InstanceEvent(
            instance=instance,
            cloud_account_id=instance.cloud_account_id,
            event_type=randomly.choice(KINDS),
            occurred_at=at("01T00") + timedelta(hours=6 * randomly.randrange(number)),
            instance_type=randomly.choice([None, None, "m5.large", "m5.xlarge"]),
            origin="cloudtrail",
            source_id=f"{randomly.random()}",
            source_name=randomly.choice(NAMES),
        )
        for instance in instances
        for _ in range(randomly.randrange(number + 1))
    )


def outcome(environment, instances):
    """Calculate, return all that this stores, and take it back."""
    with transaction.atomic():
        StaleUsage.objects.all().delete()
        changes = recalculate_runs(
            user_id=environment.user.id, instance_ids=[one.id for one in instances]
        )
        kept = set(environment.kept)
        stored = [
            # Those that are new have other ids each time.
            (
                run.instance_id,
                run.id in kept and run.id,
                *(getattr(run, one) for one in COLUMNS[1:]),
            )
            for run in Run.objects.order_by("instance_id", "start_time")
        ]
        states = list(
            Instance.objects.order_by("id").values_list(
                "id", "power_state", "power_changed_at", "instance_type"
            )
        )
        days = {
            (mark.cause, one)
            for mark in StaleUsage.objects.all()
            for one in MARCH
            if mark.first_day <= one and (mark.last_day is None or one <= mark.last_day)
        }
        transaction.set_rollback(True)
    return changes, stored, states, days


@pytest.mark.parametrize("seed", range(12))
def test_whatever_is_in_memory_at_once_runs_are_the_same(environment, monkeypatch, seed):
    """Late events change, add and remove runs of several instances, some of which have none."""
    randomly = random.Random(seed)
    image = environment.image(result=rhel_result())
    instances = [environment.instance(image=image) for _ in range(4)]
    store_random_events(randomly, instances, 12)
    recalculate_runs(user_id=environment.user.id, instance_ids=[one.id for one in instances])
    environment.kept = list(Run.objects.values_list("id", flat=True))
    InstanceEvent.objects.filter(
        id__in=randomly.sample(list(InstanceEvent.objects.values_list("id", flat=True)), 3)
    ).delete()
    store_random_events(randomly, instances, 12)
    whole = outcome(environment, instances)
    for events_at_once, runs_at_once in [(0, 1), (0, 2), (3, 1), (5, 3)]:
        monkeypatch.setattr(runs, "EVENTS_AT_ONCE", events_at_once)
        monkeypatch.setattr(runs, "RUNS_AT_ONCE", runs_at_once)
        assert outcome(environment, instances) == whole


@pytest.fixture
def busy_instance(transactional_db, queued):
    """An instance that was switched on and off again and again, at times with another type."""
    instance = factories.make_instance(
        account=factories.make_aws_account(), image=factories.make_aws_image()
    )
    with connection.cursor() as cursor:
        cursor.execute(
            """
            INSERT INTO api_instanceevent (instance_id, cloud_account_id, event_type, occurred_at,
                                           instance_type, origin, source_id, source_name,
                                           created_at, updated_at)
            SELECT %s, %s, CASE WHEN number %% 2 = 0 THEN 'power_on' ELSE 'power_off' END,
                   TIMESTAMPTZ '2023-03-01T00:00Z' + number * INTERVAL '1 minute',
                   CASE WHEN number %% 6 = 0 THEN 'm5.' || number END, 'cloudtrail', '', '',
                   now(), now()
            FROM generate_series(0, %s - 1) AS number
            """,
            [instance.id, instance.cloud_account_id, EVENTS],
        )
    return instance


@pytest.mark.slow
def test_memory_does_not_grow_with_the_events_of_an_instance(busy_instance):
    """Neither when its runs are made, nor when they are found right, nor when all change."""

    def calculate():
        recalculate_runs(
            user_id=busy_instance.cloud_account.user_id, instance_ids=[busy_instance.id]
        )

    assert growth(calculate) < BOUND
    assert Run.objects.count() == EVENTS // 2
    assert growth(calculate) < BOUND
    Run.objects.update(vcpu=1)
    assert growth(calculate) < BOUND
    assert not Run.objects.filter(vcpu=1).exists()
