"""Histories of a subscription, with failures of any list of any poll (fault 5).

Machines appear, start, stop, are replaced, are moved and vanish, with scale sets and without; lists
break off in every way and at any page; polls are stored late, and the application is paused. No
machine may end in our books that is on, or be on twice; what is not spoilt by a failure is right at
once, and everything once a poll is whole. What is over stays as it was, whatever comes later.
"""

import datetime
import uuid
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any
from uuid import UUID

import pytest
from django.db.models import QuerySet
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from api.accounts.lifecycle import pause_application
from api.accounts.states import KAFKA
from api.clouds.azure.discovery import poll_subscription
from api.clouds.azure.errors import AzureBusyError
from api.clouds.azure.load import Polled, store_scan
from api.clouds.azure.reader import scan_subscription
from api.metering.rebuild import rebuild
from api.models import CloudAccount, InstanceEvent, Run
from deployment.local import azure_resources as resources
from deployment.local.azure import AzureControl
from tests.api.clouds.azure.conftest import forget
from tests.factories import make_azure_account
from util import postgres

pytestmark = [pytest.mark.django_db, pytest.mark.random_history]

HOUR = datetime.timedelta(hours=1)
MINUTE = datetime.timedelta(minutes=1)
OUTSIDE = ""
SCALE_SETS = ("web", "db")
PLACES = [(scale_set, number) for scale_set in (OUTSIDE, *SCALE_SETS) for number in range(3)]
IMAGES = ("82gen2", "other", None)

LISTS = {
    "V1": "Compute/virtualMachines\\?api[^&]*$",
    "V2": "Compute/virtualMachines\\?.*statusOnly",
    "V3": "ScaleSets\\?",
    "web": "ScaleSets/web/",
    "db": "ScaleSets/db/",
}
FAULTS: dict[str, dict[str, Any]] = {
    "out of order": {"status": 500},
    "throttled": {"status": 429, "retry_after": 3600},
    "refused": {"status": 403, "code": "AuthorizationFailed"},
    "bad request": {"status": 400, "code": "BadRequest"},
    "withdrawn": {"status": 404, "code": "SubscriptionNotFound"},
    "no such page": {"status": 404, "body": "<html>404"},
    "a page of somebody else": {"status": 200, "body": "<html>"},
    "no list": {"status": 200, "body": {"nextLink": None}},
    "malformed": {"status": 200, "body": {"value": [{"name": "no id"}]}},
    "led away": {"status": 307, "location": "https://localhost/"},
    "logged out": {"status": 401},
}
ENDS_THE_POLL = {"logged out", "throttled"}
"""After these other lists may not be asked for."""

IMAGE_OF_A_RUN = ("instance__cloud_instance_id", "machine_image__cloud_image_id")

Place = tuple[str, int]


@dataclass(frozen=True)
class Machine:
    """A machine as it truly is."""

    on: bool
    image: str | None
    vm_id: str = field(default_factory=lambda: str(uuid.uuid4()))


