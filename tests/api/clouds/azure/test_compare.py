"""What a scan changes (spec 06 §5.2, §5.3)."""

import datetime
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.clouds.azure.compare import (
    Changes,
    KnownMachine,
    MachineFacts,
    compare,
    unaccounted_images,
)
from api.clouds.azure.errors import AzureBusyError, AzureRefusedError, Problem
from api.clouds.azure.scan import Scan
from api.clouds.azure.transform import ImageKey, ScaleSet, scale_set
from api.clouds.azure.transform import machine as transformed
from deployment.local import azure_resources as resources
from tests.api.clouds.azure.conftest import NOW, SUBSCRIPTION, machine, scan

SIZE = "Standard_B1s"
IMAGE = ImageKey("redhat", "rhel", "82gen2")
IMAGE_ID = 5
EARLIER = NOW - datetime.timedelta(hours=1)
ON, OFF, CHANGE = "power_on", "power_off", "attribute_change"


def known(name: str, power: str | None = None, size: str | None = SIZE, **more) -> dict:
    found = transformed(machine(name))
    instance = KnownMachine(
        **{
            "id": ord(name),
            "image_id": IMAGE_ID,
            "power": power,
            "changed_at": EARLIER if power else None,
            "size": size,
            "facts": MachineFacts.of(found),
            "vm_id": found.vm_id,
        }
        | more
    )
    return {found.key: instance}


def changes(stored: dict, seen: Scan) -> Changes:
    return compare(stored, seen, image_ids={IMAGE: IMAGE_ID}, now=NOW)


def events(found: Changes) -> list[tuple]:
    return [(event.event_type, event.instance_type, event.occurred_at) for event in found.events]


@pytest.mark.parametrize(
    ("power", "state", "expected"),
    [
        (None, "running", ON),
        (None, "stopped", OFF),
        (ON, "running", None),
        (ON, "stopped", OFF),
        (OFF, "running", ON),
        (OFF, "stopped", None),
    ],
)
def test_power(power, state, expected):
    found = changes(known("a", power), scan(machine("a", power=state)))
    assert events(found) == ([(expected, SIZE, NOW)] if expected else [])
    assert found.appeared == []


@pytest.mark.parametrize(("state", "expected"), [("running", ON), ("stopped", OFF)])
def test_first_sight(state, expected):
    found = changes({}, scan(machine("a", power=state)))
    assert events(found) == [(expected, SIZE, NOW)]
    assert [appeared.resource_id[-1] for appeared in found.appeared] == ["a"]
    assert list(found.facts) == [found.appeared[0].key]


@pytest.mark.parametrize("power", [None, ON, OFF])
def test_an_unknown_state_means_nothing(power):
    entry = machine("a")
    seen = Scan()
    seen.add_machine(entry)
    assert events(changes(known("a", power), seen)) == []


def test_another_size():
    seen = scan(machine("a", size="Standard_B4ms"))
    assert events(changes(known("a", ON), seen)) == [(CHANGE, "Standard_B4ms", NOW)]
    assert events(changes(known("a", OFF), seen)) == [(ON, "Standard_B4ms", NOW)]
    assert events(changes(known("a", ON, size="Standard_B4ms"), seen)) == []
    unsized = scan(machine("a", size=None))
    assert events(changes(known("a", ON), unsized)) == []


@pytest.mark.parametrize(("power", "expected"), [(ON, [(OFF, None, NOW)]), (OFF, []), (None, [])])
def test_gone(power, expected):
    assert events(changes(known("a", power), scan())) == expected


def test_nobody_is_gone_from_an_incomplete_list():
    stored = known("a", ON)
    assert not changes(stored, scan(problem=AzureBusyError("x")))
    for add in (Scan.add_machine, Scan.add_state):
        malformed = scan()
        add(malformed, {})
        assert not changes(stored, malformed)


