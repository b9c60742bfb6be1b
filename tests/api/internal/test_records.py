"""The read-only resources about our own work (spec 12 §2, §3)."""

import json
from typing import Any

import pytest

from api.internal import records
from api.models import (
    AccountState,
    ImageFact,
    InboxMessage,
    InstanceFact,
    OutboxEntry,
    SetAsideTask,
)
from tests.api.internal.callers import ANYBODY, B, associate, customer, service
from tests.api.internal.record_rows import AT, IDENTITY, NUMBER, TEXT, Subject, store_records
from tests.factories import (
    make_aws_account,
    make_aws_image,
    make_instance,
    make_user,
)

pytestmark = pytest.mark.django_db


@pytest.fixture
def rows(db) -> Subject:
    user = make_user(account_number="100001", org_id="200002")
    account = make_aws_account(user=user, aws_account_id=NUMBER)
    image = make_aws_image()
    rows = Subject(user, account, image, make_instance(account=account, image=image))
    for model in (InstanceFact, ImageFact, AccountState):
        model.objects.all().delete()
    store_records(rows, 1, 1)
    return rows


MEMBERS = {
    "inboxmessages": {
        "topic": "platform.sources.event-stream", "partition": 1, "offset": 1, "state": "failed",
        "attempts": 3, "org_id": "200002", "account_number": "100001",
        "customer_key": "org 200002", "received_at": TEXT,
    },
    "outboxentries": {
        "id": "status of application 1", "task": "api.tasks.enable_account", "state": "waiting",
        "attempts": 2,
        "created_at": TEXT, "queued_at": TEXT, "done_at": None,
    },
    "staleusages": {
        "first_day": "2022-06-01", "last_day": "2022-06-01", "cause": "replay", "refs": [1],
        "marked_at": TEXT,
    },
    "usagerevisions": {
        "date": "2022-06-01", "revision": 1, "total_before": 1, "total_after": 2,
        "changed_keys": [["a", 1, 2]], "causes": ["replay"], "computed_at": TEXT,
    },
    "describeruns": {
        "region": "us-east-1", "kind": "reconcile", "outcome": "denied", "started_at": TEXT,
        "error_code": "AccessDenied", "listed": 1, "running": 1, "unreadable": None,
    },
    "corrections": {"kind": "missed_on", "unsure_from": TEXT, "unsure_to": TEXT, "event_id": 1},
    "ingestobjects": {
        "bucket": "b", "key": "k1", "aws_account_id": NUMBER, "outcome": "ok", "stored": 1,
        "processed_at": TEXT,
    },
    "ingesthours": {"hour": TEXT, "files": 1, "records": 5, "skipped": {"other_event": 3}},
    "inspectionattempts": {"outcome": "failed", "error": "E", "created_at": TEXT, "counts": True},
    "accountstates": {
        "from_state": "created", "to_state": "enabled", "code": "CG3000", "cause": "kafka",
        "cloud_account_number": NUMBER, "topic": "t", "partition": 1, "offset": 7, "at": TEXT,
    },
    "imagefacts": {"is_rhel": True, "reason": "tag", "evidence": {"rule": "tag"}},
    "instancefacts": {"source": "describe", "instance_type": "m5.large", "licenses": ["x"]},
    "trails": {"start": TEXT, "end": TEXT, "key": "d1", "file_names": ["f"]},
}  # fmt: skip

