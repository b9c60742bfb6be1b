"""What is wrong at the end of a soak: numbers, leftovers, statuses, messages to consumers."""

import base64
import json
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from http import HTTPStatus
from typing import Any

import requests

from deployment.local.demo.expected_usage import TOTAL
from deployment.local.http import local_session
from tests.api.push.broker import Follower, events, received
from tests.e2e.load import PUBLIC
from tests.e2e.sources_environment import Customer
from tests.soak.customers import Metered, Newcomer
from tests.soak.deployment import SoakDeployment

TOPIC = "platform.cloudigrade.usage"
SECONDS_TO_SETTLE = 900.0
"""What is to be done later waits longer where the clocks of who says so and who does it differ."""
SECONDS_FOR_NUMBERS = 90.0

Counts = dict[tuple[str, ...], int]
_FACETS = ("arch", "role", "sla", "usage", "service_type")

_LOOKS = (
    "api.clouds.aws.tasks.initial_aws_describe_instances",
    "api.clouds.aws.tasks.describe_missing_for_account",
    "api.clouds.azure.tasks.update_azure_instance_events_for_account",
)
"""Tasks that periodic ones go on queueing; those that must be done have an outbox entry, too."""

_LEFT = {
    "messages of the sources service": "api_inboxmessage WHERE state <> 'processed'",
    "outbox entries": "api_outboxentry WHERE done_at IS NULL",
    "stale days": "api_staleusage",
    "days that consumers were not told of": "api_usageoutboxentry WHERE due_at <= now()",
    "tasks set aside": "api_setasidetask WHERE released_at IS NULL",
    "inspections under way": "api_machineimage WHERE cloud_type = 'aws' AND status IN"
    " ('pending', 'preparing', 'inspecting')",
    "unfinished inspection attempts": "api_inspectionattempt WHERE finished_at IS NULL",
    "problematic runs": "api_run run WHERE end_time IS NULL AND EXISTS (SELECT FROM"
    " api_instanceevent later WHERE later.instance_id = run.instance_id"
    " AND later.event_type = 'power_off' AND later.occurred_at > run.start_time)",
    "overlapping runs": "api_run one JOIN api_run other ON other.instance_id = one.instance_id"
    " AND other.id > one.id AND tstzrange(one.start_time, one.end_time)"
    " && tstzrange(other.start_time, other.end_time)",
}
_STORED = """
SELECT customer.account_number, stored.date, stored.maximum_counts
FROM api_concurrentusage stored JOIN api_user customer ON customer.id = stored.user_id
"""


def left_over(deployment: SoakDeployment) -> dict[str, int]:
    """Return what is not done, by its name."""
    found = {
        name: deployment.query(f"SELECT count(*) FROM {rows}")[0][0] for name, rows in _LEFT.items()
    }
    found["log messages"] = deployment.logs_left()
    found["tasks"] = sum(task not in _LOOKS for task in deployment.tasks_left())
    ours = deployment.aws.client("ec2").describe_snapshots(OwnerIds=["self"])["Snapshots"]
    found["snapshots"] = sum("cloudigrade" in json.dumps(one.get("Tags", [])) for one in ours)
    return {name: number for name, number in found.items() if number}


def settle(deployment: SoakDeployment, tell: Callable[[str], None]) -> dict[str, int]:
    """Wait until nothing is left; return what is left after a long time."""
    deadline = time.monotonic() + SECONDS_TO_SETTLE
    told = 0.0
    while left := left_over(deployment):
        if time.monotonic() > deadline:
            return left
        if time.monotonic() - told > 10:
            told = time.monotonic()
            tell(f"not done yet: {left}")
        time.sleep(1)
    return {}


class Numbers:
    """The numbers that were stored and that are shown, against those that are right."""

    def __init__(self, deployment: SoakDeployment) -> None:
        self._deployment = deployment
        self._url = deployment.urls("api")[0]

    def wrong(self, metered: Iterable[Metered], live: Iterable[Newcomer]) -> list[str]:
        """Return what is wrong, after it had time to become right."""
        metered, live = list(metered), list(live)
        deadline = time.monotonic() + SECONDS_FOR_NUMBERS
        while (found := self._wrong_now(metered, live)) and time.monotonic() < deadline:
            time.sleep(2)
        return found

    def _wrong_now(self, metered: list[Metered], live: list[Newcomer]) -> list[str]:
        stored: dict[str, dict[date, Any]] = {}
        for number, day, counts in self._deployment.query(_STORED):
            stored.setdefault(number, {})[day] = counts
        found: list[str] = []
        for old in metered:
            found += self._compare(old.customer, old.expected(), stored, min(old.days))
        for new in live:
            assert new.sent_at is not None
            days = _days(new.sent_at.date(), datetime.now(UTC).date())
            joined = None if new.is_deleted else (new.described_at or datetime.now(UTC)).date()
            found += self._compare(new.customer, new.expected(days), stored, joined)
        return found

    def _compare(
        self,
        customer: Customer,
        expected: Mapping[date, tuple[int, int]],
        stored: Mapping[str, Mapping[date, Any]],
        joined: date | None,
    ) -> list[str]:
        """Return what is wrong of a customer; since they ``joined`` days are shown to them."""
        rows = stored.get(customer.account_number, {})
        found = []
        for day, (least, most) in expected.items():
            number = _kept(rows.get(day, ())).get(TOTAL, 0)
            if not least <= number <= most:
                found.append(f"{customer} {day}: {number} is stored, right is {least} to {most}")
        # The day that has not ended is shown to nobody.
        today = datetime.now(UTC).date()
        ended = [day for day in expected if joined is not None and joined <= day < today]
        if ended:
            found += self._shown_otherwise(customer, ended, rows)
        return found

    def _shown_otherwise(
        self, customer: Customer, days: Sequence[date], stored: Mapping[date, Any]
    ) -> list[str]:
        end = max(days) + timedelta(days=1)
        path = f"{PUBLIC}/concurrent/?start_date={min(days)}&end_date={end}"
        answer = ask(self._url, path, customer)
        if answer.status_code != HTTPStatus.OK:
            return [f"{customer}: concurrent/ answers {answer.status_code} {answer.text[:200]}"]
        shown = {one["date"]: _shown_counts(one["maximum_counts"]) for one in answer.json()["data"]}
        kept = {str(day): _kept(stored.get(day, ())) for day in days}
        return [] if shown == kept else [f"{customer}: {shown} is shown, {kept} is stored"]


