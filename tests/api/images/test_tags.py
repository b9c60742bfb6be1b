"""Tags on an AMI that several customers use (spec 04 §8.7; README decisions 34, 52; fault 6)."""

import datetime
from collections import defaultdict

import pytest
import time_machine
from django.db import transaction
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from api.images.changes import change_images
from api.images.tags import (
    OPENSHIFT,
    RHEL,
    TAGS,
    ImageTagChange,
    SeenTags,
    forget_tags,
    store_tags,
)
from api.metering import recalculate
from api.models import ConcurrentUsage, ImageFact, ImageTags, MachineImage, StaleUsage
from tests import factories
from tests.factories import utc
from tests.threads import in_thread

NOON = utc("2023-03-10T12:00:00")
DAY = NOON.date()


def at(minutes):
    return NOON + datetime.timedelta(minutes=minutes)


class Environment:
    """Customer A with two AWS accounts, customer B with one; one AMI, on in each of them."""

    def __init__(self):
        self.users = {name: factories.make_user(date_joined=NOON) for name in "AB"}
        self.accounts = {
            name: factories.make_aws_account(user=self.users[name[0]])
            for name in ("A1", "A2", "B1")
        }
        self.image = factories.make_aws_image()
        for account in self.accounts.values():
            factories.make_run(
                instance=factories.make_instance(account=account, image=self.image), start=NOON
            )
        self.settle()

    def settle(self):
        for user in self.users.values():
            recalculate.recalculate_usage_of_user(user_id=user.id, since=DAY)

    def change(self, account, present, minutes, tag=RHEL):
        return ImageTagChange(
            self.accounts[account].id, self.image.id, tag, present, at(minutes), {"event_id": "e"}
        )

    def store(self, *changes, seen=()):
        return store_tags([self.change(*change) for change in changes], seen)

    def see(self, account, tags, minutes):
        shown = None if tags is None else frozenset(tags)
        account_id = self.accounts[account].id
        return store_tags([], [SeenTags(account_id, self.image.id, shown, at(60), at(minutes))])

    def set_base(self, is_rhel):
        change_images(
            image_ids=[self.image.id],
            change=lambda image: factories.set_rhel(image, is_rhel),
            reason=ImageFact.Reason.INSPECTION,
        )

    def withdrawn(self):
        """Return the customers with stale days."""
        stale = set(StaleUsage.objects.values_list("user_id", flat=True))
        return {name for name, user in self.users.items() if user.id in stale}

    def counts(self):
        """Let usage settle; give how many instances count for each customer."""
        self.settle()
        rows = ConcurrentUsage.objects.filter(date=DAY).values_list("user_id", "maximum_counts")
        found = {user_id: counts[0][-1] if counts else 0 for user_id, counts in rows}
        return {name: found[user.id] for name, user in self.users.items()}

    def told(self):
        """Return for whom the image is RHEL, as its history tells."""
        facts = ImageFact.objects.filter(machine_image=self.image).order_by("id")
        newest = {fact.user_id: fact.is_rhel for fact in facts}
        everybody = newest.get(None, False)
        return {name: everybody or newest.get(user.id, False) for name, user in self.users.items()}

    def flags(self):
        self.image.refresh_from_db()
        return self.image.rhel_detected_by_tag, self.image.openshift_detected, self.image.is_rhel


@pytest.fixture
def environment(db, queued):
    with time_machine.travel(at(60), tick=False):
        yield Environment()


def test_a_tag_counts_for_the_customer_in_whose_account_it_was_made(environment):
    environment.store(("A1", True, 1))
    assert environment.withdrawn() == {"A"}
    assert environment.counts() == {"A": 2, "B": 0}
    assert environment.flags() == (True, False, True)
    fact = ImageFact.objects.get()
    assert (fact.user, fact.is_rhel, fact.reason, fact.ref) == (
        environment.users["A"],
        True,
        "tag",
        "e",
    )