OF_CUSTOMERS = {"org_id": "200002", "account_number": "100001", "user_id": lambda r: r.user.id}
OF_ACCOUNTS = {**OF_CUSTOMERS, "account_id": lambda r: r.account.id}
MATCHING: dict[str, dict[str, Any]] = {
    "inboxmessages": {
        **OF_CUSTOMERS, "state": "failed", "topic": "platform.sources.event-stream",
        "partition": "1", "message_offset": "1", "attempts": "3", "application_id": "22",
        "authentication_id": "33", "customer_key": "org 200002", "event_type": "Application.create",
    },
    "outboxentries": {
        "state": "waiting", "task": "api.tasks.enable_account", "attempts": "2",
        "id": "status of application 1",
    },
    "staleusages": {
        **OF_CUSTOMERS, "cause": "replay", "first_day": "2022-06-01", "last_day__gt": "2022-05-31",
        "first_day__lt": "2022-06-02",
    },
    "usagerevisions": {**OF_CUSTOMERS, "date": "2022-06-01", "revision": "1"},
    "describeruns": {
        **OF_ACCOUNTS, "kind": "reconcile", "outcome": "denied", "region": "us-east-1",
        "error_code": "AccessDenied",
    },
    "corrections": {
        **OF_ACCOUNTS, "kind": "missed_on", "event_id": "1", "is_explained": "false",
        "instance_id": lambda r: r.instance.id,
    },
    "ingestobjects": {
        **OF_ACCOUNTS, "outcome": "ok", "bucket": "b", "key": "k1", "region": "us-east-1",
        "aws_account_id": "123456",
    },
    "ingesthours": {**OF_ACCOUNTS, "region": "r1", "aws_account_id": NUMBER},
    "inspectionattempts": {
        "outcome": "failed", "is_finished": "true", "region": "us-east-1",
        "machine_image_id": lambda r: r.image.id,
    },
    "accountstates": {
        **OF_ACCOUNTS, "to_state": "enabled", "state": "enabled", "from_state": "created",
        "code": "CG3000", "cause": "kafka", "cloud_type": "aws", "cloud_account_number": NUMBER,
    },
    "imagefacts": {
        **OF_CUSTOMERS, "is_rhel": "true", "reason": "tag",
        "machine_image_id": lambda r: r.image.id,
    },
    "instancefacts": {
        **OF_ACCOUNTS, "source": "describe", "instance_type": "m5.large",
        "instance_id": lambda r: r.instance.id,
    },
    "trails": {**OF_ACCOUNTS, "region": "us-east-1", "bucket": "b", "key": "d1"},
}  # fmt: skip
TIMES = {
    "inboxmessages": "received_at",
    "outboxentries": "created_at",
    "staleusages": "marked_at",
    "usagerevisions": "computed_at",
    "describeruns": "started_at",
    "corrections": "unsure_to",
    "ingestobjects": "processed_at",
    "ingesthours": "hour",
    "inspectionattempts": "created_at",
    "accountstates": "at",
    "imagefacts": "valid_from",
    "instancefacts": "observed_at",
    "trails": "end",
}
NAMES = sorted(TIMES)


OTHERS = {
    **{"failed": "dead", "waiting": "done", "replay": "operator", "reconcile": "initial"},
    **{"denied": "ok", "missed_on": "missed_off", "ok": "missing", "enabled": "deleted"},
    **{"kafka": "api", "tag": "operator", "aws": "azure", "true": "false", "false": "true"},
}


def unlike(value: Any) -> str:
    """Return a value of the same kind that no row has."""
    value = str(value)
    if value in OTHERS:
        return OTHERS[value]
    return "987654321" if value.isdigit() else "1999-01-01" if value[:3] == "202" else "nothing"


def test_each_resource_is_tested():
    assert {one.name for one in records.RESOURCES} == set(NAMES) == set(MEMBERS) == set(MATCHING)


@pytest.mark.parametrize("name", NAMES)
def test_acceptance_1_members(rows, name):
    """Acceptance 1: lists show the row; a detail is the same as its row in the list."""
    [row] = ANYBODY.rows(f"{name}/")
    assert {member: row[member] for member in MEMBERS[name]} == MEMBERS[name]
    assert ANYBODY.get(f"{B}/{name}/{row['id']}/").json() == row
    assert ANYBODY.get(f"{B}/{name}/987654321/").status_code == 404
    assert ANYBODY.get(f"{B}/{name}/%00/").status_code == 404


@pytest.mark.parametrize("name", NAMES)
def test_nothing_is_told_that_may_be_a_credential(rows, name):
    """Spec 12 §2: payloads stay out, and what errors and arguments quote of them is masked."""
    text = json.dumps(ANYBODY.rows(f"{name}/"))
    assert IDENTITY not in text
    assert "secret" not in text


@pytest.mark.parametrize("name", NAMES)
def test_acceptance_1_an_identity_changes_nothing(rows, name):
    """Acceptance 1."""
    shown = ANYBODY.rows(f"{name}/")
    for caller in (customer(org_id="nobody"), customer(org_id="200002"), service(), associate()):
        assert caller.rows(f"{name}/") == shown


