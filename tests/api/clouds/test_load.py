"""Storing instances, events and facts in bulk (spec 04 §8.8, §9.1; 09 P1, P5, P8)."""

from datetime import UTC, datetime, timedelta

import pytest

from api.clouds.facts import Observation, save_facts
from api.clouds.load import (
    FoundInstance,
    NewEvent,
    known_instances,
    power_states,
    save_events,
    save_instances,
)
from api.models import DescribeRun, Instance, InstanceEvent, InstanceFact
from tests.factories import (
    make_aws_account,
    make_aws_image,
    make_azure_account,
    make_event,
    make_instance,
)

pytestmark = pytest.mark.django_db

NOON = datetime(2020, 1, 2, 12, tzinfo=UTC)


@pytest.fixture
def account():
    return make_aws_account()


def save(*found):
    return save_instances(cloud_type="aws", found=found)


def event(instance, event_type="power_on", at=NOON, **others):
    defaults = {"instance_type": None, "subnet": None, "origin": "cloudtrail"}
    return NewEvent(instance.id, instance.cloud_account_id, event_type, at, **(defaults | others))


class TestInstances:
    def test_new_ones(self, account):
        image = make_aws_image()
        saved = save(
            FoundInstance("i-1", account.id, "us-east-1", image.id),
            FoundInstance("i-2", account.id, "eu-west-1", None),
        )
        rows = Instance.objects.order_by("cloud_instance_id")
        assert list(rows.values_list("cloud_instance_id", "region", "machine_image_id")) == [
            ("i-1", "us-east-1", image.id),
            ("i-2", "eu-west-1", None),
        ]
        assert saved.added == {row.id for row in rows}
        assert saved.of(account.id, "i-1").id == rows[0].id
        assert saved.of(account.id, "I-1").id == rows[0].id

    def test_nothing(self):
        assert save().known == {}
        assert known_instances(cloud_type="aws", cloud_instance_ids=[]) == {}
        assert save_events([]) == []
        assert save_facts([]) == []

    def test_again(self, account):
        found = FoundInstance("i-1", account.id, "us-east-1", None)
        save(found)
        saved = save(found, found)
        assert Instance.objects.count() == 1
        assert (saved.added, saved.image_filled) == (set(), set())

    def test_ids_compare_in_any_case(self, account):
        save(FoundInstance("I-One", account.id, "us-east-1", None))
        saved = save(FoundInstance("i-oNE", account.id, "us-east-1", None))
        assert saved.added == set()
        assert Instance.objects.get().cloud_instance_id == "I-One"

    def test_an_image_that_any_mention_knows(self, account):
        image = make_aws_image()
        save(
            FoundInstance("i-1", account.id, "us-east-1", None),
            FoundInstance("i-1", account.id, "us-east-1", image.id),
        )
        assert Instance.objects.get().machine_image == image

    def test_an_image_at_last(self, account):
        known = make_instance(account=account)
        image = make_aws_image()
        saved = save(FoundInstance(known.cloud_instance_id, account.id, "us-east-1", image.id))
        assert saved.image_filled == {known.id}
        assert saved.of(account.id, known.cloud_instance_id).image_id == image.id
        known.refresh_from_db()
        assert known.machine_image == image

    def test_a_known_image_stays(self, account):
        image = make_aws_image()
        known = make_instance(account=account, image=image)
        for other in (None, make_aws_image().id):
            saved = save(FoundInstance(known.cloud_instance_id, account.id, "us-east-1", other))
            assert saved.image_filled == set()
        known.refresh_from_db()
        assert known.machine_image == image

    def test_another_accounts_instance_stays_its_own(self, account):
        known = make_instance(account=make_aws_account())
        image = make_aws_image()
        saved = save(FoundInstance(known.cloud_instance_id, account.id, "us-east-1", image.id))
        assert saved.foreign == {known.cloud_instance_id}
        assert saved.of(account.id, known.cloud_instance_id) is None
        assert saved.of(known.cloud_account_id, known.cloud_instance_id).id == known.id
        known.refresh_from_db()
        assert (known.cloud_account == account, known.machine_image) == (False, None)

    def test_of_two_accounts_the_first_mention_decides(self, account):
        other = make_aws_account()
        saved = save(
            FoundInstance("i-1", account.id, "us-east-1", None),
            FoundInstance("i-1", other.id, "us-east-1", None),
        )
        assert Instance.objects.get().cloud_account == account
        assert saved.foreign == {"i-1"}

    def test_the_first_region_stays(self, account):
        known = make_instance(account=account, region="us-east-1")
        saved = save(FoundInstance(known.cloud_instance_id, account.id, "eu-west-1", None))
        assert saved.moved == {known.cloud_instance_id}
        assert Instance.objects.get().region == "us-east-1"

    def test_clouds_do_not_meet(self, account):
        make_instance(account=make_azure_account(), cloud_instance_id="same")
        save(FoundInstance("same", account.id, "us-east-1", None))
        assert Instance.objects.count() == 2

    @pytest.mark.parametrize("count", [10, 1000])
    def test_statements(self, account, django_assert_num_queries, count):
        found = [FoundInstance(f"i-{place}", account.id, "r", None) for place in range(count)]
        with django_assert_num_queries(2):
            save(*found)
        with django_assert_num_queries(1):
            save(*found)


