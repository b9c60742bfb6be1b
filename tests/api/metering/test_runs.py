"""Stored runs follow stored events (spec 07 §3, §4)."""

import datetime
import random

import pytest
import time_machine
from django.db import IntegrityError, connection, transaction
from django.test.utils import CaptureQueriesContext

from api.metering import recalculate, runs
from api.models import Cause, InstanceEvent, Run, StaleUsage
from tests import factories
from tests.api.metering import reference
from tests.api.metering.notation import EPOCH, at, day, micros

LONG_AGO = datetime.datetime(1970, 1, 1, 0, 0, 0, 1, tzinfo=datetime.UTC)
FAR_AWAY = datetime.datetime(2199, 12, 31, 23, 59, 59, 999_999, tzinfo=datetime.UTC)


def recalculated(environment, *instances):
    return runs.recalculate_runs(
        user_id=environment.user.id, instance_ids=[instance.id for instance in instances]
    )


def test_runs_are_stored_with_account_image_and_size(environment):
    factories.make_definition(instance_type="t2.micro", vcpu="1.00", memory_mib=1024)
    instance = environment.instance("on 10T01, off 10T02", instance_type="t2.micro")
    changes = recalculated(environment, instance)
    assert (changes.added, changes.changed, changes.removed) == (1, 0, 0)
    run = Run.objects.get()
    assert (run.instance, run.cloud_account) == (instance, environment.account)
    assert run.machine_image == instance.machine_image
    assert (run.start_time, run.end_time) == (at("10T01"), at("10T02"))
    assert (run.instance_type, run.vcpu, run.memory) == ("t2.micro", 1, 1024.0)


def test_microseconds_survive(environment):
    instance = environment.instance()
    moments = [LONG_AGO, at("10T01") + datetime.timedelta(microseconds=1), FAR_AWAY]
    randomly = random.Random(7)
    moments += [
        EPOCH + datetime.timedelta(microseconds=randomly.randrange(micros(FAR_AWAY)))
        for _ in range(200)
    ]
    moments.sort()
    InstanceEvent.objects.bulk_create(
        InstanceEvent(
            instance=instance,
            cloud_account=environment.account,
            event_type=("power_on", "power_off")[number % 2],
            occurred_at=moment,
            origin="cloudtrail",
        )
        for number, moment in enumerate(moments)
    )
    recalculated(environment, instance)
    ends = [*moments[1::2], None]
    assert environment.runs(instance) == list(zip(moments[::2], ends, strict=True))
    assert not recalculated(environment, instance)


def test_other_customers_instances_and_gone_ones_are_left_out(environment):
    stranger = environment.instance("on 10T01", account=factories.make_aws_account())
    assert not runs.recalculate_runs(
        user_id=environment.user.id, instance_ids=[stranger.id, 999_999_999]
    )
    assert not Run.objects.exists()


def test_instance_without_power_events_has_no_runs(environment):
    instance = environment.instance("off 10T01")
    factories.make_event(instance=instance, event_type="attribute_change")
    recalculated(environment, instance, environment.instance())
    assert not Run.objects.exists()


def test_split_keeps_the_runs_before_the_first_difference(environment):
    instance = environment.instance("on 10T01, off 10T02, on 10T03, off 10T06, on 10T07, off 10T08")
    recalculated(environment, instance)
    before = list(Run.objects.order_by("start_time").values_list("id", "updated_at"))
    environment.store(instance, "off 10T04, on 10T05")
    changes = recalculated(environment, instance)
    assert (changes.added, changes.changed, changes.removed) == (1, 1, 0)
    after = list(Run.objects.order_by("start_time").values_list("id", "updated_at"))
    assert after[0] == before[0]
    assert after[1][0] == before[1][0]
    assert after[3] == before[2]


def test_open_run_that_ends_keeps_its_id(environment):
    instance = environment.instance("on 10T01")
    recalculated(environment, instance)
    run = Run.objects.get()
    environment.store(instance, "off 10T09")
    recalculated(environment, instance)
    assert Run.objects.get().id == run.id
    assert Run.objects.get().end_time == at("10T09")


def test_marks_tell_days_cause_and_ids(environment):
    instance = environment.instance("on 10T01")
    recalculated(environment, instance)
    run = Run.objects.get()
    mark = StaleUsage.objects.get()
    assert (mark.user, mark.first_day, mark.last_day) == (environment.user, day(10), None)
    assert (mark.cause, mark.refs) == (Cause.RUN_ADDED, [run.id])
    StaleUsage.objects.all().delete()
    environment.store(instance, "off 12T09, on 10T00:30", stored="12T10")
    recalculated(environment, instance)
    assert {
        (mark.cause, mark.first_day, mark.last_day, tuple(mark.refs))
        for mark in StaleUsage.objects.all()
    } == {
        (Cause.RUN_ADDED, day(10), day(12), (Run.objects.get().id,)),
        (Cause.RUN_REMOVED, day(10), None, (run.id,)),
    }


def test_marking_queues_the_recalculation(environment, queued):
    instance = environment.instance("on 10T01")
    recalculated(environment, instance)
    assert queued.names == ["api.tasks.recalculate_stale_usage"]
    queued.clear()
    recalculated(environment, instance)
    assert not queued


