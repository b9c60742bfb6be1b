"""Who a request is for (spec 01 §2)."""

import base64
import logging

import pytest

from api.models import User
from api.public.authentication import tenant_mismatches
from tests import factories
from tests.api.public.callers import ANYBODY, Caller, caller, encode, identity, service

CREDENTIALS = "Incorrect authentication credentials."
PARSING = "Authentication Failed: invalid identity header failed parsing."
INVALID_PSK = "Authentication Failed: Invalid PSK specified in header"
NEITHER = (
    "Authentication Failed: identity account number or org id is required, "
    "but neither is present in request."
)

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def customers(customer_a, customer_b, customer_c, settings):
    """Each of the three has one account; two services have keys."""
    settings.CLOUDIGRADE_PSKS = {"blank": "", "swatch": "sekrit", "other": "hidden"}
    for user in (customer_a, customer_b, customer_c):
        factories.make_aws_account(user=user)


def outcome(who: Caller, path: str = "/accounts/") -> str:
    """Return as which customer a caller is served, or else what the answer's detail is."""
    users_before = list(User.objects.values_list("account_number", "org_id"))
    answer = who.get(path)
    assert list(User.objects.values_list("account_number", "org_id")) == users_before
    if answer.status_code == 200:
        (row,) = answer.json()["data"]
        user = User.objects.get(id=row["user_id"])
        return {"100001": "A", "300003": "B", None: "C"}[user.account_number]
    assert answer.status_code == 403
    assert "WWW-Authenticate" not in answer
    return answer.json()["detail"]


@pytest.mark.parametrize(
    ("ids", "expected"),
    [
        ({"account_number": "100001", "org_id": "200002"}, "A"),
        ({"account_number": "100001"}, "A"),
        ({"org_id": "200002"}, "A"),
        ({"account_number": "100001", "org_id": "400004"}, "A"),
        ({"account_number": "999999", "org_id": "400004"}, "C"),
        ({"account_number": "", "org_id": "400004"}, "C"),
        ({"account_number": 0, "org_id": "400004"}, "C"),
        ({"account_number": False, "org_id": "400004"}, "C"),
        ({"account_number": "300003", "org_id": "555"}, "B"),
        ({"account_number": 100001}, "A"),
        ({"account_number": "100001 "}, CREDENTIALS),
        ({"account_number": "999999", "org_id": "888888"}, CREDENTIALS),
        ({"account_number": "100001", "user": {"is_org_admin": False}}, "A"),
        ({"account_number": "100001", "user": None}, "A"),
        ({"account_number": "100001", "user": "jdoe"}, "A"),
        ({"account_number": "100001", "entitlements": {}, "type": "User"}, "A"),
        ({"account_number": "100001\0"}, CREDENTIALS),
        ({"account_number": "100001\ud800"}, CREDENTIALS),
        ({"account_number": "1" * 1000}, CREDENTIALS),
        ({"internal": {"org_id": "200002"}}, NEITHER),
        ({"type": "Associate", "associate": {"givenName": "J"}}, NEITHER),
    ],
)
def test_identity(ids, expected):
    assert outcome(caller(**ids)) == expected


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("111", PARSING),
        (" ", PARSING),
        ("", CREDENTIALS),
        (base64.b64encode(b"Not JSON").decode(), PARSING),
        (identity(account_number="100001").rstrip("=")[:-1], PARSING),
        (base64.b64encode(b'{"identity": {}} and more').decode(), PARSING),
        (encode({"user": {"email": "x"}}), NEITHER),
        (encode({"identity": {}}), NEITHER),
        (encode([]), PARSING),
        (encode("x"), PARSING),
        (encode(None), PARSING),
        (encode({"identity": None}), PARSING),
        (encode({"identity": []}), PARSING),
        (encode({"identity": "100001"}), PARSING),
        ("\u00e9\u00e9\u00e9\u00e9", PARSING),
        (base64.b64encode(b"[" * 9000).decode(), PARSING),
        (base64.b64encode(b'{"identity":{"account_number":' + b"9" * 9000).decode(), PARSING),
        (base64.b64encode(b"\xff\xfe").decode(), PARSING),
        (identity(account_number="100001") + "====", "A"),
        ("\n ".join(identity(account_number="100001")), "A"),
    ],
)
def test_header(header, expected):
    assert outcome(Caller({"X-RH-IDENTITY": header})) == expected


AS_A = {"X-RH-IDENTITY": identity(account_number="100001")}


