"""The acceptance scenarios of spec 01 §16, in their order and under their numbers."""

import json
import uuid

import pytest

from api.models import CloudAccount, User
from api.public import views
from tests import factories
from tests.api.public.callers import ANYBODY, BASE, Caller, caller, encode, service

PARSING = "Authentication Failed: invalid identity header failed parsing."
NEITHER = (
    "Authentication Failed: identity account number or org id is required, "
    "but neither is present in request."
)
CREDENTIALS = "Incorrect authentication credentials."

pytestmark = pytest.mark.django_db


def dates(answer) -> list[str]:
    return [day["date"] for day in answer.json()["data"]]


@pytest.fixture
def psks(settings):
    settings.CLOUDIGRADE_PSKS = {"swatch": "sekrit"}


@pytest.fixture
def accounts_of_a(customer_a) -> list[CloudAccount]:
    return [factories.make_aws_account(user=customer_a) for _ in range(28)]


def test_scenario_01_no_header():
    answer = ANYBODY.get("/accounts/")
    assert answer.status_code == 403
    assert answer.json() == {"detail": CREDENTIALS}
    assert str(uuid.UUID(answer["X-CLOUDIGRADE-REQUEST-ID"])) == answer["X-CLOUDIGRADE-REQUEST-ID"]
    assert "WWW-Authenticate" not in answer


def test_scenario_02_org_id_only(customer_c):
    for _ in range(3):
        factories.make_aws_account(user=customer_c)
    answer = caller(org_id="400004").get("/accounts/")
    assert (answer.status_code, answer.json()["meta"]["count"]) == (200, 3)


def test_scenario_03_unknown_customer(customer_a):
    before = User.objects.count()
    answer = caller(account_number="999999", org_id="888888").get("/accounts/")
    assert (answer.status_code, answer.json()) == (403, {"detail": CREDENTIALS})
    assert User.objects.count() == before


def test_scenario_04_header_without_padding():
    answer = Caller({"X-RH-IDENTITY": "111"}).get("/accounts/")
    assert (answer.status_code, answer.json()) == (403, {"detail": PARSING})


def test_scenario_05_sysconfig_needs_ids():
    answer = Caller({"X-RH-IDENTITY": encode({"identity": {}})}).get("/sysconfig/")
    assert (answer.status_code, answer.json()) == (403, {"detail": NEITHER})


def test_scenario_06_sysconfig_for_the_unknown(own_aws_account):
    answer = caller(account_number="5").get("/sysconfig/")
    assert answer.status_code == 200
    assert answer.json().keys() == {
        "aws_account_id",
        "aws_policies",
        "azure_offer_template_path",
        "version",
    }
    assert not User.objects.exists()


def test_scenario_07_no_admin_needed(customer_a):
    answer = caller(account_number="100001", user={"is_org_admin": False}).get("/accounts/")
    assert answer.status_code == 200


def test_scenario_08_psk_with_org_id(customer_c, psks):
    account = factories.make_aws_account(user=customer_c)
    answer = service("sekrit", org_id="400004").get("/accounts/")
    assert answer.status_code == 200
    assert [row["account_id"] for row in answer.json()["data"]] == [account.id]


def test_scenario_09_psk_alone(psks):
    answer = service("sekrit").get("/accounts/")
    assert (answer.status_code, answer.json()) == (403, {"detail": NEITHER})


def test_scenario_10_wrong_psk(customer_c, psks):
    answer = service("wrong", org_id="400004").get("/concurrent/")
    assert answer.status_code == 403
    assert answer.json() == {"detail": "Authentication Failed: Invalid PSK specified in header"}


def test_scenario_11_other_methods(as_a):
    answer = as_a.get("/accounts/", method="POST")
    assert (answer.status_code, answer.json()) == (405, {"detail": 'Method "POST" not allowed.'})
    assert answer["Allow"] == "GET, HEAD, OPTIONS"
    assert ANYBODY.get("/accounts/", method="POST").status_code == 403


@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS", "POST", "PUT", "DELETE"])
def test_scenario_12_missing_slash(method):
    answer = ANYBODY.get("/accounts?limit=3", method=method)
    assert (answer.status_code, answer["Location"]) == (301, f"{BASE}/accounts/?limit=3")


def test_scenario_13_html_is_not_to_be_had(as_a):
    answer = as_a.get("/accounts/", Accept="text/html")
    assert answer.status_code == 406
    assert answer.json() == {"detail": "Could not satisfy the request Accept header."}


def test_scenario_14_root(as_a):
    answer = as_a.get("/", Host="c.example.com")
    assert answer.status_code == 200
    assert list(answer.json()) == [
        "accounts",
        "instances",
        "images",
        "sysconfig",
        "azure-offer-template",
        "concurrent",
    ]
    assert answer.json()["concurrent"] == f"http://c.example.com{BASE}/concurrent/"


