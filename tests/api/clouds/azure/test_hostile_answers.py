"""Answers that no Azure should give (issue 14): each costs what it is about, and nothing more."""

import copy
import datetime
import random
import string
from contextlib import suppress
from typing import Any
from uuid import UUID

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from api.clouds.azure import bounded, describe
from api.clouds.azure.assignments import remove_assignment
from api.clouds.azure.discovery import discover_account, poll_subscription
from api.clouds.azure.errors import AzureBusyError
from api.models import DescribeRun, Instance, MachineImage, Run
from deployment.local import azure_resources as resources
from deployment.local.azure import AzureControl
from deployment.local.azure_resources import assignment
from tests.api.clouds.azure.conftest import SUBSCRIPTION, calls, machine, powers
from tests.factories import make_azure_account

pytestmark = pytest.mark.django_db

HOUR = datetime.timedelta(hours=1)
V1 = "Compute/virtualMachines\\?api[^&]*$"
V2 = "statusOnly"
V3 = "ScaleSets\\?"
V4 = "ScaleSets/web/"

NO_LINKS: list[Any] = [7, 0, 1.5, True, False, [], {}, ["/next"], {"href": "/next"}]


def member(number: int, **more: Any) -> dict[str, Any]:
    return resources.machine(resources.scale_set_machine_id(SUBSCRIPTION, "web", number), **more)


def poll() -> None:
    """Poll, whatever becomes of it."""
    with suppress(AzureBusyError):
        poll_subscription(subscription_id=SUBSCRIPTION)


def show(azure: AzureControl, names: str, numbers: str = "0", **more: Any) -> None:
    azure.delegate(
        SUBSCRIPTION,
        machines=[machine(name, **more) for name in names],
        scale_sets=[resources.scale_set("web", *(member(int(one)) for one in numbers))],
    )


class TestLinksThatAreNoText:
    """What a page has counts, although nobody knows what would have followed."""

    @pytest.mark.parametrize("link", NO_LINKS)
    @pytest.mark.parametrize("what", [describe.machines, describe.skus, describe.assignments])
    def test_the_entries_of_the_page_come_before_the_failure(self, azure, what, link):
        azure.fail("/subscriptions/", status=200, body={"value": [1, {}], "nextLink": link})
        found = what(SUBSCRIPTION)
        assert [next(found), next(found)] == [1, {}]
        with pytest.raises(AzureBusyError) as raised:
            next(found)
        assert raised.value.code == "MalformedLink"

    def test_what_states_show_as_stopped_ends_and_nothing_else(self, azure, account, clock):
        show(azure, "ab")
        discover_account(account_id=account.id)
        clock.shift(HOUR)
        stopped = resources.machine(machine("a")["id"], power="deallocated")
        azure.fail(V2, status=200, body={"value": [stopped], "nextLink": 7})
        azure.delegate(SUBSCRIPTION, machines=[])
        poll()
        assert powers("a") == ["power_on", "power_off"]
        assert powers("b") == ["power_on"]

    def test_of_a_scale_set(self, azure, account, clock):
        show(azure, "", "01")
        discover_account(account_id=account.id)
        clock.shift(HOUR)
        azure.fail(V4, status=200, body={"value": [member(0, power="stopped")], "nextLink": {}})
        poll()
        assert powers("0") == ["power_on", "power_off"]
        assert powers("1") == ["power_on"]


class TestAssignments:
    """What is malformed among them costs itself, so the delegation is given back."""

    @pytest.mark.parametrize(
        "bad",
        [
            *(None, 7, "x", [], {}, {"id": 7}, {"properties": "x"}),
            {"id": [], "name": {}, "properties": {"provisioningState": {}}},
            assignment(SUBSCRIPTION, "n2") | {"name": 7},
            assignment(SUBSCRIPTION, "n2") | {"name": {"x": 1}},
            assignment(SUBSCRIPTION, "n2") | {"name": ".."},
            assignment(SUBSCRIPTION, "n2") | {"properties": [1]},
            {**assignment("1" * 36, "n2"), "properties": {"registrationDefinition": 7}},
            {"properties": {"registrationDefinition": {"properties": {"authorizations": 7}}}},
        ],
    )
    def test_a_malformed_entry_costs_itself(self, azure, bad):
        entries = {"value": [bad, assignment(SUBSCRIPTION, "n1"), bad]}
        azure.fail("GET .*registrationAssignments", status=200, body=entries)
        remove_assignment(subscription_id=UUID(SUBSCRIPTION))
        (deletion,) = [one for one in azure.requests() if one["method"] == "DELETE"]
        assert deletion["path"].endswith("/registrationAssignments/n1")

    def test_pages(self, azure):
        link = f"{azure.base_url}/subscriptions/{SUBSCRIPTION}/registrationAssignments?skip=1"
        azure.fail("skip=1", status=200, body={"value": [2]})
        azure.fail("registrationAssignments", status=200, body={"value": [1], "nextLink": link})
        assert list(describe.assignments(SUBSCRIPTION)) == [1, 2]
        assert calls(azure) == ["login", "L1", "L1"]