@dataclass
class Subscription:
    """The subscription as it truly is, and what we have of it in our books."""

    azure: AzureControl
    account: CloudAccount
    machines: dict[Place, Machine] = field(default_factory=dict)

    @property
    def subscription_id(self) -> str:
        return str(self.account.subscription_id)

    def show(self) -> None:
        """Let Azure have what there is."""
        shown = {place: self.shown(place) for place in self.machines}
        self.azure.delegate(
            self.subscription_id,
            machines=[one for (scale_set, _), one in shown.items() if scale_set == OUTSIDE],
            scale_sets=[
                resources.scale_set(name, *(one for (of, _), one in shown.items() if of == name))
                for name in SCALE_SETS
                if any(of == name for of, _ in shown)
            ],
        )

    def shown(self, place: Place) -> dict:
        machine = self.machines[place]
        return resources.machine(
            self.resource_id(place),
            power="running" if machine.on else "deallocated",
            image={**resources.RHEL_IMAGE, "sku": machine.image} if machine.image else None,
            vmId=machine.vm_id,
        )

    def resource_id(self, place: Place) -> str:
        scale_set, number = place
        if scale_set == OUTSIDE:
            return resources.machine_id(self.subscription_id, f"m{number}")
        return resources.scale_set_machine_id(self.subscription_id, scale_set, number)

    def truth(self) -> dict[Place, str | None]:
        """The images of what is on."""
        return {place: machine.image for place, machine in self.machines.items() if machine.on}

    def books(self) -> dict[Place, str | None]:
        """The images of what is on as far as we know."""
        return self.placed(self.runs().filter(end_time=None).values_list(*IMAGE_OF_A_RUN))

    def past(self) -> set[tuple[Any, ...]]:
        """What was on and is not any more, as far as we know: from when to when, and its image."""
        ended = self.runs().filter(end_time__isnull=False)
        return set(ended.values_list(*IMAGE_OF_A_RUN, "start_time", "end_time"))

    def runs(self) -> QuerySet[Run]:
        return Run.objects.filter(instance__cloud_account=self.account)

    def going_on(self) -> set[Place]:
        """Where the machine is on that we know."""
        known = self.placed(self.account.instances.values_list("cloud_instance_id", "vm_id"))
        return {
            place
            for place, machine in self.machines.items()
            if machine.on and known.get(place) == machine.vm_id
        }

    def ended(self) -> set[Place]:
        """What the newest poll ended."""
        newest = str(self.account.describe_runs.latest("id").id)
        events = InstanceEvent.objects.filter(source_id=newest, event_type="power_off")
        return set(self.placed(events.values_list("instance__cloud_instance_id", "id")))

    def twice(self) -> set[str | None]:
        """The ids of machines that are on more than once as far as we know."""
        ids = list(self.runs().filter(end_time=None).values_list("instance__vm_id", flat=True))
        return {vm_id for vm_id in ids if ids.count(vm_id) > 1}

    def placed(self, rows: Iterable[tuple[str, Any]]) -> dict[Place, Any]:
        """Return values by the places of the machines whose resource ids they come with."""
        places = {self.resource_id(place): place for place in PLACES}
        return {places[name]: value for name, value in rows}


machines = st.builds(Machine, on=st.booleans(), image=st.sampled_from(IMAGES))
changes = st.dictionaries(
    st.sampled_from(PLACES), machines | st.sampled_from(["vanish", "switch", "move"]), max_size=4
)
failures = st.tuples(st.sampled_from(list(FAULTS)), st.sampled_from(["first page", "later page"]))
some_lists = st.dictionaries(st.sampled_from(list(LISTS)), failures, max_size=3)
one_list = st.dictionaries(st.sampled_from(list(LISTS)), failures, min_size=1, max_size=1)
beginnings = st.fixed_dictionaries(dict.fromkeys(PLACES, machines))
happenings = st.sampled_from(["", "", "a poll is stored late", "a pause ends", "a pause lasts"])
steps = st.tuples(changes, one_list | some_lists, happenings)
histories = st.lists(steps, min_size=2, max_size=5)


def change(subscription: Subscription, what: dict) -> None:
    """Make changes happen."""
    for place, new in what.items():
        if isinstance(new, Machine):
            subscription.machines[place] = new
        elif place in subscription.machines and new == "vanish":
            del subscription.machines[place]
        elif place in subscription.machines and new == "move":
            free = [other for other in PLACES if other not in subscription.machines]
            if free:
                subscription.machines[free[0]] = subscription.machines.pop(place)
        elif place in subscription.machines:
            old = subscription.machines[place]
            subscription.machines[place] = replace(old, on=not old.on)


def scan(subscription: Subscription) -> Callable[[], Any]:
    """Begin a poll as another worker does; return what stores it."""
    polled = Polled(subscription.account.id, UUID(subscription.subscription_id), postgres.now())
    seen = scan_subscription(subscription.subscription_id, known_images=set())
    return lambda: store_scan(polled, seen)


