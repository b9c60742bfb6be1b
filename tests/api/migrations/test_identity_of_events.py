"""Migration 0002: existing events stay, and the previous version may run on (decision 49)."""

from importlib import import_module
from types import SimpleNamespace

import pytest
from django.db import IntegrityError, connection, transaction

from api.models import InstanceEvent
from tests.factories import make_event, make_instance
from util import clock

pytestmark = pytest.mark.django_db(transaction=True)

migration = import_module("api.migrations.0002_identity_of_events")

PREVIOUS_VERSION_STORES = """
INSERT INTO api_instanceevent (instance_id, cloud_account_id, event_type, occurred_at, origin,
    source_id, source_name, created_at, updated_at)
VALUES (%s, %s, 'power_off', %s, 'cloudtrail', %s, 'StopInstances', now(), now())
ON CONFLICT DO NOTHING
"""


def constraints():
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT conname FROM pg_constraint"
            " WHERE conrelid = 'api_instanceevent'::regclass AND contype = 'u'"
        )
        return {row[0] for row in cursor.fetchall()}


@pytest.fixture
def previous_schema():
    """The table as the previous version made it."""
    with connection.cursor() as cursor:
        cursor.execute(
            "ALTER TABLE api_instanceevent DROP CONSTRAINT instanceevent_identity,"
            " ADD CONSTRAINT instanceevent_natural UNIQUE (instance_id, occurred_at, event_type)"
        )
    yield
    exchange()


def exchange():
    migration.exchange_constraints(None, SimpleNamespace(connection=connection))


def test_rows_stay_and_the_constraint_is_the_wider_one(previous_schema):
    instance, moment = make_instance(), clock.now()
    make_event(instance=instance, occurred_at=moment, event_type="power_off")
    make_event(instance=instance, occurred_at=moment, source_id="a")
    with pytest.raises(IntegrityError), transaction.atomic():
        make_event(instance=instance, occurred_at=moment, source_id="b")
    before = list(InstanceEvent.objects.order_by("id").values())
    exchange()
    assert list(InstanceEvent.objects.order_by("id").values()) == before
    assert constraints() == {"instanceevent_identity"}
    make_event(instance=instance, occurred_at=moment, source_id="b")
    with pytest.raises(IntegrityError), transaction.atomic():
        make_event(instance=instance, occurred_at=moment, source_id="b")
    exchange()
    assert constraints() == {"instanceevent_identity"}


def test_an_attempt_that_was_interrupted_is_taken_up(previous_schema):
    with connection.cursor() as cursor:
        cursor.execute("CREATE INDEX instanceevent_identity ON api_instanceevent (instance_id)")
    exchange()
    assert constraints() == {"instanceevent_identity"}


def test_what_the_previous_version_does_works_before_and_after(previous_schema):
    instance, moment = make_instance(), clock.now()

    def store(source_id):
        with connection.cursor() as cursor:
            cursor.execute(
                PREVIOUS_VERSION_STORES,
                [instance.id, instance.cloud_account_id, moment, source_id],
            )
            return cursor.rowcount

    assert [store("a"), store("a"), store("b")] == [1, 0, 0]
    exchange()
    assert [store("a"), store("b")] == [0, 1]