def _kept(counts: Iterable[Sequence[Any]]) -> Counts:
    """Return numbers as they are stored, by category."""
    return {tuple(key): count for *key, count in counts}


def _shown_counts(counts: Iterable[Mapping[str, Any]]) -> Counts:
    """Return numbers as they are shown, by category."""
    return {tuple(one[name] for name in _FACETS): one["instances_count"] for one in counts}


def _days(first: date, last: date) -> list[date]:
    return [first + timedelta(days=number) for number in range((last - first).days + 1)]


def ask(url: str, path: str, customer: Customer) -> requests.Response:
    """Ask the public API as a customer."""
    ids = {"account_number": customer.account_number, "org_id": customer.org_id}
    identity = base64.b64encode(json.dumps({"identity": ids}).encode()).decode()
    with local_session() as session:
        return session.get(url + path, headers={"X-RH-IDENTITY": identity}, timeout=30)


def wrong_states(deployment: SoakDeployment, live: Iterable[Newcomer]) -> list[str]:
    """Return accounts that are not as the last message wants, or whose status says otherwise."""
    found = []
    for one in live:
        account = deployment.account(one.customer)
        is_paused = one.is_paused
        wanted = None if one.is_deleted else {"enabled": not is_paused, "paused": is_paused}
        is_so = account and {key: account[key] for key in ("enabled", "paused")}
        if is_so != wanted:
            found.append(f"{one.customer} is {is_so}, should be {wanted}")
        last = deployment.statuses.of(one.customer)[-1:]
        if last != [wanted_status := "unavailable" if one.is_deleted else "available"]:
            found.append(f"{one.customer} was told to be {last}, should be {wanted_status}")
    return found


def wrong_events(deployment: SoakDeployment, metered: Iterable[Metered]) -> list[str]:
    """Return what logs told and is not stored, or is stored though no log told it."""
    found = []
    for one in metered:
        rows = deployment.query(_EVENTS, one.customer.aws_account_id)
        wanted = set().union(*(fleet.expected.events for fleet in one.fleets))
        if lost := wanted - set(rows):
            found.append(f"{one.customer}: {len(lost)} events are lost, such as {min(lost)}")
        if more := set(rows) - wanted:
            found.append(f"{one.customer}: {len(more)} events are invented, such as {min(more)}")
        if len(rows) != len(set(rows)):
            found.append(f"{one.customer}: events are stored twice")
    return found


_EVENTS = """
SELECT instance.cloud_instance_id, event.event_type, event.occurred_at
FROM api_instanceevent event
JOIN api_instance instance ON instance.id = event.instance_id
JOIN api_cloudaccount account ON account.id = event.cloud_account_id
WHERE account.aws_account_id = %s AND event.origin = 'cloudtrail'
"""


def evidence(deployment: SoakDeployment, customer: Customer) -> list[str]:
    """Return the events of a customer as they are stored, for whoever looks for the cause."""
    rows = deployment.query(_ALL_EVENTS, customer.application_id)
    return [" ".join(map(str, row)) for row in rows]


_ALL_EVENTS = """
SELECT instance.cloud_instance_id, event.event_type, event.occurred_at, event.created_at,
       event.origin, event.source_name, image.cloud_image_id, image.status, image.is_rhel
FROM api_instanceevent event
JOIN api_instance instance ON instance.id = event.instance_id
JOIN api_cloudaccount account ON account.id = event.cloud_account_id
LEFT JOIN api_machineimage image ON image.id = instance.machine_image_id
WHERE account.platform_application_id = %s
ORDER BY 1, event.occurred_at, event.id
"""


def wrong_for_consumers(deployment: SoakDeployment) -> list[str]:
    """Return days of which consumers believe something else than is stored (14, acceptance 4)."""
    follower = Follower()
    for event in events(received(deployment.bootstrap_servers, TOPIC)):
        follower.read(event)
    rows = deployment.query(
        "SELECT customer.uuid, stored.date, stored.maximum_counts FROM api_concurrentusage stored"
        " JOIN api_user customer ON customer.id = stored.user_id"
    )
    return [
        f"user {uuid} on {day}: {kept} is stored, consumers believe {believed}"
        for uuid, day, counts in rows
        if (believed := _believed(follower, str(uuid), str(day))) != (kept := _kept(counts))
    ]


def _believed(follower: Follower, uuid: str, day: str) -> Counts | None:
    data = follower.days.get((uuid, day))
    return _shown_counts(data["maximum_counts"]) if data and not data["withdrawn"] else None
