"""Query parameters that narrow lists and single objects (spec 01 §7, §14.7)."""

import pytest

from tests import factories
from tests.api.public.callers import Caller

pytestmark = pytest.mark.django_db


def ids(answer) -> list[int]:
    assert answer.status_code == 200, answer.content
    key = next(name for name in ("instance_id", "image_id", "account_id") if _has(answer, name))
    return [row[key] for row in answer.json()["data"]]


def _has(answer, name: str) -> bool:
    return all(name in row for row in answer.json()["data"])


class TestRunningSince:
    @pytest.fixture
    def instances(self, customer_a):
        """By name: what has run without end, restarted, ended, and never run."""
        account = factories.make_aws_account(user=customer_a)
        made = {
            name: factories.make_instance(account=account)
            for name in ("endless", "restarted", "ended", "idle")
        }
        for name, start, end in (
            ("endless", "2019-06-02", None),
            ("restarted", "2019-06-01", "2019-06-03"),
            ("restarted", "2019-06-05", None),
            ("ended", "2019-06-01", "2019-06-03"),
        ):
            factories.make_run(
                instance=made[name],
                start=factories.utc(start),
                end=factories.utc(end) if end else None,
            )
        return {instance.id: name for name, instance in made.items()}

    @pytest.mark.parametrize(
        ("value", "expected"),
        [
            ("2019-06-01T23:59:59.999999Z", []),
            ("2019-06-02T00:00:00Z", ["endless"]),
            ("2019-06-02", ["endless"]),
            ("2019-06-02%2000:00", ["endless"]),
            ("2019-06-02T02:00:00%2B02:00", ["endless"]),
            ("2019-06-02T01:59:59%2B02:00", []),
            ("2019-06-01T22:00:00-02:00", ["endless"]),
            ("%20%202019-06-02T00:00:00Z%20", ["endless"]),
            ("2019-06-04", ["endless"]),
            ("2019-06-05", ["endless", "restarted"]),
            ("9999-12-31T23:59:59Z", ["endless", "restarted"]),
            ("", ["endless", "restarted", "ended", "idle"]),
            ("%20", ["endless", "restarted", "ended", "idle"]),
            ("potato&running_since=2019-06-02", ["endless"]),
        ],
    )
    def test_values(self, as_a, instances, value, expected):
        found = as_a.get(f"/instances/?running_since={value}")
        assert [instances[id] for id in ids(found)] == expected

    @pytest.mark.parametrize(
        "value",
        [
            "potato",
            "2019-13-01",
            "2019-02-30",
            "1559433600",
            "06/02/2019",
            "2019-06-02T00:00:00 00:00",
            "2019-06-02T00:00:00+02:00",
            "2019-06-02T24:00:00Z",
            "2019-06-02T00:00:60Z",
            "2019-06-02T00:00:00Zx",
            "2019-W01-1",
            "20190602",
            "0001-01-01T00:00:00%2B01:00",
            "9999-12-31T23:59:59-01:00",
            "%D9%A2019-06-02",
            "2019-06-02%00",
            "x" * 2000,
        ],
    )
    def test_wrong_values(self, as_a, instances, value):
        for path in ("/instances/", f"/instances/{next(iter(instances))}/"):
            answer = as_a.get(f"{path}?running_since={value}")
            assert answer.status_code == 400
            assert answer.json() == {"running_since": ["Enter a valid date/time."]}

    def test_single_instance(self, as_a, instances):
        names = {name: id for id, name in instances.items()}
        path = f"/instances/{names['restarted']}/?running_since="
        assert as_a.get(f"{path}2019-06-05").status_code == 200
        assert as_a.get(f"{path}2019-06-04").status_code == 404

    def test_more_than_one_filter_and_the_count(self, as_a, instances):
        answer = as_a.get("/instances/?running_since=2019-06-09&limit=1").json()
        assert answer["meta"]["count"] == 2
        assert answer["links"]["next"].endswith("?limit=1&offset=1&running_since=2019-06-09")


