"""The part of the story about an image of which only its disk tells what it is (spec 05).

Its instances have run for days before it is looked into, so that the usage of past days changes.
"""

from collections.abc import Iterable, Mapping
from datetime import UTC, date, datetime, time, timedelta
from functools import partial
from itertools import groupby
from typing import Any

from deployment.local.app import Product
from deployment.local.demo.customers import Customer
from deployment.local.demo.entry_points import PUBLIC, Api, Records, require, wait_for
from deployment.local.demo.expected_usage import Category, Span, expected_usage
from tests.generators import cloudtrail

DAYS = 5
"""How long before the story the image came into use."""

SECONDS_FOR_USAGE = 120
"""In which the usage has to follow a result, without help."""

_SECONDS_FOR_INSPECTION = 120
_TYPE = "t3.micro"
_KEPT = "i-0globex00004"
_ENDED = ("i-0globex00005", "i-0globex00006")

Usage = dict[date, dict[Category, int]]

_TRACED = frozenset(
    {
        *("DescribeImages", "DescribeSnapshots", "ModifySnapshotAttribute"),
        *("DescribeSnapshotAttribute", "CopySnapshot", "DeleteSnapshot", "RunInstances"),
        *("ListSnapshotBlocks", "GetSnapshotBlock"),
    }
)


def inspection_calls(calls: Iterable[Mapping[str, Any]]) -> list[tuple[str, int]]:
    """Return the calls that inspections make, in order, each with how often in a row."""
    actions = [call["action"] for call in calls if call["action"] in _TRACED]
    return [(action, len(list(group))) for action, group in groupby(actions)]


class UnknownImage:
    """An image that a customer's instances use: one still does, two did for some time."""

    instances = (_KEPT, *_ENDED)

    def __init__(self, image_id: str, customer: Customer) -> None:
        self.image_id = image_id
        self._customer = customer
        self._today = datetime.combine(datetime.now(UTC).date(), time(), UTC)

    def days(self) -> list[date]:
        """Return the past days on which it was used; today is none of them."""
        return [self._moment(days_ago).date() for days_ago in range(DAYS, 0, -1)]

    def _moment(self, days_ago: int, hour: int = 0) -> datetime:
        return self._today - timedelta(days=days_ago) + timedelta(hours=hour)

    def let_customer_be_older(self, records: Records) -> None:
        """Let the customer have come to us when the image did: nobody wants to wait for days.

        What a log tells of the time before is not believed, so this is the one thing that the story
        writes into the database.
        """
        records.let_customer_be_older(self._customer.aws_account_id, since=self._moment(DAYS))

    def log(self) -> bytes:
        """Return CloudTrail's file about the instances, which was days under way."""
        account = self._customer.aws_account_id
        launch = partial(cloudtrail.run_instances, type=_TYPE, account=account)
        started, more, ended = self._moment(DAYS, 9), self._moment(3, 12), self._moment(2, 18)
        return cloudtrail.log_file(
            [
                launch(self._launched(_KEPT, started), at=started),
                launch(*(self._launched(one, more) for one in _ENDED), at=more),
                cloudtrail.terminate_instances(*_ENDED, account=account, at=ended),
            ]
        )

    def _launched(self, instance_id: str, at: datetime) -> dict[str, Any]:
        return cloudtrail.launched(instance_id, image=self.image_id, type=_TYPE, at=at)

    def spans(self, purpose: dict[str, str]) -> list[Span]:
        """Return the times in which the instances were on, once they are known to be RHEL."""
        facets = {
            "arch": "x86_64",
            "role": purpose["role"],
            "sla": purpose["service_level_agreement"],
            "usage": purpose["usage"],
        }
        ended = Span(self._moment(3, 12), self._moment(2, 18), **facets)
        return [Span(self._moment(DAYS, 9), None, **facets), *[ended] * len(_ENDED)]

    def wait_until_inspected(self, api: Api, product: Product) -> dict[str, Any]:
        """Return the image as soon as a worker has read its disk."""

        def inspected() -> dict[str, Any] | None:
            images = api.all(f"{PUBLIC}/images/", identity=self._customer.identity) or []
            return next(
                (
                    image
                    for image in images
                    if image["content_object"]["ec2_ami_id"] == self.image_id
                    and image["status"] == "inspected"
                ),
                None,
            )

        return wait_for(
            "the inspection of the image",
            inspected,
            product=product,
            seconds=_SECONDS_FOR_INSPECTION,
        )

    def wait_for_usage(self, api: Api, product: Product, spans: list[Span]) -> Usage:
        """Wait until the public API gives for each past day what these spans make; return that."""
        days = self.days()
        expected = {day: expected_usage(spans, day) for day in days}

        def usage() -> Usage | None:
            seen = api.usage_of_past(self._customer.identity, days[0], days[-1])
            return seen if seen == expected else None

        found = wait_for(
            f"the usage of {self._customer.name}'s past days",
            usage,
            product=product,
            seconds=SECONDS_FOR_USAGE,
        )
        require(len(found) == DAYS, f"there is usage of {len(found)} days")
        return found