class TestUnlisted:
    """A machine that the list of states shows and that of machines does not (decision 33)."""

    def seen(self, power: str | None, problem: Problem | None = None) -> Scan:
        found = scan(problem=problem)
        found.add_state(machine("a", power=power))
        return found

    @pytest.mark.parametrize("problem", [None, AzureBusyError("x")])
    @pytest.mark.parametrize(
        ("power", "state", "expected"),
        [
            (ON, "running", []),
            (ON, None, []),
            (ON, "deallocated", [(OFF, None, NOW)]),
            (OFF, "running", [(ON, SIZE, NOW)]),
            (OFF, "stopped", []),
            (OFF, None, []),
            (None, "running", [(ON, SIZE, NOW)]),
            (None, "stopped", []),
        ],
    )
    def test_what_is_shown_counts(self, power, state, expected, problem):
        assert events(changes(known("a", power), self.seen(state, problem))) == expected

    def test_one_that_is_not_known_cannot_be_stored(self):
        assert not changes({}, self.seen("running"))


class TestScaleSets:
    """What a scale set that cannot be read exempts, and what it does not (decision 33)."""

    def member(self, scale_set: str, number: int = 0, **more) -> dict:
        return resources.machine(
            resources.scale_set_machine_id(SUBSCRIPTION, scale_set, number), **more
        )

    def stored(self) -> dict[str, KnownMachine]:
        entries = [self.member("web"), self.member("web", 1), self.member("db"), machine("a")]
        machines = [transformed(entry) for entry in entries]
        return {
            found.key: KnownMachine(id=number, image_id=IMAGE_ID, power=ON, vm_id=found.vm_id)
            for number, found in enumerate(machines)
        }

    def scale_set(self, name: str) -> ScaleSet:
        resource_id = resources.scale_set_machine_id(SUBSCRIPTION, name, 0)
        return scale_set({"id": resource_id.partition("/virtualMachines/")[0].upper()})

    def ended(self, seen: Scan) -> set[str]:
        return {event.key for event in changes(self.stored(), seen).ends}

    def test_its_own_machines_and_no_others(self):
        seen = scan()
        seen.add_part(self.scale_set("web"), Scan(), AzureRefusedError("AuthorizationFailed"))
        seen.add_part(self.scale_set("db"), Scan(), None)
        assert self.ended(seen) == {self.member("db")["id"].lower(), machine("a")["id"].lower()}
        assert unaccounted_images(self.stored(), seen) == {IMAGE_ID}

    def test_what_it_shows_as_stopped_ends(self):
        part = Scan()
        part.add_member(self.member("web", power="deallocated"))
        seen = scan(machine("a"))
        seen.add_part(self.scale_set("web"), part, AzureBusyError("x"))
        assert self.ended(seen) == {
            self.member("web")["id"].lower(),
            self.member("db")["id"].lower(),
        }

    def test_a_malformed_member_is_a_part_that_cannot_be_read(self):
        part = Scan()
        part.add_member({"name": "no id"})
        part.add_member(self.member("web"))
        seen = scan()
        seen.add_part(self.scale_set("web"), part, None)
        assert self.ended(seen) == {self.member("db")["id"].lower(), machine("a")["id"].lower()}
        assert (seen.outcome, seen.unreadable) == (
            "ok",
            {self.scale_set("web").key: "MalformedEntry"},
        )

    def test_without_the_list_of_scale_sets_none_of_their_machines_is_gone(self):
        seen = scan()
        seen.lose_scale_sets(AzureBusyError("x"))
        assert self.ended(seen) == {machine("a")["id"].lower()}

    def test_without_the_list_of_machines_nothing_is_gone(self):
        seen = scan(problem=AzureBusyError("x"))
        seen.add_part(self.scale_set("web"), Scan(), None)
        assert self.ended(seen) == set()


class TestReplacement:
    """Another machine has the name (decisions 33 and 51)."""

    def seen(self, state: str | None, **more) -> Scan:
        return scan(machine("a", power=state, vmId="another", **more))

    @pytest.mark.parametrize(
        ("power", "state", "expected"),
        [
            (ON, "running", [OFF, ON]),
            (ON, "stopped", [OFF]),
            (OFF, "running", [ON]),
            (OFF, "stopped", []),
            (None, "running", [ON]),
        ],
    )
    def test_events(self, power, state, expected):
        found = changes(known("a", power), self.seen(state))
        assert [event.event_type for event in found.events] == expected
        assert list(found.vm_ids.values()) == ["another"]

    @pytest.mark.parametrize("power", [ON, OFF])
    def test_until_its_state_is_known_nothing_happens(self, power):
        stored = known("a", power)
        seen = self.seen(None, image={"id": "/gold"})
        assert not changes(stored, seen)
        assert unaccounted_images(stored, seen) == {IMAGE_ID}

    @pytest.mark.parametrize("image", [None, {"id": "/other"}])
    def test_it_has_its_own_image_or_none(self, image):
        found = changes(known("a", ON), self.seen("running", image=image))
        assert found.relinked == {ord("a"): None}
        assert changes(known("a", ON), scan(machine("a", image=None))).relinked == {}

    @pytest.mark.parametrize(("before", "now"), [(None, "x"), ("x", None), ("x", "X")])
    def test_an_id_that_is_not_told_replaces_nothing(self, before, now):
        stored = known("a", ON, vm_id=before)
        found = changes(stored, scan(machine("a", vmId=now)))
        assert found.events == []
        assert list(found.vm_ids.values()) == (["x"] if before is None else [])


