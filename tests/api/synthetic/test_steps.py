"""Synthetic data (spec 07 §12)."""

import datetime
import random
import statistics
from itertools import pairwise

import pytest
import time_machine

from api.models import (
    CloudAccount,
    ConcurrentUsage,
    ImageTags,
    Instance,
    InstanceEvent,
    MachineImage,
    Run,
    SyntheticDataRequest,
    User,
)
from api.synthetic import requests, steps
from api.synthetic.runs import DAY, HOUR, Habits, draw_runs
from tests import factories
from tests.api.metering.notation import at

NOW = at("20T12")
STEPS = (
    steps.make_user,
    steps.make_accounts,
    steps.make_images,
    steps.make_instances,
    steps.make_events,
    steps.make_runs_and_usage,
)


@pytest.fixture
def request_for(db, queued):
    """Make a request at noon of the 20th; see to it that time stands still."""
    with time_machine.travel(NOW, tick=False):
        yield lambda cloud_type="aws", **columns: SyntheticDataRequest.objects.create(
            cloud_type=cloud_type, **columns
        )


def answer(request, steps=STEPS):
    """Run the steps as their chain does; give what the last one returned."""
    result = request.id
    for step in steps:
        result = step(request_id=result)
    return result


def ready(request):
    return requests.is_ready(requests.synthetic_requests().get(id=request.id))


@pytest.mark.parametrize("cloud_type", ["aws", "azure"])
def test_scenario_31_ready_in_the_end(request_for, cloud_type):
    request = request_for(cloud_type)
    assert not ready(request)
    assert answer(request, STEPS[:-1]) == request.id
    assert not ready(request)
    assert STEPS[-1](request_id=request.id) == request.id
    assert ready(request)
    request.refresh_from_db()
    user = request.user
    assert ConcurrentUsage.objects.filter(user=user).count() == 9
    assert CloudAccount.objects.filter(user=user).count() == 1
    assert Instance.objects.filter(cloud_account__user=user).count() == 100
    assert request.machine_images.count() == 10
    assert Run.objects.filter(cloud_account__user=user).count() >= 100
    factories.make_stale(user=user, first_day=NOW.date(), last_day=NOW.date())
    assert not ready(request)


def test_identity_of_user_and_accounts(request_for):
    request = request_for(account_count=30)
    answer(request, STEPS[:2])
    request.refresh_from_db()
    user = request.user
    assert user.account_number.startswith("SYNTHETIC-")
    assert user.org_id.startswith("SYNTHETIC-")
    assert user.account_number != user.org_id
    assert (user.is_active, user.is_permanent) == (False, False)
    assert user.date_joined == NOW - datetime.timedelta(days=8)
    accounts = CloudAccount.objects.filter(user=user)
    assert accounts.count() == 30
    for account in accounts:
        assert account.is_synthetic
        assert not account.is_enabled
        assert account.platform_application_is_paused
        assert len(account.aws_account_id) == 12
        assert account.aws_account_id.startswith("000000")
        assert account.account_arn.startswith(
            f"arn:aws:iam::{account.aws_account_id}:role/SYNTHETIC-"
        )
        for number in (
            account.platform_authentication_id,
            account.platform_application_id,
            account.platform_source_id,
        ):
            assert -999_999 <= number <= -2


def test_colliding_ids_are_drawn_again(request_for, monkeypatch):
    taken = factories.make_aws_account(aws_account_id="000000000007")
    drawn = iter(["000000000007", "000000000007", "000000000008", "000000000009"])
    monkeypatch.setattr(steps, "_aws_account_id", lambda: next(drawn))
    request = request_for(account_count=2)
    answer(request, STEPS[:2])
    made = CloudAccount.objects.exclude(id=taken.id)
    assert set(made.values_list("aws_account_id", flat=True)) == {"000000000008", "000000000009"}


def test_azure_accounts_have_subscriptions_and_azure_things(request_for):
    request = request_for("azure", account_count=2)
    answer(request)
    accounts = CloudAccount.objects.filter(is_synthetic=True)
    assert len({account.subscription_id for account in accounts}) == 2
    image = request.machine_images.first()
    assert image.region is None
    assert image.cloud_image_id.startswith("/subscriptions/")
    assert "/providers/Microsoft.Compute/images/SYNTHETIC-" in image.cloud_image_id
    assert set(Instance.objects.values_list("cloud_type", flat=True)) == {"azure"}
    types = set(InstanceEvent.objects.values_list("instance_type", flat=True))
    assert types <= set(steps.INSTANCE_TYPES["azure"])


