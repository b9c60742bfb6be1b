"""The part of the story about what may be wrong with a past day, and how it is found (spec 10).

A customer of three days. Of one day a log file is delivered of which no queue is told; on the next
one an instance shuts itself down, which no log tells either. The audit of the bucket finds the
first, a describe of the account the second.
"""

from collections.abc import Sequence
from datetime import UTC, date, datetime, time, timedelta
from functools import partial
from typing import Any

from deployment.local.app import Product
from deployment.local.aws import AwsControl
from deployment.local.demo.customers import Customer
from deployment.local.demo.entry_points import INTERNAL, PUBLIC, Api, Records, require, wait_for
from deployment.local.demo.expected_usage import TOTAL, Span, expected_usage
from deployment.local.demo.log_bucket import LogBucket
from tests.generators import cloudtrail

AUDIT = "api.clouds.aws.tasks.audit_logs"
COVERAGE = "api.tasks.calculate_coverage"
DESCRIBE = "api.clouds.aws.tasks.initial_aws_describe_instances"

MAX_DESCRIBE_GAP = 3 * 86400
"""Seconds: the customer is described when they come to us, and now."""

_TYPE = "m5.large"
_SEEN, _LOST, _SHUT_DOWN, _SHORT = (f"i-0hooli00000{number}" for number in range(1, 5))


