"""Several workers at once, workers that die, messages that come twice (spec 07 §8)."""

import datetime
import multiprocessing
import os
import random
import threading
import time

import pytest
import time_machine
from django.db import connection, connections, transaction

from api.images.changes import change_images
from api.metering import missing, recalculate, usage
from api.metering.locking import lock_metering
from api.metering.runs import recalculate_runs
from api.metering.staleness import mark_accounts_stale
from api.models import (
    CloudAccount,
    ConcurrentUsage,
    ImageFact,
    Instance,
    InstanceEvent,
    Run,
    StaleUsage,
    User,
)
from tests import factories
from tests.api.metering.comparison import compare_with_reference
from tests.api.metering.conftest import Environment
from tests.api.metering.notation import at, day
from tests.threads import in_thread, in_threads

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.random_history]

NOW = at("12T01")


@pytest.fixture
def environment(transactional_db, queued):
    """A customer whose rows are committed; time stands still."""
    with time_machine.travel(NOW, tick=False):
        yield Environment()


def wait_for_lock_wait():
    """Wait until some transaction waits for a lock."""
    for _ in range(9_000):
        with connection.cursor() as cursor:
            cursor.execute("SELECT count(*) FROM pg_locks WHERE NOT granted")
            if cursor.fetchone()[0]:
                return
        time.sleep(0.01)
    raise AssertionError("nobody waits")


def test_scenario_25_two_workers_on_one_instance(environment):
    instance = environment.instance("on 10T01, off 10T02, on 10T03")

    def work():
        recalculate_runs(user_id=environment.user.id, instance_ids=[instance.id])

    in_threads(*[work] * 4)
    assert environment.runs(instance) == [(at("10T01"), at("10T02")), (at("10T03"), None)]


def test_two_calculations_of_one_customer(environment):
    environment.instance("on 10T01, off 10T02")
    recalculate.recalculate_runs_of_all_accounts()

    def work():
        recalculate.recalculate_usage_of_user(user_id=environment.user.id)

    in_threads(*[work] * 4)
    assert environment.totals(10, 12) == [1, 0, 0]
    assert set(ConcurrentUsage.objects.values_list("revision", flat=True)) == {1}


def test_different_customers_do_not_wait_for_each_other(environment):
    other = factories.make_aws_account()
    environment.instance("on 10T01", account=other)
    with transaction.atomic():
        lock_metering(environment.user.id)
        in_threads(recalculate.recalculate_runs_of_all_accounts)
        in_threads(lambda: recalculate.recalculate_usage_of_user(user_id=other.user_id))
        in_threads(recalculate.recalculate_stale_usage)
    assert environment.total(12, other.user) == 1
    assert environment.total(12) is None


def test_a_pass_works_on_busy_customers_last(environment, monkeypatch):
    """Decisions 39 and 42: one customer's lock delays nobody else."""
    others = [factories.make_aws_account(user=factories.make_user()) for _ in range(3)]
    for account in [environment.account, *others]:
        environment.instance("on 10T01", account=account)
    order = []
    monkeypatch.setattr(recalculate, "recalculate_runs", lambda **work: order.append(work))
    monkeypatch.setattr(recalculate, "recalculate_usage_of_user", lambda **work: order.append(work))
    expected = [account.user_id for account in [*others, environment.account]]
    recalculate.recalculate_runs_of_all_accounts()
    assert [work["user_id"] for work in order] == sorted(expected)
    for account in [environment.account, *others]:
        factories.make_stale(user=account.user, first_day=day(10))
    with transaction.atomic():
        lock_metering(environment.user.id)
        for work_on_all in (
            recalculate.recalculate_runs_of_all_accounts,
            lambda: recalculate.recalculate_usage_of_all_users(since=day(10)),
        ):
            order.clear()
            in_threads(work_on_all)
            assert [work["user_id"] for work in order] == expected


def test_who_changes_a_customer_keeps_no_other_from_being_filled(environment):
    """Decision 39: a row of usage needs its customer's row, which somebody may hold."""
    other = factories.make_user(date_joined=at("11T00"))
    with transaction.atomic():
        User.objects.select_for_update().get(id=environment.user.id)
        (written,) = in_threads(
            lambda: missing.fill_without_runs([environment.user.id, other.id], since=None)
        )
    assert written == 2
    assert environment.totals(10, 12, other) == [None, 0, 0]
    assert environment.total(12) is None
    recalculate.recalculate_usage_of_all_users()
    assert environment.total(12) == 0


