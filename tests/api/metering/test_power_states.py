"""The state that stands with each instance is what its newest events and facts say (11 §3)."""

from importlib import import_module

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from hypothesis import given
from hypothesis import strategies as st

from api.clouds.facts import Observation, save_facts
from api.metering.runs import recalculate_runs
from api.metering.timeline import Latest
from api.models import Instance
from tests import factories
from tests.api.metering.notation import course
from tests.factories import utc

migration = import_module("api.migrations.0017_instance_states")

events = st.lists(
    st.tuples(
        st.integers(0, 5),
        st.integers(0, 2),
        st.sampled_from(["power_on", "power_off", "attribute_change"]),
        st.sampled_from([None, "t3.large", "m5.large"]),
    ),
    max_size=8,
)


@given(events)
def test_an_instance_is_on_while_its_last_run_is_open(given_events):
    read = course(given_events)
    runs = list(read.runs())
    latest = read.latest
    assert (latest.is_on or False) == any(run.end is None for run in runs)
    powers = [one for one in given_events if one[2] != "attribute_change"]
    assert latest.since == max((one[0] for one in powers), default=None)


def test_the_newest_type_is_that_of_any_event():
    history = [
        (2, 1, "power_on", "b"),
        (1, 1, "power_on", "a"),
        (3, 1, "attribute_change", "c"),
        (4, 1, "power_off", None),
    ]
    for events_read, expected in (
        (history, Latest(False, 4, "c")),
        ([], Latest(None, None, None)),
    ):
        read = course(events_read)
        list(read.runs())
        assert read.latest == expected


def columns(instance):
    return Instance.objects.values_list(
        "power_state", "power_changed_at", "instance_type", "usage_operation", "product_codes"
    ).get(id=instance.id)


@pytest.fixture
def instance(db):
    return factories.make_instance(account=factories.make_aws_account())


@pytest.fixture
def started(instance):
    """An instance that was started, resized and stopped, late events last."""
    for kind, at, instance_type in (
        ("power_off", "2023-03-03", None),
        ("attribute_change", "2023-03-02", "m5.large"),
        ("power_on", "2023-03-01", "t3.large"),
    ):
        factories.make_event(
            instance=instance, event_type=kind, occurred_at=utc(at), instance_type=instance_type
        )
    return instance


def recalculate(instance):
    recalculate_runs(user_id=instance.cloud_account.user_id, instance_ids=[instance.id])


def test_recalculation_stores_the_state(started):
    before = Instance.objects.get(id=started.id).updated_at
    recalculate(started)
    assert columns(started) == ("stopped", utc("2023-03-03"), "m5.large", None, None)
    assert Instance.objects.get(id=started.id).updated_at == before


def test_what_is_right_is_not_written(started):
    recalculate(started)
    with CaptureQueriesContext(connection) as captured:
        recalculate(started)
    assert not [one for one in captured if "UPDATE" in one["sql"]]


def test_facts_store_how_the_instance_is_billed(instance):
    codes = [{"ProductCodeId": "x", "ProductCodeType": "marketplace"}]
    for at, operation in (("2023-03-02", "RunInstances:0010"), ("2023-03-01", "RunInstances:00g0")):
        values = {
            "usage_operation": operation,
            "product_codes": codes,
            "instance_type": "c5.large",
        }
        save_facts([Observation(instance.id, utc(at), "describe", values)])
    expected = (None, None, "c5.large", "RunInstances:0010", codes)
    assert columns(instance) == expected
    recalculate(instance)
    assert columns(instance) == expected


@pytest.mark.django_db
def test_the_migration_fills_what_recalculation_and_facts_would_store(started, instance):
    save_facts(
        [
            Observation(
                started.id, utc("2023-03-01"), "describe", {"usage_operation": "RunInstances"}
            )
        ]
    )
    others = [factories.make_instance(account=started.cloud_account) for _ in range(3)]
    recalculate(started)
    expected = columns(started)
    assert expected[3] == "RunInstances"
    Instance.objects.update(
        power_state=None, power_changed_at=None, instance_type=None, usage_operation=None
    )
    migration.fill(connection)
    assert columns(started) == expected
    assert columns(others[0]) == (None,) * 5
