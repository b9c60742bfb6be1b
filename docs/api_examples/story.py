"""What is asked of the APIs, in the order in which it is asked."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from django.test import Client

from api.clouds import provider
from api.models import CloudType
from docs.api_examples import world
from docs.api_examples.rendering import code_block, request_text, response_text
from tests.api.public.callers import identity

PUBLIC = "/api/cloudigrade/v2"
INTERNAL = "/internal/api/cloudigrade/v1"

IDENTITY = {
    "X-RH-IDENTITY": identity(account_number=world.ACCOUNT_NUMBER, org_id=world.ORG_ID),
}


@dataclass(frozen=True)
class Example:
    """A request and its answer, as blocks of code."""

    request: str
    response: str

    def __str__(self) -> str:
        return f"Request:\n\n{self.request}\n\nResponse:\n\n{self.response}"


def tell() -> dict[str, Example]:
    """Ask everything; returns the examples by name."""
    for cloud_type in CloudType.values:
        provider.register(world.AnyCloud(cloud_type))
    examples = {
        "create_user": _ask(
            f"{INTERNAL}/users/",
            body={
                "account_number": world.ACCOUNT_NUMBER,
                "org_id": world.ORG_ID,
                "date_joined": world.JOINED.isoformat().replace("+00:00", "Z"),
            },
        ),
        "find_user": _ask(f"{INTERNAL}/users/?org_id={world.ORG_ID}"),
        "create_aws_account": _create_account(cloud_type="aws", account_arn=world.ARN),
        "create_duplicate": _create_account(cloud_type="aws", account_arn=world.ARN, number=2),
        "create_azure_account": _create_account(
            cloud_type="azure", subscription_id=world.SUBSCRIPTION, number=3
        ),
    }
    world.store_findings()
    paths = {"root": "/", **_paths_of_objects(), **_paths_of_usage(), "sysconfig": "/sysconfig/"}
    examples |= {name: _ask(f"{PUBLIC}{path}", headers=IDENTITY) for name, path in paths.items()}
    examples["azure_offer"] = _ask(f"{PUBLIC}/azure-offer-template/")
    return examples


def _paths_of_objects() -> dict[str, str]:
    since = (world.TODAY - timedelta(days=15)).isoformat()
    return {
        "accounts": "/accounts/",
        "account": "/accounts/1/",
        "instances": "/instances/",
        "instance": "/instances/1/",
        "running_instances": f"/instances/?running_since={since}%2000:00:00%2B00:00",
        "images": "/images/",
        "image": "/images/1/",
    }


def _paths_of_usage() -> dict[str, str]:
    def day(number: int) -> str:
        return (world.TODAY + timedelta(days=number)).isoformat()

    long_ago = "start_date=2018-12-18%2000:00:00%2B00:00&end_date=2018-12-20%2000:00:00%2B00:00"
    return {
        "usage": f"/concurrent/?start_date={day(-7)}",
        "usage_partly_future": f"/concurrent/?start_date={day(-1)}&end_date={day(7)}",
        "usage_too_early": f"/concurrent/?start_date={day(-31)}",
        "usage_future": f"/concurrent/?start_date={day(1)}&end_date={day(7)}",
        "usage_before_joining": f"/concurrent/?{long_ago}",
        "hours": f"/usage/?start={day(-2)}&end={day(0)}",
        "hours_by_architecture": f"/usage/?start={day(-1)}&end={day(0)}&group_by[arch]=*",
    }


def _create_account(*, number: int = 1, **members: str) -> Example:
    ids = {
        "platform_authentication_id": 3300 + number,
        "platform_application_id": 2200 + number,
        "platform_source_id": 1100 + number,
    }
    return _ask(f"{INTERNAL}/accounts/", headers=IDENTITY, body={**members, **ids})


def _ask(
    path: str, *, headers: Mapping[str, str] | None = None, body: dict[str, Any] | None = None
) -> Example:
    method = "GET" if body is None else "POST"
    options: dict[str, Any] = {} if body is None else {"content_type": "application/json"}
    headers = headers or {}
    answer = getattr(Client(), method.lower())(path, body, headers=headers, **options)
    return Example(
        code_block(request_text(method, path, headers=headers, body=body), "bash"),
        code_block(response_text(answer.status_code, answer.headers, answer.content)),
    )