def test_stale_days_of_a_busy_customer_are_left_to_whoever_is_busy(environment):
    factories.make_stale(user=environment.user, first_day=day(10))
    with transaction.atomic():
        lock_metering(environment.user.id)
        (changes,) = in_threads(
            lambda: usage.calculate_usage(user_id=environment.user.id, wait=False)
        )
    assert changes.busy
    assert StaleUsage.objects.exists()


def test_run_committed_during_a_calculation_is_not_lost(environment):
    """The calculation has read the runs when another one is stored: its mark stays."""
    environment.instance("on 10T01, off 10T02")
    recalculate.recalculate_runs_of_all_accounts()
    late = environment.instance("on 10T01, off 10T03")
    with transaction.atomic():
        lock_metering(environment.user.id)
        waiting = in_thread(
            lambda: recalculate_runs(user_id=environment.user.id, instance_ids=[late.id])
        )
        wait_for_lock_wait()
        usage.calculate_usage(user_id=environment.user.id)
        assert environment.total(10) == 1
    waiting.result(60)
    assert environment.total(10) is None
    recalculate.recalculate_stale_usage()
    assert environment.total(10) == 2


def test_image_change_during_a_calculation_is_not_lost(environment):
    """A mark that is committed after the calculation began is not deleted by it."""
    environment.instance("on 10T01, off 10T02")
    recalculate.recalculate_runs_of_all_accounts()
    with transaction.atomic():
        usage.calculate_usage(user_id=environment.user.id)
        in_threads(lambda: factories.make_stale(user=environment.user, first_day=day(10)))
    assert StaleUsage.objects.exists()


def test_mark_that_a_calculation_has_not_read_is_not_deleted_by_it(environment, monkeypatch):
    """Another connection commits it after the marks were read and before they are deleted."""
    image = environment.plain_image()
    environment.instance("on 10T01, off 10T02")
    environment.instance("on 11T01, off 11T02", image=image)
    recalculate.recalculate_runs_of_all_accounts()
    recalculate.recalculate_stale_usage()
    assert environment.totals(10, 11) == [1, 0]
    factories.make_stale(user=environment.user, first_day=day(10), last_day=day(10))
    original, read = usage._marks, []

    def marks(user_id):
        found = original(user_id)
        if not read:
            read.append(found)
            in_threads(change)
        return found

    def change():
        change_images(
            image_ids=[image.id],
            change=lambda found: factories.set_rhel(found, True),
            reason=ImageFact.Reason("inspection"),
        )

    monkeypatch.setattr(usage, "_marks", marks)
    changes = usage.calculate_usage(user_id=environment.user.id)
    assert (len(read), len(read[0]), changes.calculated) == (1, 1, 1)
    assert environment.totals(10, 11) == [1, None]
    recalculate.recalculate_stale_usage()
    assert environment.totals(10, 11) == [1, 1]
    assert not StaleUsage.objects.exists()


def test_run_stored_while_its_image_changes(environment):
    """The change has not seen the run, and the calculation waits until it sees the change."""
    image = environment.plain_image()
    environment.instance("on 10T01, off 10T02", image=image)
    late = environment.instance("on 11T01, off 11T02", image=image)
    with transaction.atomic():
        change_images(
            image_ids=[image.id],
            change=lambda found: factories.set_rhel(found, True),
            reason=ImageFact.Reason("inspection"),
        )
        in_threads(lambda: recalculate_runs(user_id=environment.user.id, instance_ids=[late.id]))
        waiting = in_thread(recalculate.recalculate_stale_usage)
        wait_for_lock_wait()
    waiting.result(60)
    assert environment.total(11) == 1


@pytest.mark.parametrize("deletion_first", [True, False])
def test_account_deleted_while_its_runs_are_recalculated(environment, deletion_first):
    """Neither runs nor usage are left behind, whoever is first (spec 07 §8 c)."""
    doomed = factories.make_aws_account(user=environment.user)
    instance = environment.instance("on 10T01", account=doomed)
    started, go_on = threading.Event(), threading.Event()

    def delete():
        if not deletion_first:
            assert started.wait(60)
        with transaction.atomic():
            CloudAccount.objects.select_for_update().get(id=doomed.id)
            if deletion_first:
                started.set()
                time.sleep(0.2)
            else:
                go_on.set()
            mark_accounts_stale(account_ids=[doomed.id])
            doomed.delete()

    def work():
        if deletion_first:
            assert started.wait(60)
            recalculate_runs(user_id=environment.user.id, instance_ids=[instance.id])
            return
        with transaction.atomic():
            recalculate_runs(user_id=environment.user.id, instance_ids=[instance.id])
            started.set()
            time.sleep(0.2)

    in_threads(delete, work)
    assert not Run.objects.exists()
    recalculate.recalculate_usage_of_all_users()
    assert environment.totals(10, 12) == [0, 0, 0]
    assert not StaleUsage.objects.exists()


