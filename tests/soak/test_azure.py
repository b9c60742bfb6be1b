"""What the soak knows of customers of Azure, and how it breaks their cloud."""

import re
from datetime import UTC, datetime, timedelta

import pytest

from deployment.local import azure_resources as resources
from tests.e2e.sources_environment import Customer
from tests.soak import plan
from tests.soak.azure_customers import (
    NONE,
    POWER_OFF,
    POWER_ON,
    TAG,
    Image,
    Stored,
    Subscriber,
    VirtualMachine,
)
from tests.soak.customers import BUSY

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
DAY = NOON.date()


def subscriber(*machines: VirtualMachine, mark: str = TAG) -> Subscriber:
    """Return a customer who comes at noon, with one image."""
    one = Subscriber(Customer(4), BUSY, 9)
    one.images = {"sku": Image("sku", mark, is_rhel=mark != NONE)}
    one.machines = list(machines)
    one.came(NOON)
    return one


def books(one: Subscriber) -> dict[str, Stored]:
    """Return what is stored if all was seen and counted."""
    return {
        machine.id.lower(): Stored(
            machine.power_ons,
            POWER_ON if machine.runs else POWER_OFF,
            one.images[machine.image].mark == TAG and one.images[machine.image].is_rhel,
        )
        for machine in one.machines
    }


def shown(one: Subscriber) -> dict[str, dict]:
    """Return the machines that Azure shows, by their ids."""
    content = one.shown()
    members = [member for scale_set in content["scale_sets"] for member in scale_set["machines"]]
    return {machine["id"]: machine for machine in content["machines"] + members}


def live(seed: int, changes: int) -> Subscriber:
    """Let a customer do something each minute, each change seen half a minute later."""
    one = Subscriber(Customer(4), BUSY, seed)
    one.arrive()
    one.came(NOON)
    one.was_seen(NOON + MINUTE / 2)
    for number in range(1, changes + 1):
        one.act(NOON + number * MINUTE)
        assert not set(one.wrong_events(books(one)))
        one.was_seen(NOON + number * MINUTE + MINUTE / 2)
    return one


class TestTruth:
    def test_a_machine_counts_from_between_order_and_look(self):
        one = subscriber(VirtualMachine("M1", "sku"), VirtualMachine("M2", "sku", runs=False))
        one.was_seen(NOON + MINUTE)
        [machine, other] = one.machines
        assert [span.start for span in machine.spans] == [(NOON, NOON + MINUTE)]
        assert not other.spans
        assert one.described_at == NOON + MINUTE
        assert one.expected([DAY]) == {DAY: (1, 1)}

    @pytest.mark.parametrize("mark", [TAG, NONE])
    def test_only_images_that_are_rhel_count(self, mark):
        one = subscriber(VirtualMachine("M1", "sku"), mark=mark)
        one.was_seen(NOON)
        number = int(mark != NONE)
        assert one.expected([DAY]) == {DAY: (number, number)}

    @pytest.mark.parametrize(
        ("stored", "is_seen"),
        [
            ({}, False),
            ({"m1": Stored(1, POWER_ON, is_tagged=True)}, True),
            ({"m1": Stored(1, POWER_ON, is_tagged=False)}, False),
            ({"m1": Stored(1, POWER_OFF, is_tagged=True)}, False),
            ({"m1": Stored(0, POWER_ON, is_tagged=True)}, False),
        ],
    )
    def test_a_change_is_seen_when_all_of_it_is_stored(self, stored, is_seen):
        one = subscriber(VirtualMachine("M1", "sku"))
        assert one.is_seen(stored) == is_seen

    @pytest.mark.parametrize("seed", range(5))
    def test_what_azure_shows_is_what_is_known(self, seed):
        one = live(seed, 40)
        there = {machine.id: machine for machine in one.machines if not machine.is_gone}
        entries = shown(one)
        assert entries.keys() == there.keys()
        for name, entry in entries.items():
            codes = [status["code"] for status in entry["properties"]["instanceView"]["statuses"]]
            assert there[name].runs == ("PowerState/running" in codes)
            assert there[name].runs == there[name].is_on
            image = one.images[there[name].image]
            assert (image.mark == TAG and image.is_rhel) == ("tags" in entry)
        assert all(not machine.is_on for machine in one.machines if machine.is_gone)
        assert one.is_seen(books(one))

    def test_customers_do_all_sorts_of_things_and_the_same_again(self):
        some, others = live(3, 60), live(3, 60)
        assert [(machine.id, machine.spans) for machine in some.machines] == [
            (machine.id, machine.spans) for machine in others.machines
        ]
        machines = [machine for seed in range(5) for machine in live(seed, 40).machines]
        assert any(machine.is_gone for machine in machines)
        assert any(machine.power_ons > len(machine.spans) for machine in machines), "replaced"
        assert any(len(machine.spans) > 1 for machine in machines)
        assert {machine.scale_set for machine in machines} == {"", "web", "db"}

    def test_nothing_counts_in_a_pause_and_all_that_runs_after_it(self):
        one = subscriber(VirtualMachine("M1", "sku"))
        one.was_seen(NOON)
        [machine] = one.machines
        one.pause_asked_at = NOON + MINUTE
        one.was_paused(NOON + 2 * MINUTE)
        assert machine.spans[0].end == (NOON + MINUTE, NOON + 2 * MINUTE)
        for _ in range(20):
            one.act(NOON + 3 * MINUTE)
        assert one.asked_at is None
        assert (machine.power_ons, len(machine.spans)) == (1, 1)
        assert all(not other.power_ons for other in one.machines[1:])
        one.goes_on(NOON + 4 * MINUTE)
        one.was_seen(NOON + 5 * MINUTE)
        assert all(other.power_ons == len(other.spans) for other in one.machines)
        assert all(other.is_on == other.runs for other in one.machines)

    def test_events_that_are_lost_or_invented_are_found(self):
        one = subscriber(VirtualMachine("M1", "sku"))
        right = books(one)
        assert not list(one.wrong_events(right))
        wrongs = ({}, {"m1": right["m1"]._replace(power_ons=2)}, {**right, "m9": right["m1"]})
        for wrong in wrongs:
            assert len(list(one.wrong_events(wrong))) == 1


class TestPlan:
    def test_each_fault_of_azure_happens(self):
        steps = plan.lanes(1, 20 * 60)["azure"]
        assert {step.target for step in steps} == set(plan.AZURE_FAULTS)

    def test_each_fault_meets_some_request(self):
        compute = "/subscriptions/some/providers/Microsoft.Compute"
        requests = [
            "GET /subscriptions?api-version=1",
            "POST /tenant/oauth2/v2.0/token",
            f"GET {compute}/virtualMachines?api-version=1&$skiptoken=2",
            f"GET {compute}/virtualMachines?api-version=1&statusOnly=true",
            f"GET {compute}/virtualMachineScaleSets?api-version=1",
            f"GET {resources.scale_set_machine_id('some', 'web', 1).rpartition('/')[0]}",
        ]
        for fault in plan.AZURE_FAULTS.values():
            assert any(re.search(fault["request"], request) for request in requests)