def test_scenario_15_aws_account(as_a, customer_a):
    factories.make_aws_account(
        user=customer_a,
        aws_account_id="514321987655",
        account_arn="arn:aws:iam::514321987655:role/r",
    )
    (row,) = as_a.get("/accounts/").json()["data"]
    assert row["content_object"]["aws_account_id"] == "514321987655"
    assert row["cloud_type"] == "aws"
    assert "account_arn" not in row


def test_scenario_16_azure_account(as_a, customer_a):
    factories.make_azure_account(user=customer_a)
    (row,) = as_a.get("/accounts/").json()["data"]
    assert row["content_object"].keys() == {
        "azure_cloud_account_id",
        "subscription_id",
        "created_at",
        "updated_at",
    }


def test_scenario_17_somebody_elses_account(as_b, customer_a):
    account = factories.make_aws_account(user=customer_a)
    for path in (f"/accounts/{account.id}/", "/accounts/abc/"):
        answer = as_b.get(path)
        assert (answer.status_code, answer.json()) == (404, {"detail": "Not found."})


def test_scenario_18_middle_page(as_a, accounts_of_a):
    answer = as_a.get("/accounts/?limit=5&offset=3").json()
    assert len(answer["data"]) == 5
    assert answer["links"] == {
        "first": f"{BASE}/accounts/?limit=5&offset=0",
        "previous": f"{BASE}/accounts/?limit=5",
        "next": f"{BASE}/accounts/?limit=5&offset=8",
        "last": f"{BASE}/accounts/?limit=5&offset=23",
    }


def test_scenario_19_limit_zero(as_a, accounts_of_a):
    answer = as_a.get("/accounts/?limit=0").json()
    assert len(answer["data"]) == 10
    assert answer["links"]["next"] == f"{BASE}/accounts/?limit=10&offset=10"


def test_scenario_20_nothing(as_a):
    answer = as_a.get("/accounts/").json()
    assert (answer["meta"]["count"], answer["data"]) == (0, [])
    link = f"{BASE}/accounts/?limit=10&offset=0"
    assert answer["links"] == {"first": link, "next": None, "previous": None, "last": link}


def test_scenario_21_unknown_image(as_a, customer_a):
    factories.make_instance(account=factories.make_aws_account(user=customer_a))
    (row,) = as_a.get("/instances/").json()["data"]
    assert row["machine_image_id"] is None


def test_scenario_22_running_since(as_a, customer_a):
    instance = factories.make_instance(account=factories.make_aws_account(user=customer_a))
    factories.make_run(instance=instance, start=factories.utc("2019-02-02"))
    found = as_a.get("/instances/?running_since=2019-02-02T00:00:00Z").json()["data"]
    assert [row["instance_id"] for row in found] == [instance.id]
    assert as_a.get("/instances/?running_since=2019-02-01T23:59:59Z").json()["data"] == []


def test_scenario_23_running_since_potato(as_a):
    answer = as_a.get("/instances/?running_since=potato")
    assert answer.status_code == 400
    assert answer.json() == {"running_since": ["Enter a valid date/time."]}


def test_scenario_24_shared_image(as_a, as_b, as_c, customer_a, customer_b):
    image = factories.make_aws_image()
    for user in (customer_a, customer_b):
        factories.make_instance(account=factories.make_aws_account(user=user), image=image)
    statuses = [who.get(f"/images/{image.id}/").status_code for who in (as_a, as_b, as_c)]
    assert statuses == [200, 200, 404]


def test_scenario_25_bogus_status(as_a):
    answer = as_a.get("/images/?status=bogus")
    assert answer.status_code == 400
    assert answer.json() == {
        "status": ["Select a valid choice. bogus is not one of the available choices."]
    }


def test_scenario_26_architecture(as_a, customer_a):
    account = factories.make_aws_account(user=customer_a)
    for architecture in ("x86_64", "arm64", None):
        image = factories.make_aws_image(architecture=architecture)
        factories.make_instance(account=account, image=image)
    found = as_a.get("/images/?architecture=arm64").json()["data"]
    assert [row["architecture"] for row in found] == ["arm64"]
    assert as_a.get("/images/?architecture=ARM64").json()["data"] == []


def test_scenario_27_inspected_image(as_a, customer_a):
    text = json.dumps({"rhel_release_files_found": True, "syspurpose": {"role": "potato"}})
    image = factories.make_aws_image(inspection_json=text)
    factories.make_instance(account=factories.make_aws_account(user=customer_a), image=image)
    row = as_a.get(f"/images/{image.id}/").json()
    assert (row["rhel"], row["rhel_detected"], row["rhel_version"]) == (True, True, None)
    assert row["rhel_release_files_found"] is True
    assert row["rhel_signed_packages_found"] is False
    assert row["syspurpose"] == {"role": "potato"}
    assert row["inspection_json"] == text