def test_taking_a_tag_off_leaves_another_customers_alone(environment):
    environment.store(("A1", True, 1), ("B1", True, 2))
    assert environment.counts() == {"A": 2, "B": 1}
    assert environment.store(("A1", False, 3)) == {environment.image.id}
    assert environment.withdrawn() == {"A"}
    assert environment.counts() == {"A": 0, "B": 1}
    assert environment.flags() == (True, False, True)
    environment.store(("B1", False, 4))
    assert environment.counts() == {"A": 0, "B": 0}
    assert environment.flags() == (False, False, False)


def test_a_customers_accounts_each_have_their_tags(environment):
    """AWS shows a tag to the account that made it, so no other account removes it."""
    environment.store(("A1", True, 1), ("A2", False, 2))
    assert environment.counts() == {"A": 2, "B": 0}
    environment.store(("A2", True, 3), ("A1", False, 4))
    assert environment.withdrawn() == set()
    assert environment.counts() == {"A": 2, "B": 0}


def test_openshift_moves_no_count(environment):
    environment.store(("A1", True, 1, OPENSHIFT))
    assert environment.withdrawn() == set()
    assert environment.flags() == (False, True, False)
    assert not ImageFact.objects.exists()


def test_changes_that_come_late_or_again_change_nothing(environment):
    environment.store(("A1", True, 5))
    environment.counts()
    assert environment.store(("A1", False, 4)) == set()
    environment.store(("A1", True, 5))
    assert environment.withdrawn() == set()
    assert ImageFact.objects.count() == 1
    assert environment.counts() == {"A": 2, "B": 0}


def test_of_one_instant_the_later_change_counts(environment):
    environment.store(("A1", True, 1), ("A1", False, 1))
    assert environment.counts() == {"A": 0, "B": 0}
    environment.store(("A1", False, 2), ("A1", True, 2))
    assert environment.counts() == {"A": 2, "B": 0}


def test_what_aws_shows_an_account_counts_for_its_customer(environment):
    environment.see("B1", {RHEL}, 0)
    assert environment.counts() == {"A": 0, "B": 1}
    environment.see("A1", set(), 1)
    assert environment.counts() == {"A": 0, "B": 1}
    environment.see("B1", set(), 30)
    assert environment.counts() == {"A": 0, "B": 0}


def test_logs_know_better_than_descriptions(environment):
    """A description tells of the time before the account was enabled, and may lag behind."""
    environment.store(("A1", True, 10))
    environment.see("A1", set(), 10)
    assert environment.counts() == {"A": 2, "B": 0}
    environment.see("A1", set(), 11)
    assert environment.counts() == {"A": 0, "B": 0}


def test_an_image_that_aws_does_not_show_keeps_its_tags(environment):
    environment.store(("A1", True, 1))
    environment.see("A1", None, 30)
    assert environment.counts() == {"A": 2, "B": 0}
    assert ImageTags.objects.get().described_at == at(60)


def test_an_inspection_withdraws_nothing_of_who_has_told_before(environment):
    environment.store(("A1", True, 1))
    environment.settle()
    environment.set_base(True)
    assert environment.withdrawn() == {"B"}
    assert environment.counts() == {"A": 2, "B": 1}
    environment.set_base(False)
    assert environment.withdrawn() == {"B"}
    assert environment.counts() == {"A": 2, "B": 0}


def test_a_tag_on_what_is_rhel_anyway_withdraws_nothing(environment):
    environment.set_base(True)
    environment.settle()
    environment.store(("A1", True, 1))
    environment.store(("A1", False, 2))
    assert environment.withdrawn() == set()
    environment.set_base(False)
    assert environment.counts() == {"A": 0, "B": 0}


def test_other_facets_of_an_image_are_everybodys(environment):
    environment.store(("A1", True, 1))
    environment.settle()
    change_images(
        image_ids=[environment.image.id],
        change=lambda image: setattr(image, "architecture", "arm64"),
        reason=ImageFact.Reason.DESCRIBE,
    )
    assert environment.withdrawn() == {"A", "B"}


