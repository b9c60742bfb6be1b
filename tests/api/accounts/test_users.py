"""Finding, creating and merging users (spec 03 §10.1; decisions 4, 8, 26)."""

from functools import partial

import pytest

from api.accounts import users
from api.accounts.users import UserConflictError, find_user, get_or_create_user
from api.models import CloudAccount, User, UserTaskLock
from tests.factories import make_aws_account, make_user
from tests.threads import in_threads

pytestmark = pytest.mark.django_db


def get(account_number=None, org_id=None):
    return get_or_create_user(account_number=account_number, org_id=org_id)


@pytest.mark.parametrize(
    ("account_number", "org_id"), [("1701", "3340851"), ("1701", None), (None, "3340851")]
)
def test_new_user(account_number, org_id):
    user = get(account_number, org_id)
    user.refresh_from_db()
    assert (user.account_number, user.org_id) == (account_number, org_id)
    assert not user.is_active
    assert not user.is_permanent
    assert not user.has_usable_password()
    assert UserTaskLock.objects.get().user == user
    assert get(account_number, org_id) == user


@pytest.mark.parametrize("nothing", [None, ""])
def test_nobody_is_an_error(nothing):
    with pytest.raises(ValueError):
        get(nothing, nothing)
    assert not User.objects.exists()


def test_blank_counts_as_missing():
    user = get("1701", "")
    assert user.org_id is None


def test_scenario_30_missing_org_id_is_filled_in():
    user = make_user(account_number="1701")
    assert get("1701", "3340851") == user
    user.refresh_from_db()
    assert user.org_id == "3340851"


def test_scenario_30_missing_account_number_is_filled_in():
    user = make_user(org_id="9")
    assert get("55", "9") == user
    user.refresh_from_db()
    assert user.account_number == "55"
    assert User.objects.count() == 1


def test_account_number_wins_over_another_org_id(caplog):
    user = make_user(account_number="1701", org_id="1")
    assert get("1701", "2") == user
    user.refresh_from_db()
    assert user.org_id == "1"
    assert "left unchanged" in caplog.text


def test_org_id_of_another_account_is_not_taken():
    other = make_user(account_number="1702", org_id="1")
    user = make_user(account_number="1701")
    before = users.CONFLICTS.labels("org_id_of_other_account")._value.get()
    assert get("1701", "1") == user
    user.refresh_from_db()
    assert user.org_id is None
    other.refresh_from_db()
    assert other.org_id == "1"
    assert users.CONFLICTS.labels("org_id_of_other_account")._value.get() == before + 1


def test_new_account_number_with_anothers_org_id_creates_nobody():
    """Decision 26."""
    make_user(account_number="1702", org_id="1")
    with pytest.raises(UserConflictError):
        get("1701", "1")
    assert User.objects.count() == 1


@pytest.mark.parametrize("owner", [None, "account", "org"])
def test_two_users_of_one_customer_become_one(owner):
    """Decision 4."""
    by_account = make_user(account_number="1701")
    by_org = make_user(org_id="3340851", is_permanent=True)
    pair = {"account": by_account, "org": by_org}
    if owner:
        make_aws_account(user=pair[owner])
    expected = pair[owner or "account"]
    survivor = get("1701", "3340851")
    assert User.objects.get() == survivor == expected
    survivor.refresh_from_db()
    assert (survivor.account_number, survivor.org_id) == ("1701", "3340851")
    assert survivor.date_joined == expected.date_joined
    assert survivor.is_permanent
    assert CloudAccount.objects.count() == (1 if owner else 0)


def test_two_users_with_accounts_stay_two():
    for identifiers in ({"account_number": "1701"}, {"org_id": "3340851"}):
        make_aws_account(user=make_user(**identifiers))
    with pytest.raises(UserConflictError):
        get("1701", "3340851")
    assert User.objects.count() == 2


class TestFind:
    def test_both_must_match(self):
        user = make_user(account_number="1701", org_id="1")
        assert find_user(account_number="1701", org_id="1") == user
        assert find_user(account_number="1701", org_id="2") is None

    def test_one_is_enough(self):
        user = make_user(account_number="1701", org_id="1")
        assert find_user(account_number="1701", org_id=None) == user
        assert find_user(account_number=None, org_id="1") == user

    def test_nobody(self):
        make_user()
        assert find_user(account_number=None, org_id="") is None


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(
    "requests",
    [
        [("1701", "3340851")] * 6,
        [("1701", None), (None, "3340851"), ("1701", "3340851")] * 3,
    ],
)
def test_many_at_once_make_one_user(requests):
    in_threads(*[partial(get, *request) for request in requests])
    get("1701", "3340851")
    assert User.objects.count() == 1