class TestIds:
    @pytest.mark.parametrize("name", ["\u00c9-RG", "\u0130stanbul", "\u03a3\u0391\u03a3", "\u1e9e"])
    def test_capitals_of_any_alphabet(self, azure, account, clock, name):
        """Azure takes any letter in the name of a group; PostgreSQL's small letters are others."""
        for spelling in (name, name, name.lower()):
            azure.delegate(SUBSCRIPTION, machines=[machine(spelling), machine("b")])
            poll()
            assert DescribeRun.objects.latest("id").outcome == "ok"
            clock.shift(HOUR)
        assert Instance.objects.count() == 2
        assert powers(name) == ["power_on"]
        azure.delegate(SUBSCRIPTION, machines=[machine("b")])
        poll()
        assert powers(name) == ["power_on", "power_off"]

    @pytest.mark.parametrize("length", [2_500, 10_000, 1_000_000])
    def test_one_that_no_index_holds_costs_itself(self, azure, account, length):
        long = "".join(random.Random(length).choices(string.ascii_letters, k=length))
        show(azure, "a")
        azure.delegate(SUBSCRIPTION, machines=[machine(long), machine("a")])
        poll()
        assert powers("a") == ["power_on"]
        assert Instance.objects.count() == 1
        assert DescribeRun.objects.get().error_code == "MalformedEntry"

    @pytest.mark.parametrize("part", ["publisher", "offer", "sku", "id", "version", "exactVersion"])
    def test_an_image_that_no_index_holds_costs_itself(self, azure, account, part):
        long = "".join(random.Random(1).choices(string.ascii_letters, k=10_000))
        image = {"publisher": "p", "offer": "o", "id": "/i", part: long}
        azure.delegate(SUBSCRIPTION, machines=[machine("x", image=image), machine("a")])
        poll()
        assert powers("a") == powers("x") == ["power_on"]
        assert MachineImage.objects.filter(cloud_image_id="82gen2").exists()

    def test_the_longest_that_are_stored(self, azure, account):
        letters = random.Random(2)

        def text(length: int) -> str:
            return "".join(letters.choices(string.ascii_letters, k=length))

        path = machine("")["id"]
        image = {"publisher": text(600), "offer": text(600), "sku": text(600)}
        azure.delegate(
            SUBSCRIPTION, machines=[machine(text(2000 - len(path)), image=image), machine("a")]
        )
        poll()
        assert Instance.objects.count() == 2
        assert MachineImage.objects.filter(publisher=image["publisher"]).exists()


class TestDuplicates:
    """An entry may come twice, where machines come and go while the list is read."""

    @pytest.fixture
    def running(self, azure, account, clock):
        show(azure, "ab")
        discover_account(account_id=account.id)
        clock.shift(HOUR)

    def state(self, name: str, power: str | None) -> dict[str, Any]:
        return resources.machine(machine(name)["id"], power=power)

    @pytest.mark.parametrize(
        ("states", "expected"),
        [
            (["running", "running"], ["power_on"]),
            (["deallocated", "stopped"], ["power_on", "power_off"]),
            ([None, "deallocated", None], ["power_on", "power_off"]),
            (["running", "deallocated"], ["power_on"]),
            (["deallocated", "running"], ["power_on"]),
            (["deallocated", "running", "deallocated"], ["power_on"]),
        ],
    )
    def test_states_that_contradict_each_other_end_nothing(self, azure, running, states, expected):
        entries = [self.state("a", power) for power in states]
        entries[-1]["id"] = entries[-1]["id"].upper()
        azure.fail(V2, status=200, body={"value": [*entries, self.state("b", "stopped")]})
        poll()
        assert powers("a") == expected
        assert powers("b") == ["power_on", "power_off"]

    def test_a_set_whose_machines_go_by_other_names_ends_none(self, azure, running):
        stranger = machine("elsewhere")
        azure.fail(V4, status=200, body={"value": [stranger]})
        poll()
        assert powers("0") == ["power_on"]

    @pytest.mark.parametrize("name", ["other", "..", "."])
    def test_a_set_with_two_names_is_not_asked_for(self, azure, running, name):
        entry = resources.scale_set("web")
        full_id = member(0)["id"].partition("/virtualMachines/")[0]
        azure.fail(V3, status=200, body={"value": [{**entry, "id": full_id, "name": name}]})
        poll()
        assert powers("0") == ["power_on"]