def test_events_are_never_older_than_the_last_one():
    """As by a pause that a worker of an older version wrote whose clock was fast."""
    later = NOW + datetime.timedelta(seconds=3)
    found = changes(known("a", ON, changed_at=later), scan(machine("a", power="stopped")))
    assert events(found) == [(OFF, SIZE, later)]
    assert events(changes(known("a", ON, changed_at=later), scan())) == [(OFF, None, later)]


def test_ids_compare_without_case():
    entry = machine("a")
    shouting = entry | {"id": entry["id"].upper()}
    assert not changes(known("a", ON), scan(shouting))


def test_the_image_follows_the_machine():
    assert changes(known("a", ON, image_id=None), scan(machine("a"))).relinked == {
        ord("a"): IMAGE_ID
    }
    assert changes(known("a", ON, image_id=6), scan(machine("a"))).relinked == {ord("a"): IMAGE_ID}
    without = scan(machine("a", image=None))
    assert changes(known("a", ON, image_id=6), without).relinked == {}


def test_facts_are_kept_when_they_change():
    stored = known("a", ON)
    (key,) = stored
    assert changes(stored, scan(machine("a"))).facts == {}
    found = changes(stored, scan(machine("a", licenseType="RHEL_BYOS", priority="Spot")))
    assert found.facts[key] == replace(stored[key].facts, licenses=["RHEL_BYOS"], lifecycle="spot")
    custom = MachineFacts.of(transformed(machine("a", image={"id": "/gold"}, plan={"name": "n"})))
    assert custom.image == {
        "id": "/gold",
        "plan": {"name": "n", "publisher": None, "product": None},
    }
    assert MachineFacts.of(transformed(machine("a", image=None))).image is None


_states = st.dictionaries(
    st.sampled_from("abcdef"), st.sampled_from(["running", "stopped", "silent"])
)


@given(st.lists(st.tuples(_states, st.booleans())))
def test_polls_in_a_row(polls):
    """After each poll our books say what Azure said, as far as it said anything."""
    stored: dict[str, KnownMachine] = {}
    on: dict[str, bool] = {}
    for machines, is_complete in polls:
        seen = scan(problem=None if is_complete else AzureBusyError("x"))
        for name, state in machines.items():
            entry = machine(name, power=state)
            seen.add_machine(entry)
            if state != "silent":
                seen.add_state(entry)
                on[name] = state == "running"
        if is_complete:
            on = {name: name in machines and running for name, running in on.items()}
        found = changes(stored, seen)
        stored = _applied(stored, found)
        assert {key[-1]: known.power == ON for key, known in stored.items() if known.power} == on
        assert not changes(stored, seen), "the same again changes something"


def _applied(stored: dict[str, KnownMachine], found: Changes) -> dict[str, KnownMachine]:
    applied = dict(stored)
    for appeared in found.appeared:
        applied[appeared.key] = KnownMachine(id=len(applied), image_id=IMAGE_ID)
    for key, vm_id in found.vm_ids.items():
        applied[key] = replace(applied[key], vm_id=vm_id)
    for key, facts in found.facts.items():
        applied[key] = replace(applied[key], facts=facts)
    for event in found.events:
        size = event.instance_type or applied[event.key].size
        applied[event.key] = replace(applied[event.key], size=size)
        if event.event_type in {ON, OFF}:
            applied[event.key] = replace(applied[event.key], power=event.event_type)
    return applied
