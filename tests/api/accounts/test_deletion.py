"""Deleting accounts and users (spec 03 §9.2, §9.3, §10.2)."""

import datetime

import pytest

from api.accounts import deletion
from api.accounts.deletion import delete_account, delete_inactive_users, delete_user_if_unused
from api.accounts.lifecycle import enable_account
from api.accounts.states import API, KAFKA
from api.clouds.provider import AccountRef
from api.models import (
    AccountState,
    CloudAccount,
    ConcurrentUsage,
    DescribeRun,
    ImageFact,
    ImageTags,
    InspectionAttempt,
    Instance,
    InstanceEvent,
    InstanceFact,
    MachineImage,
    Run,
    StaleUsage,
    User,
    UserTaskLock,
)
from api.models.records import Correction
from tests.api.accounts.statuses import statuses, unavailable
from tests.factories import (
    make_aws_account,
    make_aws_image,
    make_azure_account,
    make_azure_image,
    make_event,
    make_instance,
    make_rhel_image,
    make_run,
    make_tags,
    make_usage,
    make_user,
)
from util import clock

pytestmark = pytest.mark.django_db

YESTERDAY = clock.now() - datetime.timedelta(days=1)


def fill(account, image):
    """Return an account one instance with everything that can hang on it."""
    instance = make_instance(account=account, image=image)
    event = make_event(instance=instance, occurred_at=YESTERDAY)
    make_run(instance=instance, start=YESTERDAY)
    InstanceFact.objects.create(instance=instance, source="describe")
    describe_run = DescribeRun.objects.create(
        cloud_account=account, kind="initial", outcome="ok", region="us-east-1"
    )
    Correction.objects.create(
        event_id=event.id,
        instance=instance,
        cloud_account=account,
        describe_run=describe_run,
        kind="missed_on",
        unsure_to=clock.now(),
    )
    ImageFact.objects.create(machine_image=image, is_rhel=True, reason="describe")
    make_tags(account=account, image=image)
    InspectionAttempt.objects.create(machine_image=image)
    return instance


def test_scenario_17_last_account_goes_with_all_that_hangs_on_it(aws, queued):
    account = make_aws_account(platform_application_id=11)
    user = account.user
    make_usage(user=user, date=YESTERDAY.date())
    fill(account, make_rhel_image())
    ref = AccountRef.of(account)
    assert delete_account(account_id=account.id, trigger=KAFKA)
    for model in (
        CloudAccount,
        ConcurrentUsage,
        Correction,
        DescribeRun,
        ImageFact,
        ImageTags,
        InspectionAttempt,
        Instance,
        InstanceEvent,
        InstanceFact,
        MachineImage,
        Run,
        StaleUsage,
        User,
        UserTaskLock,
    ):
        assert not model.objects.exists(), model
    assert aws.calls == [("release", ref), ("forget", ref)]
    assert statuses(queued) == [unavailable(user, 11)]
    log = AccountState.objects.filter(account_id=ref.id).order_by("id")
    assert [row.to_state for row in log] == ["disabled", "deleted"]


def test_scenario_18_permanent_user_stays(aws, queued):
    user = make_user(is_permanent=True)
    account = make_aws_account(user=user)
    assert delete_account(account_id=account.id, trigger=KAFKA)
    assert User.objects.get() == user
    assert UserTaskLock.objects.get().locked is False


def test_days_of_a_user_who_stays_are_calculated_again(aws, queued):
    user = make_user()
    account = make_aws_account(user=user)
    make_aws_account(user=user)
    make_run(
        instance=make_instance(account=account, image=make_rhel_image()),
        start=clock.now() - datetime.timedelta(days=3),
        end=clock.now() - datetime.timedelta(days=2),
    )
    assert delete_account(account_id=account.id, trigger=KAFKA)
    mark = StaleUsage.objects.get()
    assert mark.user == user
    assert mark.cause == "account_deleted"
    assert mark.first_day == clock.today() - datetime.timedelta(days=3)
    assert "api.tasks.recalculate_stale_usage" in queued.names


def test_tags_of_an_account_go_with_it(aws, queued):
    """README decision 34: what they said of images counts no more for the customer's other ones."""
    user = make_user()
    account, other = make_aws_account(user=user), make_aws_account(user=user)
    image = make_aws_image()
    make_tags(account=account, image=image)
    make_run(instance=make_instance(account=other, image=image), start=YESTERDAY)
    assert delete_account(account_id=account.id, trigger=KAFKA)
    assert not ImageTags.objects.exists()
    image.refresh_from_db()
    assert (image.is_rhel, image.status) == (False, "pending")
    assert StaleUsage.objects.get().user == user
    assert "api.tasks.start_image_inspections" in queued.names