@pytest.fixture
def images(customer_a):
    """Three images in use, by what they are."""
    account = factories.make_aws_account(user=customer_a)
    made = [
        factories.make_rhel_image(architecture="x86_64", status="inspected"),
        factories.make_aws_image(architecture="arm64", status="pending"),
        factories.make_aws_image(architecture=None, status="inspected"),
    ]
    for image in made:
        for _ in range(2):
            factories.make_instance(account=account, image=image)
    return {image.id: name for image, name in zip(made, ("rhel", "arm", "odd"), strict=True)}


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("architecture=x86_64", ["rhel"]),
        ("architecture=%20arm64%20", ["arm"]),
        ("architecture=ARM64", []),
        ("architecture=", ["rhel", "arm", "odd"]),
        ("status=inspected", ["rhel", "odd"]),
        ("status=", ["rhel", "arm", "odd"]),
        ("status=bogus&status=pending", ["arm"]),
        ("status=inspected&architecture=x86_64", ["rhel"]),
        ("status=pending&architecture=x86_64", []),
        ("rhel_detected=true", ["rhel"]),
        ("rhel_detected=False", ["arm", "odd"]),
        ("rhel_detected=1&status=inspected", ["rhel"]),
        ("rhel_detected=", ["rhel", "arm", "odd"]),
        ("unknown=x", ["rhel", "arm", "odd"]),
    ],
)
def test_images(as_a, images, query, expected):
    assert [images[id] for id in ids(as_a.get(f"/images/?{query}"))] == expected
    for image_id, name in images.items():
        status = as_a.get(f"/images/{image_id}/?{query}").status_code
        assert status == (200 if name in expected else 404)


CHOICE = "Select a valid choice. {} is not one of the available choices."


@pytest.mark.parametrize(
    ("path", "errors"),
    [
        ("/images/?status=Pending", {"status": [CHOICE.format("Pending")]}),
        ("/images/?status=%20pending", {"status": [CHOICE.format(" pending")]}),
        ("/images/?status=%00", {"status": [CHOICE.format("\0")]}),
        ("/images/?architecture=%00", {"architecture": ["Null characters are not allowed."]}),
        ("/images/?rhel_detected=perhaps", {"rhel_detected": [CHOICE.format("perhaps")]}),
        (
            "/images/?status=x&architecture=y%00",
            {"status": [CHOICE.format("x")], "architecture": ["Null characters are not allowed."]},
        ),
        ("/accounts/?cloud_type=gcp", {"cloud_type": [CHOICE.format("gcp")]}),
        ("/accounts/?is_enabled=Maybe", {"is_enabled": [CHOICE.format("Maybe")]}),
        ("/instances/?cloud_account_id=x", {"cloud_account_id": ["Enter a whole number."]}),
        ("/instances/?machine_image_id=1.5", {"machine_image_id": ["Enter a whole number."]}),
    ],
)
def test_wrong_values(as_a, path, errors):
    answer = as_a.get(path)
    assert (answer.status_code, answer.json()) == (400, errors)


def test_accounts(as_a, customer_a):
    enabled = factories.make_aws_account(user=customer_a)
    disabled = factories.make_azure_account(user=customer_a, is_enabled=False)
    for query, expected in (
        ("cloud_type=aws", [enabled]),
        ("cloud_type=azure", [disabled]),
        ("is_enabled=true", [enabled]),
        ("is_enabled=false", [disabled]),
        ("is_enabled=false&cloud_type=aws", []),
    ):
        assert ids(as_a.get(f"/accounts/?{query}")) == [account.id for account in expected]
    assert as_a.get(f"/accounts/{enabled.id}/?cloud_type=azure").status_code == 404


def test_instances_by_account_and_image(as_a: Caller, customer_a):
    image = factories.make_aws_image()
    accounts = [factories.make_aws_account(user=customer_a) for _ in range(2)]
    first = factories.make_instance(account=accounts[0], image=image)
    second = factories.make_instance(account=accounts[1], image=image)
    third = factories.make_instance(account=accounts[1])
    for query, expected in (
        (f"cloud_account_id={accounts[1].id}", [second, third]),
        (f"machine_image_id={image.id}", [first, second]),
        (f"machine_image_id={image.id}&cloud_account_id={accounts[0].id}", [first]),
        (f"cloud_account_id={10**30}", []),
        (f"machine_image_id=-{10**30}", []),
    ):
        assert ids(as_a.get(f"/instances/?{query}")) == [instance.id for instance in expected]
    assert as_a.get(f"/instances/{first.id}/?cloud_account_id={10**30}").status_code == 404