def test_batches_are_bounded_by_instances_and_by_events(environment, monkeypatch):
    monkeypatch.setattr(runs, "INSTANCES_AT_ONCE", 4)
    monkeypatch.setattr(runs, "EVENTS_AT_ONCE", 5)
    image = environment.image()
    texts = ["on 10T01, off 10T02", "on 10T01, off 10T02, on 10T03, off 10T04, on 10T05", ""]
    instances = [environment.instance(text, image=image) for text in texts * 3]
    recalculated(environment, *instances)
    assert Run.objects.count() == 3 * (1 + 3)
    assert not recalculated(environment, *instances)


@pytest.mark.one_table
def test_database_refuses_a_run_stored_twice(environment):
    instance = environment.instance()
    factories.make_run(instance=instance, start=at("10T01"), end=at("10T02"))
    with pytest.raises(IntegrityError), transaction.atomic():
        factories.make_run(instance=instance, start=at("10T01"))
    factories.make_run(instance=instance, start=at("10T03"))
    with pytest.raises(IntegrityError), transaction.atomic():
        factories.make_run(instance=instance, start=at("10T04"))


def test_number_of_statements_does_not_grow(environment):
    counts = {}
    for number in (10, 1000):
        instances = environment.many(number, "on 10T00, off 10T01, on 10T02, off 10T03")
        with CaptureQueriesContext(connection) as added:
            recalculated(environment, *instances)
        Run.objects.filter(start_time=at("10T00")).update(end_time=at("10T00:30"))
        with CaptureQueriesContext(connection) as changed:
            recalculated(environment, *instances)
        with CaptureQueriesContext(connection) as unchanged:
            recalculated(environment, *instances)
        counts[number] = (len(added), len(changed), len(unchanged))
    assert counts[10] == counts[1000]
    assert max(counts[1000]) <= 20


def test_random_histories_arriving_in_any_order(environment):
    """Events trickle in, in any order; each time the runs are those of the reference."""
    randomly = random.Random(20230310)
    instances = [environment.instance() for _ in range(5)]
    arrived = {instance.id: [] for instance in instances}
    for _ in range(60):
        instance = randomly.choice(instances)
        moment = at("01T00") + datetime.timedelta(hours=randomly.randrange(24 * 9))
        kind = randomly.choice(["on", "off"])
        environment.store(instance, f"{kind} {moment:%dT%H}")
        if (moment, f"power_{kind}") not in arrived[instance.id]:
            arrived[instance.id].append((moment, f"power_{kind}"))
        if randomly.random() < 0.4:
            recalculated(environment, *instances)
            for one in instances:
                assert environment.runs(one) == reference.expected_runs(
                    [(*event, "") for event in arrived[one.id]]
                )


def test_account_pass_looks_at_what_was_stored_or_happened_lately(environment):
    environment.instance("on 01T01", stored="01T02")
    environment.instance("on 09T01", stored="01T02")
    late = environment.instance("on 01T03", stored="09T01")
    with time_machine.travel(at("10T01"), tick=False):
        recalculate.recalculate_runs_of_account(account_id=environment.account.id)
        assert [start for start, _ in environment.runs()] == [at("01T03"), at("09T01")]
        recalculate.recalculate_runs_of_account(
            account_id=environment.account.id, since=at("09T00")
        )
        assert len(environment.runs()) == 2
        recalculate.recalculate_runs_of_account(
            account_id=environment.account.id, since=at("01T00")
        )
        assert len(environment.runs()) == 3
        recalculate.recalculate_runs_of_account(account_id=999_999_999)
    assert Run.objects.filter(instance=late).count() == 1


def test_pass_over_all_accounts_leaves_out_synthetic_ones_only(environment):
    paused = factories.make_aws_account(is_enabled=False, platform_application_is_paused=True)
    synthetic = factories.make_aws_account(is_synthetic=True)
    for account in (paused, synthetic):
        environment.instance("on 10T01", account=account)
    environment.recalculate("10T02")
    assert Run.objects.filter(cloud_account=paused).exists()
    assert not Run.objects.filter(cloud_account=synthetic).exists()
    with time_machine.travel(at("10T03"), tick=False):
        recalculate.recalculate_runs_of_account(account_id=synthetic.id)
    assert Run.objects.filter(cloud_account=synthetic).exists()


def test_one_customers_failure_does_not_stop_the_others(environment, monkeypatch, caplog):
    other = factories.make_aws_account()
    environment.instance("on 10T01")
    environment.instance("on 10T01", account=other)
    original = recalculate.recalculate_runs

    def failing(*, user_id, instance_ids):
        if user_id == environment.user.id:
            raise ValueError("odd data")
        return original(user_id=user_id, instance_ids=instance_ids)

    monkeypatch.setattr(recalculate, "recalculate_runs", failing)
    with time_machine.travel(at("10T02"), tick=False):
        recalculate.recalculate_runs_of_all_accounts()
    assert Run.objects.get().cloud_account == other
    assert f"Could not recalculate for user {environment.user.id}" in caplog.text