@pytest.mark.parametrize(
    ("name", "parameter"), [(name, one) for name in NAMES for one in MATCHING[name]]
)
def test_filters(rows, name, parameter):
    value = MATCHING[name][parameter]
    value = value(rows) if callable(value) else value
    assert len(ANYBODY.rows(f"{name}/?{parameter}={value}")) == 1
    other = unlike(value)
    if parameter.endswith("__lt"):
        other = "1999-01-01"
    elif parameter.endswith("__gt"):
        other = "2999-01-01"
    elif "aws_account_id" in parameter:
        other = "1"
    assert ANYBODY.rows(f"{name}/?{parameter}={other}") == []


@pytest.mark.parametrize("name", NAMES)
def test_ages(rows, name):
    """Spec 12 §3: as ``created_at``, and as the column is called."""
    for column in {TIMES[name], "created_at"} | ({"valid_from"} if "facts" in name else set()):
        assert ANYBODY.rows(f"{name}/?{column}={TEXT}")
        query = f"{column}__gt=2022-06-01T09:59:59Z&{column}__lt=2022-06-01T10:00:01Z"
        assert ANYBODY.rows(f"{name}/?{query}")
        for other in (f"{column}__gt={TEXT}", f"{column}__lt={TEXT}"):
            assert ANYBODY.rows(f"{name}/?{other}") == []
        assert ANYBODY.get(f"{B}/{name}/?{column}__lt=potato").status_code == 400


@pytest.mark.parametrize("name", NAMES)
def test_numbers_that_no_row_can_have_are_refused(rows, name):
    """Decision 50."""
    for parameter in MATCHING[name]:
        if parameter.endswith(("_id", "partition")) and parameter not in (
            "org_id",
            "aws_account_id",
        ):
            response = ANYBODY.get(f"{B}/{name}/?{parameter}=99999999999999999999")
            assert (response.status_code, list(response.json())) == (400, [parameter])


def test_acceptance_5_no_statement_count_grows_with_rows(
    rows, django_assert_max_num_queries, django_assert_num_queries
):
    """Acceptance 5; three statements at most."""
    store_records(rows, 2, 104)
    large = {"imagefacts", "trails"}
    for name in NAMES:
        for query in ("", "user_id=1&org_id=x&account_id=1&state=dead&"):
            for limit in (10, 100):
                url = f"{name}/?{query}limit={limit}"
                if query:
                    with django_assert_max_num_queries(3):
                        ANYBODY.get(f"{B}/{url}")
                else:
                    with django_assert_num_queries(3 if name in large else 2):
                        assert len(ANYBODY.rows(url)) == limit, name
        with django_assert_num_queries(1):
            ANYBODY.get(f"{B}/{name}/1/")


def test_none_is_named_by_the_root(rows):
    """Spec 10, "additive"."""
    assert not set(NAMES) & set(ANYBODY.get(f"{B}/").json())


def test_states_of_the_outbox(rows):
    waiting = OutboxEntry.objects.get()
    OutboxEntry.objects.create(key="done", task="t", args=[], done_at=AT)
    aside = OutboxEntry.objects.create(key="aside", task="t", args=[])
    SetAsideTask.objects.create(
        work=f"outbox-{aside.task_id}", message={}, lost_processes=3, released_at=None
    )
    for state, key in (("waiting", waiting.key), ("done", "done"), ("set_aside", "aside")):
        assert [row["id"] for row in ANYBODY.rows(f"outboxentries/?state={state}")] == [key]
    assert ANYBODY.get(f"{B}/outboxentries/?state=potato").status_code == 400
    oldest_first = [row["id"] for row in ANYBODY.rows("outboxentries/")]
    assert oldest_first == [waiting.key, "done", "aside"]


def test_a_message_is_found_by_either_number_of_its_customer(rows):
    InboxMessage.objects.update(org_id=None)
    assert len(ANYBODY.rows(f"inboxmessages/?user_id={rows.user.id}")) == 1
    InboxMessage.objects.update(account_number=None)
    assert ANYBODY.rows(f"inboxmessages/?user_id={rows.user.id}") == []


def test_states_outlive_their_account_and_customer(rows):
    account_id = rows.account.id
    rows.account.delete()
    [row] = ANYBODY.rows(f"accountstates/?account_id={account_id}")
    assert row["to_state"] == "enabled"
