"""Another machine under the name of one that we knew (fault 5; decisions 33, 51)."""

import datetime

import pytest

from api.clouds.azure.discovery import discover_account, poll_subscription
from api.metering.rebuild import rebuild
from api.metering.runs import recalculate_runs
from api.models import Correction, Instance, InstanceEvent, MachineImage, Run
from deployment.local import azure_resources as resources
from tests.api.clouds.azure.conftest import NOW, SUBSCRIPTION, machine, powers

pytestmark = pytest.mark.django_db

HOUR = datetime.timedelta(hours=1)
OTHER_IMAGE = {**resources.RHEL_IMAGE, "sku": "other"}
RHEL_TAG = {"cloudigrade-rhel-present": ""}


def first(azure, account, clock, **more) -> None:
    azure.delegate(SUBSCRIPTION, machines=[machine("a", vmId="1111", **more)])
    discover_account(account_id=account.id)
    clock.shift(HOUR)


def then(azure, **more) -> None:
    azure.delegate(SUBSCRIPTION, machines=[machine("a", vmId="2222", image=OTHER_IMAGE, **more)])
    poll_subscription(subscription_id=SUBSCRIPTION)


def runs() -> list[tuple]:
    """Start and end in hours since the first poll, with the image."""
    return [
        (
            (run.start_time - NOW) / HOUR,
            run.end_time and (run.end_time - NOW) / HOUR,
            run.machine_image and run.machine_image.cloud_image_id,
        )
        for run in Run.objects.order_by("start_time")
    ]


def test_on_to_on_is_one_of_each_with_the_new_image(azure, account, clock):
    first(azure, account, clock, tags=RHEL_TAG)
    then(azure, size="Standard_B2s")
    assert powers("a") == ["power_on", "power_off", "power_on"]
    assert runs() == [(0, 1, "82gen2"), (1, None, "other")]
    old, new = Run.objects.order_by("start_time")
    assert (old.machine_image.is_rhel, new.machine_image.is_rhel) == (True, False)
    assert (old.instance_type, new.instance_type) == ("Standard_B1s", "Standard_B2s")
    assert set(InstanceEvent.objects.values_list("occurred_at", flat=True)) == {NOW, NOW + HOUR}
    corrections = Correction.objects.order_by("id")
    assert [row.kind for row in corrections] == ["missed_off", "missed_on"]
    events = {event.id: event.event_type for event in InstanceEvent.objects.all()}
    assert [events[row.event_id] for row in corrections] == ["power_off", "power_on"]


def test_on_to_off_is_one_off_and_the_run_keeps_its_image(azure, account, clock):
    first(azure, account, clock, tags=RHEL_TAG)
    then(azure, power="stopped")
    assert powers("a") == ["power_on", "power_off"]
    assert runs() == [(0, 1, "82gen2")]
    assert Instance.objects.get().machine_image.cloud_image_id == "other"


def test_off_to_on_is_one_on_with_the_new_image(azure, account, clock):
    first(azure, account, clock, power="stopped")
    then(azure)
    assert powers("a") == ["power_off", "power_on"]
    assert runs() == [(1, None, "other")]


def test_off_to_off_is_nothing(azure, account, clock):
    first(azure, account, clock, power="stopped")
    then(azure, power="deallocated")
    assert powers("a") == ["power_off"]
    assert Instance.objects.get().machine_image.cloud_image_id == "other"


def test_without_an_image_of_its_own_it_has_none(azure, account, clock):
    first(azure, account, clock)
    azure.delegate(SUBSCRIPTION, machines=[machine("a", vmId="2222", image=None)])
    poll_subscription(subscription_id=SUBSCRIPTION)
    assert runs() == [(0, 1, "82gen2"), (1, None, None)]


def test_what_is_known_of_it_later_changes_nothing_earlier(azure, account, clock):
    """Not even that all runs are calculated again."""
    first(azure, account, clock)
    then(azure)
    for state in ("stopped", "running", "stopped"):
        clock.shift(HOUR)
        then(azure, power=state)
    recalculate_runs(user_id=account.user_id, instance_ids=[Instance.objects.get().id])
    assert runs() == [(0, 1, "82gen2"), (1, 2, "other"), (3, 4, "other")]


