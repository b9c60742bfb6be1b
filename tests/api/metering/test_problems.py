"""Problematic runs and their repair (spec 07 §9)."""

from django.db import connection
from django.test.utils import CaptureQueriesContext

from api.metering.problems import fix_problematic_runs, problematic_runs
from api.models import Run
from tests import factories
from tests.api.metering.notation import at


def test_none(environment):
    environment.instance("on 10T01, off 10T02, on 10T03")
    environment.recalculate("10T04")
    assert not problematic_runs()


def test_scenario_27_open_run_with_a_later_power_off(environment):
    instance = environment.instance("on 10T01, off 10T02, on 10T03, off 10T04")
    run = factories.make_run(instance=instance, start=at("10T01"))
    assert list(problematic_runs()) == [run]
    assert list(problematic_runs(user_id=environment.user.id)) == [run]
    assert not problematic_runs(user_id=environment.user.id + 1)
    fix_problematic_runs(run_ids=[run.id])
    assert environment.runs(instance) == [(at("10T01"), at("10T02")), (at("10T03"), at("10T04"))]
    assert Run.objects.filter(id=run.id).exists()
    assert not problematic_runs()


def test_power_off_at_the_very_start_goes_by_the_order_of_storing(environment):
    before = environment.instance("off 10T05, on 10T05")
    after = environment.instance("on 10T05, off 10T05")
    harmless = factories.make_run(instance=before, start=at("10T05"))
    harmful = factories.make_run(instance=after, start=at("10T05"))
    assert list(problematic_runs()) == [harmful]
    fix_problematic_runs(run_ids=[harmless.id, harmful.id])
    assert environment.runs(before) == [(at("10T05"), None)]
    assert environment.runs(after) == [(at("10T05"), at("10T05"))]


def test_fix_leaves_alone_what_is_gone_unfollowed_or_right(environment):
    right = environment.instance("on 10T01, off 10T02")
    ended = factories.make_run(instance=right, start=at("10T01"), end=at("10T02"))
    unfollowed = factories.make_run(instance=environment.instance(), start=at("10T01"))
    fix_problematic_runs(run_ids=[999_999_999, ended.id, unfollowed.id])
    assert set(Run.objects.values_list("id", "updated_at")) == {
        (run.id, run.updated_at) for run in (ended, unfollowed)
    }


def test_fix_of_a_run_that_ends_too_late(environment):
    instance = environment.instance("on 10T01, off 10T02, off 10T03")
    run = factories.make_run(instance=instance, start=at("10T01"), end=at("10T03"))
    fix_problematic_runs(run_ids=[run.id])
    assert environment.runs(instance) == [(at("10T01"), at("10T02"))]


def test_fix_of_several_customers(environment):
    runs = []
    for _ in range(3):
        instance = environment.instance("on 10T01, off 10T02", account=factories.make_aws_account())
        runs.append(factories.make_run(instance=instance, start=at("10T01")))
    fix_problematic_runs(run_ids=[run.id for run in runs])
    assert set(Run.objects.values_list("end_time", flat=True)) == {at("10T02")}


def test_one_query_however_many_runs_are_open(environment):
    for number in (1, 20):
        for _ in range(number):
            instance = environment.instance("on 10T01, off 10T02", image=False)
            factories.make_run(instance=instance, start=at("10T01"))
        with CaptureQueriesContext(connection) as queries:
            list(problematic_runs())
        assert len(queries) == 1


def test_launch_and_termination_of_one_instant(environment):
    """Decision 37: a run that goes on after that is a problem, whatever was stored last."""
    instance = environment.instance()
    environment.store(instance, "off 10T05", source_name="TerminateInstances")
    environment.store(instance, "on 10T05", source_name="RunInstances")
    run = factories.make_run(instance=instance, start=at("10T05"))
    assert list(problematic_runs()) == [run]
    fix_problematic_runs(run_ids=[run.id])
    assert environment.runs(instance) == [(at("10T05"), at("10T05"))]


def test_several_cycles_of_one_instant(environment):
    """Decision 49: the last event of the instant at which a run begins decides."""
    instances = []
    for kinds in (["off", "on", "off", "on"], ["on", "off", "on", "off"]):
        instance = environment.instance()
        for number, kind in enumerate(kinds):
            factories.make_event(
                instance=instance,
                event_type=f"power_{kind}",
                occurred_at=at("10T05"),
                source_id=str(number),
            )
        instances.append(instance)
    harmless, harmful = [factories.make_run(instance=one, start=at("10T05")) for one in instances]
    assert list(problematic_runs()) == [harmful]
    fix_problematic_runs(run_ids=[harmless.id, harmful.id])
    assert environment.runs(instances[0]) == [(at("10T05"), None)]
    assert environment.runs(instances[1]) == [(at("10T05"), at("10T05"))]
