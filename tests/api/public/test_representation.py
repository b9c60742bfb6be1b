"""How answers look (spec 01 §1, §6, §7), whatever is in them."""

import datetime
import json
import re

import pytest

from api.public import listings
from tests import factories
from tests.api.public.callers import ANYBODY, BASE

pytestmark = pytest.mark.django_db

ROUTES = [
    "/",
    "/accounts/",
    "/instances/",
    "/images/",
    "/concurrent/",
    "/sysconfig/",
    "/azure-offer-template/",
]


@pytest.fixture
def environment(customer_a, usage_of_a, own_aws_account):
    """Customer A has an account, an instance and an image of each cloud."""
    accounts = [
        factories.make_aws_account(user=customer_a, aws_account_id="012345678901"),
        factories.make_azure_account(
            user=customer_a,
            subscription_id="6A1D7C0E-93B4-4C7E-9A53-0C5A3B1F77D2",
            is_enabled=False,
            platform_application_is_paused=True,
        ),
    ]
    images = [factories.make_image(account=account, name="Größe 猫") for account in accounts]
    return [
        factories.make_instance(account=account, image=image)
        for account, image in zip(accounts, images, strict=True)
    ]


@pytest.mark.parametrize("path", ROUTES)
def test_headers(as_a, environment, path):
    answer = as_a.get(path)
    assert answer.status_code == 200
    assert answer["Content-Type"] == "application/json"
    assert answer["Allow"] == "GET, HEAD, OPTIONS"
    assert answer["X-Content-Type-Options"] == "nosniff"
    assert answer["X-Frame-Options"] == "DENY"
    assert answer["Referrer-Policy"] == "same-origin"
    assert answer["Cross-Origin-Opener-Policy"] == "same-origin"
    assert "ETag" not in answer
    assert "Vary" not in answer
    assert not answer.cookies
    assert ("Access-Control-Allow-Origin" in answer) == (path == "/azure-offer-template/")


@pytest.mark.parametrize("path", ROUTES)
def test_head_is_get_without_body(as_a, environment, path):
    head, get = as_a.get(path, method="HEAD"), as_a.get(path)
    assert head.status_code == get.status_code
    assert head.content == b""
    for answer in (head, get):
        del answer.headers["X-CLOUDIGRADE-REQUEST-ID"]
    assert dict(head.headers) == dict(get.headers)


@pytest.mark.parametrize("path", ROUTES)
def test_options(as_a, environment, path):
    answer = as_a.get(path, method="OPTIONS")
    assert answer.status_code == 200
    assert answer.json().keys() == {"name", "description", "renders", "parses"}
    assert answer.json()["renders"] == ["application/json"]
    assert "Access-Control-Allow-Origin" not in answer
    anonymous = ANYBODY.get(path, method="OPTIONS")
    assert anonymous.status_code == (200 if path == "/azure-offer-template/" else 403)


def test_preflight_of_the_offer():
    answer = ANYBODY.get(
        "/azure-offer-template/",
        method="OPTIONS",
        Origin="https://portal.azure.com",
        Access_Control_Request_Method="GET",
        Access_Control_Request_Headers="x-ms-thing",
    )
    assert answer.status_code == 200
    assert answer["Access-Control-Allow-Origin"] == "*"
    assert answer["Access-Control-Allow-Methods"] == "GET, HEAD, OPTIONS"
    assert answer["Access-Control-Allow-Headers"] == "*"


@pytest.mark.parametrize("path", ROUTES)
@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "TRACE", "PROPFIND"])
def test_nothing_can_be_written(as_a, environment, path, method):
    answer = as_a.get(path, method=method)
    assert answer.status_code == 405
    assert answer["Allow"] == "GET, HEAD, OPTIONS"
    assert answer.json() == {"detail": f'Method "{method}" not allowed.'}