class TestEvents:
    def test_new_ones_in_their_order(self, account):
        instance = make_instance(account=account)
        stored = save_events(
            [
                event(instance, "power_off", source_object=7, source_index=3, source_id="x"),
                event(instance, "power_on", instance_type="m5.large", subnet="s"),
                event(instance, "attribute_change", NOON - timedelta(hours=1)),
            ]
        )
        rows = list(InstanceEvent.objects.order_by("id"))
        assert [row.event_type for row in rows] == ["power_off", "power_on", "attribute_change"]
        assert {one.id for one in stored} == {row.id for row in rows}
        assert (rows[0].source_object, rows[0].source_index, rows[0].source_id) == (7, 3, "x")
        assert (rows[1].instance_type, rows[1].subnet) == ("m5.large", "s")
        assert rows[2].occurred_at == NOON - timedelta(hours=1)

    def test_duplicates_are_left_out(self, account):
        instance = make_instance(account=account)
        again = event(instance, source_id="first", source_index=9, instance_type="c5.large")
        save_events([event(instance, source_id="first", source_index=1)])
        stored = save_events([again, event(instance, "power_off"), event(instance, "power_off")])
        assert [one.event_type for one in stored] == ["power_off"]
        kept = InstanceEvent.objects.get(event_type="power_on")
        assert (kept.source_index, kept.instance_type) == (1, None)

    def test_events_of_one_instant_are_told_apart_by_where_they_are_from(self, account):
        """Decision 49."""
        instance = make_instance(account=account)
        ids = ["a", "b", "c"]
        stored = save_events([event(instance, source_id=one) for one in ids])
        assert [one.source_id for one in stored] == ids
        assert list(InstanceEvent.objects.order_by("id").values_list("source_id", flat=True)) == ids

    @pytest.mark.parametrize("count", [10, 1000])
    def test_statements(self, account, django_assert_num_queries, count):
        instance = make_instance(account=account)
        new = [event(instance, at=NOON + timedelta(seconds=place)) for place in range(count)]
        with django_assert_num_queries(1):
            assert len(save_events(new)) == count


def test_power_states(account):
    here, there, elsewhere = (
        make_instance(account=account, region=region) for region in ("a", "b", "c")
    )
    make_instance(account=make_aws_account(), region="a")
    make_event(instance=here, occurred_at=NOON)
    make_event(instance=here, occurred_at=NOON, event_type="power_off", origin="disable")
    make_event(instance=here, occurred_at=NOON + timedelta(1), event_type="attribute_change")
    found = power_states(
        account_id=account.id, regions=["a"], cloud_instance_ids=[there.cloud_instance_id.upper()]
    )
    assert set(found) == {here.cloud_instance_id, there.cloud_instance_id}
    state = found[here.cloud_instance_id]
    assert (state.instance_id, state.region) == (here.id, "a")
    assert (state.event_type, state.occurred_at, state.origin) == ("power_off", NOON, "disable")
    assert (state.scanned_at, state.newest_at) == (None, NOON + timedelta(1))
    assert found[there.cloud_instance_id].event_type is None
    assert elsewhere.cloud_instance_id not in found


