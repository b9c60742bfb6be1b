"""Registrations from a file (spec 11 §2): all of it or nothing, and twice like once."""

import io
import json

import pytest
from django.core.management import CommandError, call_command

from api.billing import registrations
from api.models import BillingFinding, Registration
from tests import factories

pytestmark = pytest.mark.django_db

HEAD = "cloud,instance_id,registered_from,registered_until\n"
GOOD = (
    HEAD
    + "aws,i-01,2023-03-01T00:00:00Z,2023-03-02T00:00:00+01:00\n"
    + "\n"
    + "azure,/subscriptions/s/vm,2023-03-01,\n"
)


@pytest.fixture
def user(db):
    return factories.make_user(org_id="org1")


@pytest.fixture
def load(tmp_path):
    """Import a file's text by the command; return what it writes."""

    def load(text, *options, org_id="org1"):
        path = tmp_path / "registrations.csv"
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        out = io.StringIO()
        call_command("import_registrations", "--org-id", org_id, str(path), *options, stdout=out)
        return out.getvalue()

    return load


def stored(user):
    rows = Registration.objects.filter(user=user).order_by("cloud", "cloud_id", "registered_from")
    return list(rows.values_list("cloud", "cloud_id", "registered_from", "registered_until"))


FIRST = [
    ("aws", "i-01", factories.utc("2023-03-01"), factories.utc("2023-03-01T23:00")),
    ("azure", "/subscriptions/s/vm", factories.utc("2023-03-01"), None),
]


def test_acceptance_5_import_twice(user, load):
    assert json.loads(load(GOOD, "--json")) == {
        "rows": 2, "added": 2, "changed": 0, "unchanged": 0, "dry_run": False,
    }  # fmt: skip
    assert stored(user) == FIRST
    assert load(GOOD) == "2 registrations: 0 added, 0 changed, 2 known already.\n"
    assert stored(user) == FIRST


def test_an_end_that_is_known_later_is_stored_whatever_the_case_of_the_id(user, load):
    load(GOOD)
    text = HEAD + "AZURE,/SUBSCRIPTIONS/s/vm,2023-03-01T01:00:00+01:00,2023-04-01\n"
    assert "1 changed" in load(text)
    assert stored(user)[1][3] == factories.utc("2023-04-01")
    assert len(stored(user)) == 2


def test_a_dry_run_says_what_would_change(user, load):
    assert load(GOOD, "--dry-run") == (
        "2 registrations: 2 would be added, 0 would be changed, 0 known already.\n"
    )
    assert stored(user) == []


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("aws,i-1,2023-03-01", "line 3: has 3 columns instead of 4"),
        ("ibm,i-1,2023-03-01,", "line 3: cloud must be one of aws, azure, gcp"),
        ("aws,,2023-03-01,", "line 3: instance_id must have 1 to 1024 characters"),
        ("aws,i-1,,", "line 3: registered_from must be an ISO 8601 date-time"),
        ("aws,i-1,yesterday,", "line 3: registered_from must be an ISO 8601 date-time"),
        ("aws,i-1,2023-03-01,never", "line 3: registered_until must be an ISO 8601 date-time"),
        ("aws,i-1,0001-01-01T00:00:00+14:00,", "line 3: registered_from must be an ISO"),
        ("aws,i-1,2023-03-01,2023-03-01", "line 3: registered_until must be after"),
        ("aws,I-2,2023-03-01,2023-04-01", "line 3: contradicts line 2"),
    ],
)
def test_a_wrong_row_is_named_and_nothing_is_stored(user, load, row, message):
    with pytest.raises(CommandError) as ended:
        load(f"{HEAD}aws,i-2,2023-03-01,\n{row}\naws,i-3,2023-03-01,\n")
    assert ended.value.returncode == 2
    assert str(ended.value).startswith(message)
    assert stored(user) == []


def test_all_wrong_rows_are_named(user, load, monkeypatch):
    monkeypatch.setattr(registrations, "ROWS_AT_ONCE", 2)
    rows = ["aws,i-1,2023-03-01,", "x,i-1,2023-03-01,"] * 5
    with pytest.raises(CommandError) as ended:
        load(HEAD + "\n".join(rows))
    assert [line.split(":")[0] for line in str(ended.value).splitlines()] == [
        f"line {number}" for number in (3, 5, 7, 9, 11)
    ]
    assert stored(user) == []


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "line 1: the columns must be cloud,instance_id,registered_from,registered_until"),
        ("aws,i-1,2023-03-01,\n", "line 1: the columns must be"),
        (HEAD.encode() + b"aws,\xff,2023-03-01,\n", "line 2: is not UTF-8"),
        (HEAD + f'aws,"{"x" * 200_000}",2023-03-01,\n', "line 2: is no CSV"),
    ],
)
def test_what_is_no_such_file_is_refused(user, load, text, message):
    with pytest.raises(CommandError) as ended:
        load(text)
    assert (ended.value.returncode, str(ended.value).startswith(message)) == (2, True)


def test_a_byte_order_mark_and_repeated_rows_do_no_harm(user, load):
    row = "aws,i-1,2023-03-01,\n"
    assert "2 registrations: 1 added" in load(("\ufeff" + HEAD + row + row).encode())


def test_an_unknown_customer_or_file_is_refused(user, load):
    with pytest.raises(CommandError, match="no customer with org_id nobody") as ended:
        load(GOOD, org_id="nobody")
    assert ended.value.returncode == 2
    with pytest.raises(CommandError, match="cannot be read") as ended:
        call_command("import_registrations", "--org-id", "org1", "/nowhere.csv")
    assert ended.value.returncode == 2


def test_what_is_wrong_shows_at_once(user, load):
    account = factories.make_aws_account(user=user)
    image = factories.make_aws_image(usage_operation="RunInstances:0010")
    instance = factories.make_instance(account=account, image=image, cloud_instance_id="i-0f")
    factories.make_run(instance=instance, start=factories.utc("2023-03-01"))
    load(HEAD + "aws,i-0f,2023-03-01,\n")
    assert list(BillingFinding.objects.values_list("instance", "kind")) == [
        (instance.id, "registered_but_billed")
    ]