def test_an_accounts_tags_go_with_it(environment):
    environment.store(("A1", True, 1), ("B1", True, 1))
    environment.settle()
    assert forget_tags(account_id=environment.accounts["A1"].id) == {environment.image.id}
    assert environment.withdrawn() == {"A"}
    assert environment.counts() == {"A": 0, "B": 1}
    assert forget_tags(account_id=environment.accounts["B1"].id) == {environment.image.id}
    assert environment.flags() == (False, False, False)


def test_tags_of_many_images_are_stored_in_few_statements(
    environment, django_assert_max_num_queries
):
    images = [factories.make_aws_image() for _ in range(150)]
    changes = [
        ImageTagChange(environment.accounts["A1"].id, image.id, tag, True, NOON, {})
        for image in images
        for tag in TAGS
    ]
    with django_assert_max_num_queries(12):
        store_tags(changes)
    assert ImageTags.objects.filter(rhel=True, openshift=True).count() == 150
    assert MachineImage.objects.filter(rhel_detected_by_tag=True).count() == 150
    assert ImageFact.objects.count() == 150


def test_an_image_erased_meanwhile_has_no_tags(environment):
    change = ImageTagChange(environment.accounts["A1"].id, 0, RHEL, True, NOON, {})
    assert store_tags([change]) == set()


@pytest.mark.django_db(transaction=True)
def test_a_calculation_waits_for_a_change_of_tags(transactional_db, queued):
    """Marks are read after the images are locked: the count is never that of before the change."""
    with time_machine.travel(at(60), tick=False):
        environment = Environment()
        user = environment.users["A"]
        with transaction.atomic():
            environment.store(("A1", True, 1))
            waiting = in_thread(lambda: _calculate_again(user))
            with pytest.raises(TimeoutError):
                waiting.result(1)
        waiting.result(60)
        assert environment.counts() == {"A": 2, "B": 0}


def _calculate_again(user):
    factories.make_stale(user=user, first_day=DAY)
    recalculate.recalculate_usage_of_user(user_id=user.id, since=DAY)


class Reference:
    """Decision 34 as literally as it reads: the newest change of each account's tag counts."""

    def __init__(self):
        self.base = False
        self.events = defaultdict(list)

    def change(self, account, present, minutes):
        self.events[account].append((minutes, len(self.events[account]), present))

    def forget(self, account):
        self.events.pop(account, None)

    def is_rhel(self, customer):
        own = [max(events)[-1] for name, events in self.events.items() if name[0] == customer]
        return self.base or any(own)


accounts = st.sampled_from(["A1", "A2", "B1"])
minutes = st.integers(-30, 30)
operations = st.lists(
    st.one_of(
        st.tuples(st.just("tag"), accounts, st.booleans(), minutes),
        st.tuples(st.just("see"), accounts, st.booleans(), minutes),
        st.tuples(st.just("forget"), accounts),
        st.tuples(st.just("inspect"), st.booleans()),
    ),
    max_size=12,
)


@pytest.mark.django_db
@settings(
    deadline=None,
    max_examples=40,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(operations=operations)
def test_any_history_equals_the_reference(queued, operations):
    with time_machine.travel(at(60), tick=False):
        environment, reference = Environment(), Reference()
        for kind, *values in operations:
            before = {name: reference.is_rhel(name) for name in "AB"}
            if kind == "tag":
                reference.change(*values)
                environment.store(tuple(values))
            elif kind == "see":
                account, present, when = values
                reference.change(account, present, when - 0.5)
                environment.see(account, {RHEL} if present else set(), when)
            elif kind == "forget":
                reference.forget(*values)
                forget_tags(account_id=environment.accounts[values[0]].id)
            else:
                (reference.base,) = values
                environment.set_base(*values)
            after = {name: reference.is_rhel(name) for name in "AB"}
            assert environment.withdrawn() == {name for name in "AB" if before[name] != after[name]}
            assert environment.told() == after
            assert environment.counts() == {"A": 2 * after["A"], "B": 1 * after["B"]}
            assert environment.flags()[2] == any(after.values())
