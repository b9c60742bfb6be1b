"""What customers need to know of us (spec 01 §9)."""

import pytest
from botocore.exceptions import EndpointConnectionError

from api.clouds.aws import session
from api.clouds.aws.policy import policy_document
from tests.api.public.callers import BASE, caller

pytestmark = pytest.mark.django_db

SOMEBODY = caller(org_id="5")


@pytest.fixture(autouse=True)
def nothing_known():
    """AWS has not told us yet who we are."""
    session.own_account_id.cache_clear()
    yield
    session.own_account_id.cache_clear()


def test_our_own_account_by_aws(aws, settings):
    settings.CLOUDIGRADE_VERSION = "9f1c2ab"
    assert SOMEBODY.get("/sysconfig/").json() == {
        "aws_account_id": "123456789012",
        "aws_policies": {"traditional_inspection": policy_document()},
        "azure_offer_template_path": f"{BASE}/azure-offer-template/",
        "version": "9f1c2ab",
    }


def unreachable():
    raise EndpointConnectionError(endpoint_url="https://sts.example.com")


def test_outage_before_and_after_the_first_answer(monkeypatch, settings):
    settings.CLOUDIGRADE_VERSION = None
    monkeypatch.setattr(session, "primary_account_id", unreachable)
    answer = SOMEBODY.get("/sysconfig/")
    assert (answer.status_code, answer.json()) == (500, {"detail": "A server error occurred."})
    monkeypatch.setattr(session, "primary_account_id", lambda: None)
    assert SOMEBODY.get("/sysconfig/").status_code == 500
    monkeypatch.setattr(session, "primary_account_id", lambda: "012345678901")
    assert SOMEBODY.get("/sysconfig/").json()["aws_account_id"] == "012345678901"
    monkeypatch.setattr(session, "primary_account_id", unreachable)
    answer = SOMEBODY.get("/sysconfig/").json()
    assert (answer["aws_account_id"], answer["version"]) == ("012345678901", None)