def test_an_unused_image_goes_with_the_tags_of_strangers(aws, queued):
    account, stranger = make_aws_account(), make_aws_account()
    image = make_aws_image()
    make_instance(account=account, image=image)
    make_tags(account=stranger, image=image)
    assert delete_account(account_id=account.id, trigger=KAFKA)
    assert not MachineImage.objects.exists()
    assert not ImageTags.objects.exists()


def test_shared_image_survives_until_the_last_account(aws, queued):
    image = make_aws_image()
    one, other = make_aws_account(), make_aws_account()
    for account in (one, other):
        make_instance(account=account, image=image)
    delete_account(account_id=one.id, trigger=KAFKA)
    assert MachineImage.objects.get() == image
    delete_account(account_id=other.id, trigger=KAFKA)
    assert not MachineImage.objects.exists()


def test_image_that_counts_in_anothers_past_survives(aws, queued):
    image, newer = make_aws_image(), make_aws_image()
    account = make_aws_account()
    make_instance(account=account, image=image)
    make_run(instance=make_instance(image=newer), start=YESTERDAY, machine_image_id=image.id)
    delete_account(account_id=account.id, trigger=KAFKA)
    assert set(MachineImage.objects.all()) == {image, newer}


def test_image_that_others_were_copied_from(aws, queued):
    image = make_aws_image()
    copy = make_aws_image(reference_image=image)
    account = make_aws_account()
    make_instance(account=account, image=image)
    delete_account(account_id=account.id, trigger=KAFKA)
    copy.refresh_from_db()
    assert copy.reference_image_id is None


def test_azure_account(azure, queued):
    account = make_azure_account()
    fill(account, make_azure_image(user=account.user))
    make_azure_image(user=account.user)
    assert delete_account(account_id=account.id, trigger=KAFKA)
    assert azure.asked == ["release", "forget"]
    assert not User.objects.exists()
    assert not MachineImage.objects.exists()


def test_synthetic_account_goes_silently(aws, queued):
    account = make_aws_account(is_synthetic=True)
    assert delete_account(account_id=account.id, trigger=API)
    assert aws.calls == []
    assert statuses(queued) == []


def test_account_that_is_gone(aws, queued):
    assert not delete_account(account_id=4711, trigger=API)
    assert queued == []


def test_half_deleted_account_looks_disabled_and_can_be_deleted_again(aws, queued, monkeypatch):
    account = make_aws_account()
    erase = deletion.erase_instances
    monkeypatch.setattr(deletion, "erase_instances", lambda _: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        delete_account(account_id=account.id, trigger=KAFKA)
    account.refresh_from_db()
    assert not account.is_enabled
    monkeypatch.setattr(deletion, "erase_instances", erase)
    assert delete_account(account_id=account.id, trigger=KAFKA)
    assert not CloudAccount.objects.exists()


def test_account_enabled_while_it_is_deleted_loses_its_trail_again(aws, queued, monkeypatch):
    account = make_aws_account()
    release = aws.release

    def enable_in_between(ref):
        release(ref)
        if len(aws.refs("release")) == 1:
            enable_account(account_id=account.id, trigger=API)

    monkeypatch.setattr(aws, "release", enable_in_between)
    assert delete_account(account_id=account.id, trigger=KAFKA)
    assert aws.asked[-2:] == ["release", "forget"]
    assert not CloudAccount.objects.exists()


@pytest.mark.parametrize("instances", [5, 50])
def test_statements_do_not_grow_with_rows(aws, queued, instances, django_assert_max_num_queries):
    account = make_aws_account()
    for _ in range(instances):
        fill(account, make_aws_image())
    with django_assert_max_num_queries(90):
        delete_account(account_id=account.id, trigger=KAFKA)
    assert not Instance.objects.exists()


class TestInactiveUsers:
    def test_scenario_29(self, queued):
        two_days_ago = clock.now() - datetime.timedelta(days=2)
        idle = make_user(date_joined=two_days_ago)
        make_usage(user=idle, date=YESTERDAY.date())
        owner = make_user(date_joined=two_days_ago)
        make_aws_account(user=owner)
        kept = [
            owner,
            make_user(date_joined=two_days_ago, is_superuser=True),
            make_user(date_joined=two_days_ago, is_permanent=True),
            make_user(date_joined=clock.now()),
        ]
        assert delete_inactive_users() == 1
        assert set(User.objects.all()) == set(kept)
        assert not ConcurrentUsage.objects.exists()

    @pytest.mark.parametrize(("age", "deleted"), [(86_399, 0), (86_402, 1)])
    def test_age(self, age, deleted):
        make_user(date_joined=clock.now() - datetime.timedelta(seconds=age))
        assert delete_inactive_users() == deleted

    def test_many(self, django_assert_max_num_queries):
        for _ in range(150):
            make_user()
        with django_assert_max_num_queries(80):
            assert delete_inactive_users() == 150


def test_user_with_accounts_is_not_unused():
    account = make_aws_account()
    assert not delete_user_if_unused(user_id=account.user_id)
    assert User.objects.exists()