def test_images(request_for):
    request = request_for(
        image_count=200, image_rhel_chance=0.5, image_ocp_chance=0.25, image_other_owner_chance=1.0
    )
    answer(request, STEPS[:3])
    images = list(request.machine_images.all())
    assert len(images) == 200
    rhel = [image for image in images if image.is_rhel]
    assert 60 < len(rhel) < 140
    openshift = {image.id for image in images if image.openshift_detected}
    assert 20 < len(openshift) < 85
    tags = ImageTags.objects.filter(openshift=True, cloud_account__is_synthetic=True)
    assert set(tags.values_list("machine_image_id", flat=True)) == openshift
    assert all(image.rhel_release_files_found for image in rhel)
    assert all(image.inspection_json is None for image in images if not image.is_rhel)
    assert {image.role for image in rhel} == set(steps.ROLES)
    assert {image.service_type for image in rhel} == set(steps.SERVICE_TYPES)
    own = set(CloudAccount.objects.values_list("aws_account_id", flat=True))
    assert not own & {image.owner_aws_account_id for image in images[:20]}
    for image in images:
        assert (image.status, image.architecture) == ("inspected", "x86_64")
        assert image.cloud_image_id == image.name
        assert image.name.startswith("SYNTHETIC-")


@pytest.mark.parametrize("chance", [0.0, 1.0])
def test_certain_chances(request_for, chance):
    request = request_for(
        image_rhel_chance=chance, image_ocp_chance=chance, image_other_owner_chance=0.0
    )
    answer(request, STEPS[:3])
    account = CloudAccount.objects.get()
    for image in request.machine_images.all():
        assert image.is_rhel == image.openshift_detected == bool(chance)
        assert image.owner_aws_account_id == account.aws_account_id


def test_instances_and_events(request_for):
    request = request_for(instance_count=50, account_count=3, run_count_per_instance_min=2)
    answer(request, STEPS[:5])
    instances = Instance.objects.all()
    assert len({instance.cloud_account_id for instance in instances}) == 3
    assert all(one.cloud_instance_id.startswith("SYNTHETIC-") for one in instances)
    for instance in instances:
        events = list(instance.events.order_by("occurred_at"))
        kinds = [event.event_type for event in events]
        assert kinds == (["power_on", "power_off"] * 2)[: len(kinds)]
        assert len({event.instance_type for event in events}) == 1
        assert {event.origin for event in events} == {"synthetic"}
        assert all(event.occurred_at <= NOW for event in events)
        assert all(event.cloud_account_id == instance.cloud_account_id for event in events)


def test_scenario_34_no_images(request_for, caplog):
    request = request_for(image_count=0)
    assert answer(request) is None
    request.refresh_from_db()
    assert request.user is not None
    assert CloudAccount.objects.filter(user=request.user).exists()
    assert not Instance.objects.exists()
    assert not ready(request)
    assert "no image" in caplog.text


def test_no_runs_at_all(request_for):
    request = request_for(run_count_per_instance_min=0, run_count_per_instance_mean=0.0)
    assert answer(request) == request.id
    assert not InstanceEvent.objects.exists()
    assert ready(request)
    assert not ConcurrentUsage.objects.exclude(maximum_counts=[]).exists()


@pytest.mark.parametrize("step", STEPS)
def test_missing_request(request_for, step, caplog):
    assert step(request_id=999_999_999) is None
    assert step(request_id=None) is None
    assert "no request" in caplog.text


@pytest.mark.parametrize("step", STEPS[1:])
def test_missing_user(request_for, step):
    assert step(request_id=request_for().id) is None


@pytest.mark.parametrize("step", STEPS[2:])
def test_missing_account(request_for, step):
    request = request_for(account_count=0)
    assert answer(request, STEPS[:2]) == request.id
    assert step(request_id=request.id) is None


@pytest.mark.parametrize("step", STEPS[4:])
def test_missing_instance(request_for, step):
    request = request_for(instance_count=0)
    assert answer(request, STEPS[:4]) == request.id
    assert step(request_id=request.id) is None


def test_user_is_made_once(request_for):
    request = request_for()
    assert steps.make_user(request_id=request.id) == request.id
    assert steps.make_user(request_id=request.id) is None
    assert User.objects.count() == 1