@pytest.mark.parametrize("order", [1, -1])
def test_power_state_after_launch_and_termination_of_one_instant(account, order):
    """Decision 37: whatever was stored last, the termination counts."""
    instance = make_instance(account=account)
    happened = [("power_on", "RunInstances"), ("power_off", "TerminateInstances")]
    for event_type, name in happened[::order]:
        make_event(instance=instance, occurred_at=NOON, event_type=event_type, source_name=name)
    [state] = power_states(
        account_id=account.id,
        regions=["us-east-1"],
        cloud_instance_ids=[instance.cloud_instance_id],
    ).values()
    assert state.event_type == "power_off"


@pytest.mark.parametrize("source_id", ["run", "", "x", "9" * 30])
def test_a_power_state_knows_when_the_look_began_that_showed_it(account, source_id):
    run = DescribeRun.objects.create(
        cloud_account=account, kind="reconcile", started_at=NOON - timedelta(minutes=1)
    )
    instance = make_instance(account=account)
    named = str(run.id) if source_id == "run" else source_id
    make_event(instance=instance, occurred_at=NOON, origin="describe_reconcile", source_id=named)
    names = [instance.cloud_instance_id]
    (state,) = power_states(account_id=account.id, regions=[], cloud_instance_ids=names).values()
    assert state.scanned_at == (run.started_at if source_id == "run" else None)


class TestFacts:
    @pytest.fixture
    def instance(self, account):
        return make_instance(account=account)

    def observe(self, instance, hour, **values):
        at = NOON + timedelta(hours=hour)
        return len(save_facts([Observation(instance.id, at, "cloudtrail", values)]))

    def stored(self):
        rows = InstanceFact.objects.order_by("observed_at")
        return list(rows.values_list("instance_type", "tenancy"))

    def test_only_changes_are_kept(self, instance):
        assert self.observe(instance, 0, instance_type="a", tenancy="t") == 1
        assert self.observe(instance, 1, instance_type="a", tenancy="t") == 0
        assert self.observe(instance, 2, instance_type="b", tenancy="t") == 1
        assert self.stored() == [("a", "t"), ("b", "t")]

    def test_what_is_not_said_is_as_it_was(self, instance):
        self.observe(instance, 0, instance_type="a", tenancy="t")
        assert self.observe(instance, 1, instance_type="a") == 0
        assert self.observe(instance, 2, instance_type="b") == 1
        assert self.stored()[-1] == ("b", "t")

    def test_nothing_said_is_no_fact(self, instance):
        assert self.observe(instance, 0) == 0

    def test_late_ones_are_compared_with_their_own_time(self, instance):
        self.observe(instance, 5, instance_type="b")
        assert self.observe(instance, 1, instance_type="a") == 1
        assert self.observe(instance, 1, instance_type="a") == 0
        assert self.observe(instance, 6, instance_type="b") == 0
        assert self.stored() == [("a", None), ("b", None)]

    def test_many_at_once(self, instance, django_assert_num_queries):
        changes = [
            Observation(instance.id, NOON + timedelta(hours=hour), "x", {"instance_type": kind})
            for hour, kind in enumerate("aabbbca")
        ]
        with django_assert_num_queries(3):
            assert len(save_facts(reversed(changes))) == 4
        assert [size for size, _ in self.stored()] == ["a", "b", "c", "a"]

    def test_json_columns(self, instance):
        codes = [{"ProductCodeId": "x", "ProductCodeType": "marketplace"}]
        assert self.observe(instance, 0, product_codes=codes) == 1
        assert self.observe(instance, 1, product_codes=codes) == 0