@pytest.mark.parametrize(
    ("accept", "status"),
    [
        ("application/json", 200),
        ("application/json; indent=4", 200),
        ("*/*", 200),
        ("application/*", 200),
        ("text/html, application/json;q=0.1", 200),
        ("text/html,*/*;q=0.8", 200),
        ("text/html", 406),
        ("application/xml", 406),
        ("nonsense", 406),
    ],
)
def test_negotiation(as_a, environment, accept, status):
    answer = as_a.get("/accounts/", Accept=accept)
    assert answer.status_code == status
    assert answer["Content-Type"] == "application/json"
    assert b"\n" not in answer.content


@pytest.mark.parametrize(
    "path", ["/.json", "/accounts.json", "/images.json?format=json", "/concurrent/?format=json"]
)
def test_formats_that_there_are(as_a, environment, path):
    assert as_a.get(path).status_code == 200


@pytest.mark.parametrize(
    "path",
    [
        "/accounts.xml",
        "/accounts/?format=xml",
        "/accounts/?format=api",
        "/azure-offer-template.yaml",
        "/openapi.json/",
        "/sysconfig/1/",
        "/concurrent/1/",
        "/azure-offer-template/1/",
        "/Accounts/",
        "/nothing/",
        "/accounts/1/more/",
    ],
)
def test_what_there_is_not(as_a, environment, path):
    answer = as_a.get(path)
    assert (answer.status_code, answer.json()) == (404, {"detail": "Not found."})
    assert "X-CLOUDIGRADE-REQUEST-ID" in answer


def test_suffixes_stay_in_links(as_a, environment):
    root = as_a.get("/.json").json()
    assert root["accounts"] == f"http://testserver{BASE}/accounts.json"
    links = as_a.get("/accounts.json?limit=1").json()["links"]
    assert links["next"] == f"{BASE}/accounts.json?limit=1&offset=1"
    first = as_a.get("/accounts.json").json()["data"][0]
    assert as_a.get(f"/accounts/{first['account_id']}.json").json() == first


def test_json_is_compact_and_unescaped(as_a, environment):
    text = as_a.get("/images/").content.decode()
    assert "Größe 猫" in text
    assert text == json.dumps(json.loads(text), ensure_ascii=False, separators=(",", ":"))
    text = as_a.get("/concurrent/").content.decode()
    assert text == json.dumps(json.loads(text), ensure_ascii=False, separators=(",", ":"))


def test_accounts(as_a, environment):
    aws, azure = as_a.get("/accounts/").json()["data"]
    assert aws.keys() == azure.keys()
    assert aws.keys() == {
        "account_id",
        "created_at",
        "updated_at",
        "user_id",
        "cloud_type",
        "content_object",
        "is_enabled",
        "platform_authentication_id",
        "platform_application_id",
        "platform_application_is_paused",
        "platform_source_id",
    }
    assert aws["content_object"].keys() == {
        "aws_cloud_account_id",
        "aws_account_id",
        "account_arn",
        "created_at",
        "updated_at",
    }
    assert aws["content_object"]["aws_account_id"] == "012345678901"
    assert azure["content_object"]["subscription_id"] == "6a1d7c0e-93b4-4c7e-9a53-0c5a3b1f77d2"
    assert (azure["is_enabled"], azure["platform_application_is_paused"]) == (False, True)


def test_instances(as_a, environment):
    aws, azure = as_a.get("/instances/").json()["data"]
    assert aws.keys() == azure.keys()
    assert aws.keys() == {
        "instance_id",
        "cloud_account_id",
        "machine_image_id",
        "created_at",
        "updated_at",
        "cloud_type",
        "content_object",
    }
    common = {"region", "created_at", "updated_at"}
    assert aws["content_object"].keys() == common | {"aws_instance_id", "ec2_instance_id"}
    assert azure["content_object"].keys() == common | {"azure_instance_id", "resource_id"}