def pause(subscription: Subscription) -> None:
    pause_application(application_id=subscription.account.platform_application_id, trigger=KAFKA)
    assert not subscription.books()


def end_pause(subscription: Subscription) -> None:
    """End a pause as the message does, but for what asks Azure."""
    CloudAccount.objects.filter(id=subscription.account.id).update(
        is_enabled=True, platform_application_is_paused=False, enabled_at=postgres.now()
    )


def break_lists(subscription: Subscription, broken: dict[str, tuple[str, str]]) -> dict[str, str]:
    """Let lists fail; return how those fail whose page there is."""
    failing = {}
    for name, (fault, page) in broken.items():
        is_later = page == "later page"
        subscription.azure.fail(LISTS[name] + (".*skiptoken" if is_later else ""), **FAULTS[fault])
        if not is_later or entries(subscription, name) > 1:
            failing[name] = fault
    return failing


def entries(subscription: Subscription, name: str) -> int:
    """How long a list is; pages have one entry."""
    if name == "V3":
        return len({scale_set for scale_set, _ in subscription.machines} - {OUTSIDE})
    of = OUTSIDE if name in {"V1", "V2"} else name
    return sum(scale_set == of for scale_set, _ in subscription.machines)


def right_places(failing: dict[str, str]) -> Iterator[Place]:
    """Where our books have to be right after a poll with these failures."""
    if ENDS_THE_POLL & set(failing.values()) or failing.keys() & {"V1", "V2"}:
        return
    if "withdrawn" in failing.values():
        return
    for scale_set, number in PLACES:
        if scale_set == OUTSIDE or ("V3" not in failing and scale_set not in failing):
            yield scale_set, number


def restricted(books: dict[Place, str | None], places: list[Place]) -> dict[Place, str | None]:
    return {place: books[place] for place in places if place in books}


@settings(
    max_examples=25,
    derandomize=True,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
    # A history is short, but takes a second: no time is spent on shortening it.
    phases=[Phase.explicit, Phase.reuse, Phase.generate],
)
@given(beginning=beginnings, history=histories)
def test_no_history_ends_what_is_on_or_keeps_what_is_not(azure, clock, beginning, history):
    subscription = Subscription(azure, make_azure_account())
    past: set[tuple[Any, ...]] = set()
    for what, broken, happening in [(beginning, {}, ""), *history, ({}, {}, "")]:
        store_late = scan(subscription) if happening else None
        clock.shift(HOUR)
        forget()
        if happening.startswith("a pause"):
            pause(subscription)
        azure.reset()
        azure.set_page_size(1)
        change(subscription, what)
        subscription.show()
        failing = break_lists(subscription, broken)
        known, going_on = subscription.books(), subscription.going_on()
        if happening == "a pause lasts":
            poll_subscription(subscription_id=subscription.subscription_id)
            assert not subscription.books()
        if happening.startswith("a pause"):
            clock.shift(MINUTE)
            end_pause(subscription)
        with suppress(AzureBusyError):
            poll_subscription(subscription_id=subscription.subscription_id)
        if store_late is not None:
            assert store_late() is None, "a poll that is outdated was stored"
        assert past <= (past := subscription.past()), "what was over has changed"
        assert not subscription.twice(), "one machine is on under two names"
        assert not subscription.ended() & going_on, "a machine ended that is on"
        places = list(right_places(failing))
        assert restricted(subscription.books(), places) == restricted(subscription.truth(), places)
        if not failing:
            assert subscription.books() == subscription.truth()
        if "V2" not in failing and "logged out" not in failing.values():
            stopped = {place for place, machine in subscription.machines.items() if not machine.on}
            shown = {place for place in stopped if place[0] == OUTSIDE and place in known}
            assert not shown & subscription.books().keys(), "what is shown as stopped goes on"
    rebuild(user_id=subscription.account.user_id)
    assert (subscription.past(), subscription.books()) == (past, subscription.truth())