@pytest.mark.parametrize(
    ("who", "expected"),
    [
        (ANYBODY, CREDENTIALS),
        (service("sekrit", account_number="300003"), "B"),
        (service("sekrit", account_number="", org_id="400004"), "C"),
        (service("hidden", org_id="200002"), "A"),
        (service("sekrit"), NEITHER),
        (service("sekrit", account_number="999999", org_id="888888"), CREDENTIALS),
        (service("sekrit", account_number="3\0"), CREDENTIALS),
        (service("bad", org_id="400004"), INVALID_PSK),
        (service("SEKRIT", org_id="400004"), INVALID_PSK),
        (service("s\u00e9krit", org_id="400004"), INVALID_PSK),
        (service("", org_id="400004"), INVALID_PSK),
        (Caller(service("sekrit", account_number="300003").headers | AS_A), "B"),
        (Caller(service("sekrit").headers | AS_A), NEITHER),
        (Caller(service("bad").headers | AS_A), INVALID_PSK),
        (Caller(service("").headers | AS_A), INVALID_PSK),
        (Caller({"X-RH-CLOUDIGRADE-ORG-ID": "400004"}), CREDENTIALS),
        (Caller({"X-RH-INTERNAL-FAKE-IDENTITY": AS_A["X-RH-IDENTITY"]}), CREDENTIALS),
    ],
)
def test_services_and_others(who, expected):
    assert outcome(who) == expected


def test_sysconfig_needs_a_customer_but_not_ours(own_aws_account):
    assert caller(account_number="5").get("/sysconfig/").status_code == 200
    assert service("sekrit", org_id="5").get("/sysconfig/").status_code == 200
    for who, detail in (
        (ANYBODY, CREDENTIALS),
        (service("sekrit"), NEITHER),
        (service("bad", org_id="5"), INVALID_PSK),
        (Caller({"X-RH-IDENTITY": "111"}), PARSING),
    ):
        answer = who.get("/sysconfig/")
        assert (answer.status_code, answer.json()) == (403, {"detail": detail})
    assert User.objects.count() == 3


@pytest.mark.parametrize("path", ["/azure-offer-template/", "/openapi.json"])
@pytest.mark.parametrize(
    "who", [ANYBODY, service("bad"), Caller({"X-RH-IDENTITY": "111"})], ids=["none", "psk", "bad"]
)
def test_public_documents_look_at_no_header(path, who):
    assert who.get(path).status_code == 200


def test_inactive_customers_are_served(customer_a):
    assert not customer_a.is_active
    assert outcome(caller(account_number="100001")) == "A"


def test_authentication_comes_before_everything_but_negotiation():
    for path in ("/accounts/99999/", "/accounts/abc/", "/images/?status=bogus"):
        assert ANYBODY.get(path).status_code == 403
    for method in ("POST", "PUT", "PATCH", "DELETE", "OPTIONS", "HEAD"):
        assert ANYBODY.get("/accounts/", method=method).status_code == 403
    assert ANYBODY.get("/accounts/", Accept="text/html").status_code == 406
    assert ANYBODY.get("/accounts/?format=xml").status_code == 404


def count_of_mismatches() -> float:
    return tenant_mismatches._value.get()


@pytest.mark.parametrize(
    ("ids", "warned"),
    [
        ({"account_number": "999999", "org_id": "200002"}, True),
        ({"account_number": "100001", "org_id": "400004"}, True),
        ({"account_number": "100001", "org_id": "unknown"}, True),
        ({"account_number": "300003", "org_id": "400004"}, True),
        ({"account_number": "100001", "org_id": "200002"}, False),
        ({"account_number": "300003", "org_id": "555"}, False),
        ({"account_number": "999999", "org_id": "400004"}, False),
        ({"org_id": "400004"}, False),
    ],
)
def test_ids_of_two_customers_are_noticed(ids, warned, caplog):
    before = count_of_mismatches()
    outcome(caller(**ids))
    warnings = [record for record in caplog.records if record.levelno == logging.WARNING]
    assert (count_of_mismatches() - before, len(warnings)) == (warned, warned)


def test_org_id_of_a_user_with_another_account_number(caplog):
    """Issue 14.18: the user is found as spec 01 §2.2 says, and decision 8's warning names both."""
    assert outcome(caller(account_number="999999", org_id="200002")) == "A"
    (record,) = [record for record in caplog.records if record.levelno == logging.WARNING]
    assert "'999999'" in record.getMessage()
    assert "'200002'" in record.getMessage()


def test_logs_name_no_secret(caplog):
    caplog.set_level(logging.DEBUG, logger="api")
    header = identity(account_number="100001", user={"email": "jdoe@example.com"})
    for who in (
        Caller({"X-RH-IDENTITY": header, "X-RH-INSIGHTS-REQUEST-ID": "abc-123"}),
        service("sekrit", org_id="400004"),
        service("not-the-key", org_id="400004"),
        Caller({"X-RH-IDENTITY": "c2VjcmV0"}),
    ):
        who.get("/accounts/")
    for secret in ("sekrit", "not-the-key", "jdoe", header, "c2VjcmV0"):
        assert secret not in caplog.text
    assert "abc-123" in caplog.text
    assert "swatch" in caplog.text


def test_identity_is_logged_on_request(caplog, settings):
    settings.VERBOSE_INSIGHTS_IDENTITY_HEADER_LOGGING = True
    caller(account_number="100001", user={"email": "jdoe@example.com"}).get("/accounts/")
    assert "jdoe@example.com" in caplog.text