def test_scenario_28_cloud_access(as_a, customer_a):
    image = factories.make_aws_image(
        name="RHEL-8-Access2-GP2", owner_aws_account_id="841258680906", status="pending"
    )
    factories.make_instance(account=factories.make_aws_account(user=customer_a), image=image)
    row = as_a.get(f"/images/{image.id}/").json()
    assert (row["content_object"]["is_cloud_access"], row["rhel"]) == (True, True)


def test_scenario_29_usage_of_yesterday(as_a, usage_of_a):
    answer = as_a.get("/concurrent/")
    assert (answer.status_code, answer.json()["meta"]["count"]) == (200, 1)
    assert dates(answer) == ["2019-04-16"]


def test_scenario_30_usage_of_a_range(as_a, usage_of_a):
    answer = as_a.get("/concurrent/?start_date=2019-01-01&end_date=2019-01-04")
    assert dates(answer) == ["2019-01-01", "2019-01-02", "2019-01-03"]


def test_scenario_31_missing_day(as_a, usage_of_a):
    path = "/concurrent/?start_date=2019-02-05&end_date=2019-02-12"
    answer = as_a.get(path)
    assert (answer.status_code, answer.reason_phrase) == (425, "Too Early")
    assert answer.json() == {"detail": "Results are currently unavailable, try again later."}
    first_page = as_a.get(f"{path}&limit=5")
    assert (first_page.status_code, first_page.json()["meta"]["count"]) == (200, 7)
    assert len(dates(first_page)) == 5


def test_scenario_32_today(as_a, usage_of_a):
    answer = as_a.get("/concurrent/?start_date=2019-04-17")
    assert answer.status_code == 400
    assert answer.json() == {"start_date": ["start_date cannot be today or in the future."]}


def test_scenario_33_potato_and_gems(as_a, usage_of_a):
    answer = as_a.get("/concurrent/?start_date=potato&end_date=gems")
    assert answer.status_code == 400
    assert answer.json() == {
        "start_date": ["start_date must be a date (YYYY-MM-DD)."],
        "end_date": ["end_date must be a date (YYYY-MM-DD)."],
    }


def test_scenario_34_before_the_customer_joined(as_a, usage_of_a):
    answer = as_a.get("/concurrent/?start_date=2018-12-31")
    assert answer.status_code == 400
    assert answer.json() == {
        "start_date": ["start_date must be same as or after the user creation date."]
    }


def test_scenario_35_all_of_the_history(as_a, usage_of_a):
    answer = as_a.get("/concurrent/?start_date=2019-01-01").json()
    assert (answer["meta"]["count"], len(answer["data"])) == (106, 10)
    assert "offset=96" in answer["links"]["last"]


def test_scenario_36_azure_offer(settings):
    settings.AZURE_LIGHTHOUSE_OFFER_NAME = "cloudigrade-stage"
    answer = ANYBODY.get("/azure-offer-template/")
    assert (answer.status_code, answer["Access-Control-Allow-Origin"]) == (200, "*")
    parameters = answer.json()["parameters"]
    assert parameters["mspOfferName"]["defaultValue"] == "cloudigrade-stage"
    assert len(parameters["authorizations"]["defaultValue"]) == 2


def test_scenario_37_policy(as_a, own_aws_account):
    policy = as_a.get("/sysconfig/").json()["aws_policies"]["traditional_inspection"]
    actions = policy["Statement"][0]["Action"]
    assert (len(actions), actions[0], actions[-1]) == (
        14,
        "ec2:DescribeImages",
        "cloudtrail:DeleteTrail",
    )


def test_scenario_38_document():
    answer = ANYBODY.get("/openapi.json")
    assert (answer.status_code, answer["Content-Type"]) == (
        200,
        "application/vnd.oai.openapi+json",
    )
    assert answer.json()["info"]["title"] == "Cloudigrade"
    # Nineteen came on top (spec 10 and 11).
    assert len(answer.json()["paths"]) == 9 + 19


def test_scenario_39_unexpected_exception(as_a, monkeypatch):
    def fail(*_):
        raise RuntimeError("the secret cause")

    monkeypatch.setattr(views.AccountListing, "page", fail)
    answer = as_a.get("/accounts/")
    assert (answer.status_code, answer.json()) == (500, {"detail": "A server error occurred."})
    assert "secret" not in answer.content.decode()


def test_scenario_40_no_input_is_a_server_error(as_a):
    answer = Caller({"X-RH-IDENTITY": encode([])}).get("/accounts/")
    assert (answer.status_code, answer.json()) == (403, {"detail": PARSING})
    assert as_a.get("/accounts/99999999999999999999/").status_code == 404