def test_scenario_38_worker_killed_in_the_middle(environment):
    """The transaction of a killed worker is as if it had never been; the next pass does it all."""
    environment.instance("on 10T01, off 10T02")
    recalculate.recalculate_runs_of_all_accounts()
    connections.close_all()
    context = multiprocessing.get_context("fork")
    ready = context.Event()

    def work():
        with transaction.atomic():
            usage.calculate_usage(user_id=environment.user.id)
            ready.set()
            time.sleep(60)

    process = context.Process(target=work)
    process.start()
    assert ready.wait(30)
    process.kill()
    process.join(30)
    recalculate.recalculate_usage_of_all_users()
    assert environment.totals(10, 12) == [1, 0, 0]
    assert not StaleUsage.objects.exists()


def test_message_delivered_twice(environment):
    environment.instance("on 10T01, off 10T02")
    for _ in range(2):
        recalculate.recalculate_runs_of_account(account_id=environment.account.id)
        recalculate.recalculate_usage_of_user(user_id=environment.user.id)
    assert Run.objects.get().id
    assert environment.total(10) == 1
    assert environment.row(10).revision == 1


def hammer(seed, user_id, instance_ids, image_ids, seconds):
    """Store random late events and change images; let runs and usage follow, for a while."""
    randomly = random.Random(seed)
    until = time.monotonic() + seconds
    with time_machine.travel(NOW, tick=False):
        while time.monotonic() < until:
            for _ in range(randomly.randrange(1, 4)):
                store_random_event(randomly, randomly.choice(instance_ids))
            randomly.choice(
                [
                    recalculate.recalculate_runs_of_all_accounts,
                    lambda: recalculate_runs(user_id=user_id, instance_ids=instance_ids),
                    recalculate.recalculate_stale_usage,
                    recalculate.recalculate_usage_of_all_users,
                    lambda: change_random_image(randomly, randomly.choice(image_ids)),
                ]
            )()
    connections.close_all()


def store_random_event(randomly, instance_id):
    instance = Instance.objects.get(id=instance_id)
    event = InstanceEvent(
        instance=instance,
        cloud_account_id=instance.cloud_account_id,
        event_type=randomly.choice(["power_on", "power_off"]),
        occurred_at=at("05T00") + datetime.timedelta(hours=randomly.randrange(24 * 7)),
        origin="cloudtrail",
    )
    InstanceEvent.objects.bulk_create([event], ignore_conflicts=True)


def change_random_image(randomly, image_id):
    tagged = randomly.random() < 0.5
    change_images(
        image_ids=[image_id],
        change=lambda image: factories.set_rhel(image, tagged),
        reason=ImageFact.Reason("inspection"),
    )


def hammered(environment, seconds):
    """Let two processes hammer the customer; then compare what they left with the reference."""
    images = [environment.plain_image(), environment.plain_image()]
    instances = [environment.instance(image=images[number % 2]) for number in range(6)]
    ids = [instance.id for instance in instances]
    image_ids = [image.id for image in images]
    connections.close_all()
    context = multiprocessing.get_context("fork")
    workers = [
        context.Process(target=hammer, args=(seed, environment.user.id, ids, image_ids, seconds))
        for seed in (1, 2)
    ]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(seconds + 60)
        assert worker.exitcode == 0
    environment.recalculate("12T01", since="05T00")
    arrived = {
        instance.id: list(instance.events.order_by("id").values_list("occurred_at", "event_type"))
        for instance in instances
    }
    compare_with_reference(environment, arrived)
    assert not StaleUsage.objects.exists()
    return sum(len(events) for events in arrived.values())


def test_two_processes_hammer_one_customer(environment):
    """HAMMER_SECONDS in the environment makes it take longer."""
    assert hammered(environment, seconds=float(os.environ.get("HAMMER_SECONDS", "3"))) > 20