def test_steps_done_already_do_nothing(request_for):
    request = request_for(instance_count=10, account_count=2)
    answer(request)

    def everything():
        return [
            list(model.objects.order_by("id").values())
            for model in (CloudAccount, MachineImage, Instance, InstanceEvent, Run, ConcurrentUsage)
        ]

    before = everything()
    assert answer(request, STEPS[1:]) == request.id
    assert everything() == before


def test_days_too_long_ago(request_for):
    assert steps.make_user(request_id=request_for(since_days_ago=2**31 - 1).id) is None


def test_start_queues_the_chain(request_for, queued):
    steps.start(request_id=request_for().id)
    assert queued.names == ["api.tasks.synthesize_user"]


def test_scenario_33_expiry_with_several_accounts(request_for, queued):
    expired = request_for(account_count=3, instance_count=5, expires_at=NOW)
    kept = request_for(instance_count=5)
    for request in (expired, kept):
        answer(request)
    unused = MachineImage.objects.filter(instances=None, id__in=expired.machine_images.all())
    unused_ids = list(unused.values_list("id", flat=True))
    assert unused_ids
    expired.refresh_from_db()
    queued.clear()
    assert requests.delete_expired_requests() == 1
    assert list(SyntheticDataRequest.objects.all()) == [kept]
    assert not MachineImage.objects.filter(id__in=unused_ids).exists()
    accounts = CloudAccount.objects.filter(user=expired.user).order_by("id")
    assert queued == [
        ("api.tasks.delete_cloud_account", (account.id,), {}, None) for account in accounts
    ]
    assert len(accounts) == 3
    assert User.objects.filter(id=expired.user_id).exists(), "its last account takes it along"

    queued.clear()
    assert requests.delete_expired_requests() == 0
    assert len(queued) == 3, "what was left behind is queued again"


def test_request_without_accounts_takes_its_user_along(request_for, queued):
    request = request_for(account_count=0)
    answer(request, STEPS[:2])
    request.refresh_from_db()
    assert requests.delete_requests(request_ids=[request.id]) == [request.user_id]
    assert not User.objects.exists()
    assert not SyntheticDataRequest.objects.exists()
    assert not queued


def test_request_never_started(request_for):
    request = request_for()
    assert requests.delete_requests(request_ids=[request.id]) == []
    assert not SyntheticDataRequest.objects.exists()


def habits(**numbers):
    defaults = {
        "since_days_ago": 30,
        "runs_min": 1,
        "runs_mean": 4.0,
        "hours_min": 1.0,
        "hours_mean": 2.0,
        "hours_between": 8.0,
    }
    return Habits.of_hours(**(defaults | numbers))


def test_distribution_of_runs():
    """Means over 1,000 instances lie within 5 % (spec 07 §12.4)."""
    generator = random.Random(20230310)
    now = 1_680_000_000
    drawn = [draw_runs(habits(), now, generator) for _ in range(1000)]
    assert statistics.mean(len(runs) for runs in drawn) == pytest.approx(4, rel=0.05)
    lengths = [end - start for runs in drawn for start, end in runs if end]
    assert statistics.mean(lengths) == pytest.approx(2 * HOUR, rel=0.05)
    assert HOUR <= min(lengths) <= max(lengths) <= 3 * HOUR
    gaps = [after[0] - before[1] for runs in drawn for before, after in pairwise(runs)]
    assert statistics.mean(gaps) == pytest.approx(8 * HOUR, rel=0.05)
    starts = [runs[0][0] for runs in drawn]
    assert now - 30 * DAY <= min(starts)
    assert max(starts) <= now


def test_runs_end_with_now():
    generator = random.Random(3)
    now = 1_680_000_000
    long = habits(since_days_ago=0, hours_min=2.0, hours_mean=5.0)
    for _ in range(200):
        runs = draw_runs(long, now, generator)
        assert all(start <= now for start, _ in runs)
        assert all(end is not None and end <= now for _, end in runs[:-1])
        assert runs[-1:] == [] or runs[-1][1] is None or runs[-1][1] <= now


def test_least_number_of_runs_wins_over_the_mean():
    generator = random.Random(3)
    assert len(draw_runs(habits(runs_min=7, runs_mean=1.0), 10**9, generator)) == 7


def test_zero_hours_make_runs_without_length():
    generator = random.Random(3)
    runs = draw_runs(habits(hours_min=0.0, hours_mean=0.0, hours_between=0.0), 10**9, generator)
    assert runs
    assert all(start == end for start, end in runs)