def test_again_and_again(azure, account, clock):
    first(azure, account, clock)
    for number in range(3):
        azure.delegate(SUBSCRIPTION, machines=[machine("a", vmId=f"{number}")])
        poll_subscription(subscription_id=SUBSCRIPTION)
        poll_subscription(subscription_id=SUBSCRIPTION)
        clock.shift(HOUR)
    assert powers("a") == ["power_on", *["power_off", "power_on"] * 3]
    assert [run[:2] for run in runs()] == [(0, 1), (1, 2), (2, 3), (3, None)]


def test_until_its_state_is_known_the_old_one_goes_on(azure, account, clock):
    first(azure, account, clock)
    then(azure, power=None)
    assert powers("a") == ["power_on"]
    assert runs() == [(0, None, "82gen2")]
    clock.shift(HOUR)
    then(azure)
    assert runs() == [(0, 2, "82gen2"), (2, None, "other")]


def test_the_same_id_in_another_case_is_the_same_machine(azure, account, clock):
    azure.delegate(SUBSCRIPTION, machines=[machine("a", vmId="abcd")])
    discover_account(account_id=account.id)
    clock.shift(HOUR)
    azure.delegate(SUBSCRIPTION, machines=[machine("a", vmId="ABCD")])
    poll_subscription(subscription_id=SUBSCRIPTION)
    assert powers("a") == ["power_on"]


def test_the_id_of_one_that_was_known_before_is_learnt(azure, account, clock):
    """As of all machines that an older version stored."""
    first(azure, account, clock)
    Instance.objects.update(vm_id=None)
    then(azure)
    assert powers("a") == ["power_on"]
    assert Instance.objects.get().vm_id == "2222"


def test_in_a_scale_set(azure, account, clock):
    place = resources.scale_set_machine_id(SUBSCRIPTION, "web", 0)
    for vm_id in ("1", "2"):
        one = resources.machine(place, vmId=vm_id)
        azure.delegate(SUBSCRIPTION, scale_sets=[resources.scale_set("web", one)])
        poll_subscription(subscription_id=SUBSCRIPTION)
        clock.shift(HOUR)
    assert powers("0") == ["power_on", "power_off", "power_on"]


def test_one_without_an_image_does_not_get_that_of_the_next(azure, account, clock):
    first(azure, account, clock, image=None)
    then(azure)
    assert runs() == [(0, 1, None), (1, None, "other")]


@pytest.mark.parametrize("power", ["running", "stopped"])
def test_nor_when_it_was_off_in_between(azure, account, clock, power):
    first(azure, account, clock, image=None)
    azure.delegate(SUBSCRIPTION, machines=[machine("a", vmId="1111", image=None, power="stopped")])
    poll_subscription(subscription_id=SUBSCRIPTION)
    clock.shift(HOUR)
    then(azure, power=power)
    begun = [(2, None, "other")] if power == "running" else []
    assert runs() == [(0, 1, None), *begun]


def test_a_run_ends_with_the_image_that_it_began_with(azure, account, clock):
    first(azure, account, clock)
    for power in ("running", "stopped", "running"):
        azure.delegate(
            SUBSCRIPTION, machines=[machine("a", vmId="1111", image=OTHER_IMAGE, power=power)]
        )
        poll_subscription(subscription_id=SUBSCRIPTION)
        clock.shift(HOUR)
    assert runs() == [(0, 2, "82gen2"), (3, None, "other")]


def test_runs_that_are_made_anew_have_the_images_of_then(azure, account, clock):
    first(azure, account, clock)
    then(azure)
    clock.shift(HOUR)
    azure.delegate(SUBSCRIPTION, machines=[machine("a", vmId="3333", image=None)])
    poll_subscription(subscription_id=SUBSCRIPTION)
    clock.shift(HOUR)
    third = {**OTHER_IMAGE, "sku": "third"}
    azure.delegate(SUBSCRIPTION, machines=[machine("a", vmId="3333", image=third)])
    poll_subscription(subscription_id=SUBSCRIPTION)
    expected = [(0, 1, "82gen2"), (1, 2, "other"), (2, None, "third")]
    assert runs() == expected
    rebuild(user_id=account.user_id)
    assert runs() == expected


def test_a_former_image_that_was_deleted_is_none(azure, account, clock):
    first(azure, account, clock)
    then(azure)
    MachineImage.objects.filter(cloud_image_id="82gen2").delete()
    rebuild(user_id=account.user_id)
    assert runs() == [(0, 1, None), (1, None, "other")]