class TestTokens:
    """A revoked token would be used until it expires, an hour later or a day."""

    def test_one_that_is_refused_is_renewed_at_once(self, azure, account):
        show(azure, "a")
        azure.fail(V2, status=401, times=1)
        poll()
        assert calls(azure).count("login") == 2
        assert DescribeRun.objects.get().outcome == "ok"

    def test_what_is_refused_again_is_not_repeated_for_ever(self, azure, account, clock):
        show(azure, "a")
        azure.fail(V2, status=401)
        poll()
        assert calls(azure).count("login") == 2
        assert DescribeRun.objects.get().outcome == "denied"


def test_an_answer_without_end_breaks_its_list_off(azure, account, monkeypatch):
    show(azure, "a")
    monkeypatch.setattr(bounded, "MOST_BYTES", 100)
    poll()
    assert DescribeRun.objects.get().error_code == "HugeAnswer"
    monkeypatch.undo()


JUNK = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.sampled_from(["", "x", "\0", "\ud800", "/", "..", "a" * 5000, "\u0130"])
    | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["id", "code", "name", "properties", "x"]), inner)
    ),
    max_leaves=5,
)


def paths(value: Any, before: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Every place in a piece of JSON."""
    inner = value.items() if isinstance(value, dict) else enumerate(value)
    found = [before] if before else []
    for key, one in inner:
        found += paths(one, (*before, key)) if isinstance(one, dict | list) else [(*before, key)]
    return found


def spoil(entry: Any, path: tuple[Any, ...], junk: Any) -> None:
    for key in path[:-1]:
        entry = entry[key]
    entry[path[-1]] = junk


@settings(
    max_examples=20,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
    phases=[Phase.explicit, Phase.reuse, Phase.generate],
)
@given(data=st.data())
def test_whatever_is_wrong_with_an_entry_costs_no_other_one(azure, clock, monkeypatch, data):
    """One entry of a poll is spoilt anywhere, and junk stands between the others."""
    account = make_azure_account()
    subscription_id = str(account.subscription_id)

    def truth(power: dict[str, str]) -> dict[str, list[Any]]:
        singles = [
            resources.machine(resources.machine_id(subscription_id, name), power=power[name])
            for name in "abc"
        ]
        members = [
            resources.machine(
                resources.scale_set_machine_id(subscription_id, "web", number),
                power=power[str(number)],
            )
            for number in range(2)
        ]
        web = members[0]["id"].partition("/virtualMachines/")[0]
        sets = [{"id": web, "name": "web", "properties": {"orchestrationMode": "Uniform"}}]
        return copy.deepcopy({"V1": singles, "V2": singles, "V3": sets, "V4": members})

    def show_lists(lists: dict[str, list[Any]]) -> None:
        monkeypatch.setattr(describe, "machines", lambda _: iter(lists["V1"]))
        monkeypatch.setattr(describe, "machine_states", lambda _: iter(lists["V2"]))
        monkeypatch.setattr(describe, "scale_sets", lambda _: iter(lists["V3"]))
        monkeypatch.setattr(describe, "scale_set_machines", lambda *_: iter(lists["V4"]))
        monkeypatch.setattr(describe, "image_versions", lambda *_, **__: data.draw(JUNK))

    def on() -> set[str]:
        open_runs = Run.objects.filter(end_time=None, instance__cloud_account=account)
        names = open_runs.values_list("instance__cloud_instance_id", flat=True)
        # An entry without a good id may make one of its own, such as "a".
        return {name.rpartition("/")[2] for name in names if "/virtualMachines/" in name}

    powers_of = st.fixed_dictionaries(
        dict.fromkeys("abc01", st.sampled_from(["running", "deallocated"]))
    )
    before, after = data.draw(powers_of), data.draw(powers_of)
    for power, is_spoilt in ((before, False), (after, True), (after, False)):
        clock.shift(HOUR)
        lists = truth(power)
        spoilt = ""
        was_on = on()
        if is_spoilt:
            name = data.draw(st.sampled_from(sorted(lists)))
            number = data.draw(st.integers(0, len(lists[name]) - 1))
            entry = lists[name][number]
            spoilt = {"V1": "abc", "V2": "abc", "V3": "01", "V4": "01"}[name]
            spoilt = spoilt if name == "V3" else spoilt[number]
            spoil(entry, data.draw(st.sampled_from(paths(entry))), data.draw(JUNK))
            for junk in data.draw(st.lists(JUNK, max_size=2)):
                lists[data.draw(st.sampled_from(sorted(lists)))].insert(0, junk)
        show_lists(lists)
        poll_subscription(subscription_id=subscription_id)
        now = {name for name, state in power.items() if state == "running"}
        assert on() - set(spoilt) == now - set(spoilt)
        assert was_on & now <= on(), "a machine ended that is on"
