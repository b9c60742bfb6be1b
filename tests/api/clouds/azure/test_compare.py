"""What a scan changes (spec 06 §5.2, §5.3)."""

import datetime
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.clouds.azure.compare import Changes, Facts, KnownInstance, compare
from api.clouds.azure.errors import AzureBusyError
from api.clouds.azure.scan import Scan
from api.clouds.azure.transform import ImageKey
from api.clouds.azure.transform import machine as transformed
from tests.api.clouds.azure.conftest import NOW, machine, scan

SIZE = "Standard_B1s"
IMAGE = ImageKey("redhat", "rhel", "82gen2")
IMAGE_ID = 5
EARLIER = NOW - datetime.timedelta(hours=1)
ON, OFF, CHANGE = "power_on", "power_off", "attribute_change"


def known(name: str, power: str | None = None, size: str | None = SIZE, **more) -> dict:
    found = transformed(machine(name))
    instance = KnownInstance(
        **{
            "id": ord(name),
            "image_id": IMAGE_ID,
            "power": power,
            "changed_at": EARLIER if power else None,
            "size": size,
            "facts": Facts.of(found),
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
    malformed = scan()
    malformed.add_machine({})
    assert not changes(stored, malformed)


def test_events_are_never_older_than_the_last_one():
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
    custom = Facts.of(transformed(machine("a", image={"id": "/gold"}, plan={"name": "n"})))
    assert custom.image == {
        "id": "/gold",
        "plan": {"name": "n", "publisher": None, "product": None},
    }
    assert Facts.of(transformed(machine("a", image=None))).image is None


_states = st.dictionaries(
    st.sampled_from("abcdef"), st.sampled_from(["running", "stopped", "silent"])
)


@given(st.lists(st.tuples(_states, st.booleans())))
def test_polls_in_a_row(polls):
    """After each poll our books say what Azure said, as far as it said anything."""
    stored: dict[str, KnownInstance] = {}
    on: dict[str, bool] = {}
    for machines, is_complete in polls:
        seen = Scan(problem=None if is_complete else AzureBusyError("x"))
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


def _applied(stored: dict[str, KnownInstance], found: Changes) -> dict[str, KnownInstance]:
    applied = dict(stored)
    for appeared in found.appeared:
        applied[appeared.key] = KnownInstance(id=len(applied), image_id=IMAGE_ID)
    for key, facts in found.facts.items():
        applied[key] = replace(applied[key], facts=facts)
    for event in found.events:
        size = event.instance_type or applied[event.key].size
        applied[event.key] = replace(applied[event.key], size=size)
        if event.event_type in {ON, OFF}:
            applied[event.key] = replace(applied[event.key], power=event.event_type)
    return applied
