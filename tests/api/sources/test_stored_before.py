"""Messages that the previous version has stored are filled in by a migration (decision 40)."""

import importlib

import pytest
from django.db import connection

from api.models import InboxMessage
from api.sources.messages import CREATE, DESTROY, PAUSE, UNPAUSE, UPDATE, Tenant, objects_of
from tests.api.sources.stored import received, store

pytestmark = pytest.mark.django_db

MIGRATION = importlib.import_module("api.migrations.0004_inbox_fill_customers_and_objects")
COLUMNS = ("application_id", "authentication_id", "account_number", "org_id")
BOTH = Tenant("1701", "3340851")


def filled(*messages, state="waiting"):
    """Store messages as the previous version did, migrate, and return what is known of each."""
    store(*messages)
    InboxMessage.objects.update(state=state, **dict.fromkeys(COLUMNS))
    with connection.cursor() as cursor:
        for operation in MIGRATION.Migration.operations:
            cursor.execute(operation.sql)
    return list(InboxMessage.objects.order_by("id").values_list(*COLUMNS))


@pytest.mark.parametrize(
    ("event_type", "value", "expected"),
    [
        (CREATE, {"id": 31, "application_id": 11, "authentication_id": "22"}, (11, 22)),
        (DESTROY, {"application_id": "11", "authentication_id": 22}, (11, 22)),
        (UPDATE, {"id": "22", "application_id": 11}, (None, 22)),
        (PAUSE, {"id": 11, "authentication_id": 22}, (11, None)),
        (UNPAUSE, {"id": "11"}, (11, None)),
        (PAUSE, {"id": "eleven"}, (None, None)),
        (PAUSE, {"id": "9" * 30}, (None, None)),
        (CREATE, {"application_id": [11], "authentication_id": None}, (None, None)),
        (PAUSE, {}, (None, None)),
    ],
)
def test_objects(event_type, value, expected):
    ((application_id, authentication_id, *_),) = filled(received("org 1", event_type, value))
    assert (application_id, authentication_id) == expected
    assert objects_of(event_type, value) == expected


@pytest.mark.parametrize(
    ("tenant", "state", "expected"),
    [
        (BOTH, "waiting", BOTH),
        (BOTH, "failed", BOTH),
        (BOTH, "processed", (None, None)),
        (Tenant(None, "3340851"), "waiting", (None, None)),
        (Tenant("1" * 151, "3340851"), "waiting", (None, None)),
    ],
)
def test_customers(tenant, state, expected):
    """Only unfinished messages tie two ids together, and only those that have both."""
    message = received(tenant=Tenant(None, "1"))
    headers = [
        [name, text]
        for name, text in zip(
            ("x-rh-sources-account-number", "x-rh-sources-org-id"), tenant, strict=True
        )
        if text
    ]
    store(message)
    InboxMessage.objects.update(headers=headers)
    InboxMessage.objects.update(state=state, **dict.fromkeys(COLUMNS))
    with connection.cursor() as cursor:
        for operation in MIGRATION.Migration.operations:
            cursor.execute(operation.sql)
    assert InboxMessage.objects.values_list("account_number", "org_id").get() == expected