class PastDays:
    """Two past days of a customer, who came to us on the first of them."""

    def __init__(
        self,
        *,
        api: Api,
        aws: AwsControl,
        customer: Customer,
        image_id: str,
        logs: LogBucket,
        product: Product,
        records: Records,
    ) -> None:
        self._api = api
        self._aws = aws
        self._customer = customer
        self._image_id = image_id
        self._logs = logs
        self._product = product
        self._records = records
        today = datetime.combine(datetime.now(UTC).date(), time(), UTC)
        self._first, self._second = today - timedelta(days=2), today - timedelta(days=1)
        self._account_id = 0

    def let_time_pass(self) -> None:
        """Have the customer's account be enabled and described for the first time two days ago.

        What a log tells of the time before is not believed, and nothing can be described as it was,
        so the story moves the records of what has just happened.
        """
        number = self._customer.aws_account_id
        self._account_id = wait_for(
            "the first describe of the account",
            lambda: self._records.value(
                "SELECT max(account.id) FROM api_cloudaccount account"  # noqa: S608
                " JOIN api_describerun run ON run.cloud_account_id = account.id"
                f" WHERE account.aws_account_id = '{number}' AND run.outcome = 'ok'"
            ),
            product=self._product,
        )
        self._records.let_account_be_older(self._account_id, since=self._at(self._first, 6))

    @staticmethod
    def _at(day: datetime, hour: int, minute: int = 0) -> datetime:
        return day + timedelta(hours=hour, minutes=minute)

    def _launch(self, instance_id: str, at: datetime) -> Any:
        item = cloudtrail.launched(instance_id, image=self._image_id, type=_TYPE, at=at)
        return partial(cloudtrail.run_instances, item, type=_TYPE, at=at)

    def _file(self, *makers: Any) -> bytes:
        account = self._customer.aws_account_id
        return cloudtrail.log_file([make(account=account) for make in makers])

    def deliver_logs(self) -> str:
        """Deliver two log files, one of them without telling a queue; return the key of that."""
        first, second = self._first, self._second
        self._logs.deliver(
            self._customer,
            self._file(
                self._launch(_SEEN, self._at(first, 9)),
                partial(cloudtrail.terminate_instances, _SEEN, at=self._at(first, 17)),
                self._launch(_SHUT_DOWN, self._at(second, 9)),
                self._launch(_SHORT, self._at(second, 18)),
                partial(cloudtrail.terminate_instances, _SHORT, at=self._at(second, 20)),
            ),
        )
        withheld = self._file(
            self._launch(_LOST, self._at(first, 13, 50)),
            partial(cloudtrail.terminate_instances, _LOST, at=self._at(first, 13, 58)),
        )
        return self._logs.withhold(self._customer, withheld, at=self._at(first, 14))

    def see_numbers(self) -> None:
        """Wait until both days have the numbers that the delivered log file makes."""
        self._wait_for_usage(self._spans())

    def _spans(self, *others: Span) -> list[Span]:
        rhel = partial(Span, arch="x86_64")
        return [
            rhel(self._at(self._first, 9), self._at(self._first, 17)),
            rhel(self._at(self._second, 9), None),
            rhel(self._at(self._second, 18), self._at(self._second, 20)),
            *others,
        ]

    def _wait_for_usage(self, spans: Sequence[Span]) -> dict[date, int]:
        days = [self._first.date(), self._second.date()]
        expected = {day: expected_usage(spans, day) for day in days}
        wait_for(
            f"the usage of {self._customer.name}'s past days to be {expected}",
            lambda: self._api.usage_of_past(self._customer.identity, *days) == expected,
            product=self._product,
        )
        return {day: counts[TOTAL] for day, counts in expected.items()}

    def find_and_repair(self, key: str) -> list[str]:
        """Have the withheld file found while SQS is away, and processed when it is back.

        Return lines about the day before and after.
        """
        day = self._first.date()
        self._describe_account()
        self._aws.refuse("sqs", "SendMessageBatch", "InternalError")
        self._run(AUDIT)
        [(start, end)] = wait_for(
            f"the audit to find {key}",
            lambda: self._records.rows(
                "SELECT events_from, events_to FROM api_auditfinding"  # noqa: S608
                f" WHERE key = '{key}' AND reason = 'log_unprocessed'"
            ),
            product=self._product,
        )
        before = self._day_with_state(day, "partial")
        gap = {"from": _text(start), "to": _text(end), "reason": "log_unprocessed"}
        require(gap in before["gaps"], f"the day's gaps are {before['gaps']}")
        lines = [f"  {day}: 1 at once, partial: log_unprocessed from {start:%H:%M} to {end:%H:%M}"]
        self._aws.refuse_nothing()
        self._run(AUDIT)
        found = Span(self._at(self._first, 13, 50), self._at(self._first, 13, 58), "x86_64")
        counts = self._wait_for_usage(self._spans(found))
        after = self._day_with_state(day, "complete")
        reasons = {one["reason"] for one in after["gaps"]}
        require(reasons == {"not_metered"}, f"the day's gaps are {after['gaps']}")
        return [
            *lines,
            f"  {day}: {counts[day]} at once, complete, after the audit queued it again",
        ]

    def _describe_account(self) -> None:
        """Have EC2 describe what there is, as it does every six hours."""
        self._run(DESCRIBE, aws_cloud_account_id=self._account_id)
        wait_for(
            "a describe to find that an instance is gone",
            lambda: self._records.value(
                "SELECT count(*) FROM api_correction"  # noqa: S608
                f" WHERE cloud_account_id = {self._account_id} AND kind = 'missed_off'"
            ),
            product=self._product,
        )

    def _run(self, task: str, **arguments: Any) -> None:
        self._api.post("/internal/tasks/", {"task_name": task, "kwargs": arguments})

    def _day_with_state(self, day: date, state: str) -> dict[str, Any]:
        """Have the coverage calculated; return the account's day when it is in the state."""
        self._run(COVERAGE)

        def found() -> dict[str, Any] | None:
            page = self._api.get(
                f"{PUBLIC}/coverage/",
                identity=self._customer.identity,
                start_date=day.isoformat(),
                end_date=(day + timedelta(days=1)).isoformat(),
            )
            return next((one for one in page["data"] if one["state"] == state), None)

        return wait_for(f"the coverage of {day} to be {state}", found, product=self._product)

    def see_correction(self) -> list[str]:
        """Check the error bars of the day of which a describe corrected something.

        Return lines about the day.
        """
        day = self._second.date()
        covered = self._day_with_state(day, "corrected")
        gap = {
            "from": _text(self._at(self._second, 9)),
            "to": _text(self._at(self._second, 24)),
            "reason": "correction",
        }
        require(covered["gaps"] == [gap], f"the day's gaps are {covered['gaps']}")
        [shown] = self._api.get(
            f"{PUBLIC}/concurrent/",
            identity=self._customer.identity,
            start_date=day.isoformat(),
            end_date=(day + timedelta(days=1)).isoformat(),
            include="quality",
        )["data"]
        quality = shown["quality"]
        bars = (quality["state"], quality["count_min"], quality["count_max"])
        require(bars == ("corrected", 1, 2), f"the day's quality is {quality}")
        [correction] = self._api.get(
            f"{INTERNAL}/corrections/", account_id=self._account_id, kind="missed_off"
        )["data"]
        return [
            f"  {day}: 2 at once, corrected: from {bars[1]} to {bars[2]}",
            f"    {_SHUT_DOWN} was on at {correction['unsure_from']}, and off at "
            f"{correction['unsure_to']}",
        ]


def _text(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat().removesuffix("+00:00") + "Z"