def test_images(as_a, environment):
    aws, azure = as_a.get("/images/").json()["data"]
    assert aws.keys() == azure.keys()
    assert len(aws) == 21
    for row in (aws, azure):
        content = row["content_object"]
        assert content["id"] == content[f"{row['cloud_type']}_image_id"]
    assert aws["content_object"].keys() == {
        "aws_image_id",
        "id",
        "ec2_ami_id",
        "owner_aws_account_id",
        "platform",
        "region",
        "is_cloud_access",
        "is_marketplace",
        "product_codes",
        "platform_details",
        "usage_operation",
        "created_at",
        "updated_at",
    }
    assert azure["content_object"].keys() == {
        "azure_image_id",
        "id",
        "resource_id",
        "region",
        "is_marketplace",
        "created_at",
        "updated_at",
    }


@pytest.mark.parametrize(
    "text", ["no JSON", "[]", '{"syspurpose": ["x"], "rhel_signed_packages_found": null}', ""]
)
def test_odd_inspection_results(as_a, customer_a, text):
    image = factories.make_aws_image(inspection_json=text, platform="windows")
    factories.make_instance(account=factories.make_aws_account(user=customer_a), image=image)
    row = as_a.get(f"/images/{image.id}/").json()
    found = [row[name] for name in row if name.endswith("_found")]
    assert found == [False] * 4
    assert (row["rhel"], row["rhel_version"], row["syspurpose"]) == (False, None, None)
    assert row["content_object"]["platform"] == "windows"


@pytest.mark.parametrize(
    ("moment", "text"),
    [
        ("2020-05-18T13:51:59.722367", "2020-05-18T13:51:59.722367Z"),
        ("2020-05-04T00:00:00", "2020-05-04T00:00:00Z"),
        ("2020-05-04T00:00:00.000100", "2020-05-04T00:00:00.000100Z"),
    ],
)
def test_instants(as_a, customer_a, moment, text):
    factories.make_aws_account(user=customer_a, created_at=factories.utc(moment))
    (row,) = as_a.get("/accounts/").json()["data"]
    assert row["created_at"] == text


def test_orders(as_a, customer_a):
    accounts = [factories.make_aws_account(user=customer_a) for _ in range(3)]
    same = factories.utc("2020-01-01")
    instances = [
        factories.make_instance(
            account=account,
            image=factories.make_aws_image(),
            created_at=same - days * datetime.timedelta(days=1),
        )
        for days in (0, 1, 1)
        for account in reversed(accounts)
    ]
    shown = [row["account_id"] for row in as_a.get("/accounts/").json()["data"]]
    assert shown == [account.id for account in accounts]
    shown = [row["instance_id"] for row in as_a.get("/instances/").json()["data"]]
    assert shown == [
        instance.id for instance in sorted(instances, key=lambda row: (row.created_at, row.id))
    ]
    shown = [row["image_id"] for row in as_a.get("/images/").json()["data"]]
    assert shown == sorted(instance.machine_image_id for instance in instances)


@pytest.mark.parametrize("shallow", [0, 12, 1000])
@pytest.mark.parametrize("merged", [0, 2, 3])
def test_every_page_of_instances(as_a, customer_a, monkeypatch, merged, shallow):
    """Whichever way a page is read, the list is the same."""
    accounts = [factories.make_aws_account(user=customer_a) for _ in range(3)]
    start = factories.utc("2020-01-01")
    for number in range(23):
        factories.make_instance(
            account=accounts[number * number % 3],
            created_at=start + (number * 7 % 10) * datetime.timedelta(hours=1),
        )
    whole = as_a.get("/instances/?limit=100").json()["data"]
    assert len(whole) == 23
    monkeypatch.setattr(listings, "MERGED_ACCOUNTS", merged)
    monkeypatch.setattr(listings, "SHALLOW", shallow)
    for limit in (1, 4, 10):
        for offset in range(0, 25, 3):
            page = as_a.get(f"/instances/?limit={limit}&offset={offset}").json()["data"]
            assert page == whole[offset : offset + limit]


def test_request_ids_are_fresh(as_a):
    answers = [as_a.get("/accounts/", X_CLOUDIGRADE_REQUEST_ID="mine") for _ in range(2)]
    first, second = (answer["X-CLOUDIGRADE-REQUEST-ID"] for answer in answers)
    assert first != second
    assert re.fullmatch(r"[0-9a-f-]{36}", first)
