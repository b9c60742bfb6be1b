"""What the story uses: Kafka, HTTP, and the database, to check what was stored."""

import base64
import json
import time
import uuid
from collections.abc import Callable, Mapping
from datetime import date, datetime, timedelta
from typing import Any, TypeVar

import psycopg2
import requests
from confluent_kafka import Consumer, Producer

from deployment.local.app import Product
from deployment.local.demo.expected_usage import Category

EVENT_TOPIC = "platform.sources.event-stream"
STATUS_TOPIC = "platform.sources.status"
PUBLIC = "/api/cloudigrade/v2"
INTERNAL = "/internal/api/cloudigrade/v1"

Thing = TypeVar("Thing")

_SECONDS_PER_REQUEST = 60
_SECONDS_PER_DELIVERY = 10
_SECONDS_BETWEEN_LOOKS = 0.25


class StoryError(Exception):
    """The product did not do what the story needs."""


def require(condition: bool, problem: str) -> None:
    """Raise StoryError with this problem unless the condition holds."""
    if not condition:
        raise StoryError(problem)


def wait_for(
    what: str, look: Callable[[], Thing | None], *, product: Product, seconds: float = 60
) -> Thing:
    """Look until there is something to see, and return it.

    Raises StoryError when time is over, LocalServiceError if a process of the product ended.
    """
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        seen = look()
        if seen:
            return seen
        product.check()
        time.sleep(_SECONDS_BETWEEN_LOOKS)
    raise StoryError(f"waited {seconds:.0f} s in vain for {what}")


class Platform:
    """Kafka as the sources service uses it."""

    def __init__(self, bootstrap: str) -> None:
        # Kafka ends before the last connection to it does; nobody needs to be told.
        common = {"bootstrap.servers": bootstrap, "log_level": 0}
        self._producer = Producer(common)
        self._statuses = Consumer(
            {
                **common,
                "group.id": f"demo-{uuid.uuid4()}",
                "auto.offset.reset": "earliest",
                "session.timeout.ms": 6000,
            }
        )
        self._statuses.subscribe([STATUS_TOPIC])
        self.seen: list[dict[str, Any]] = []

    def close(self) -> None:
        """Leave the consumer group."""
        self._statuses.close()

    def publish(self, event_type: str, body: Any, *, tenant: Mapping[str, str]) -> None:
        """Send a message as sources does; a body of bytes goes out as it is."""
        headers: list[tuple[str, str | bytes | None]] = [
            ("event_type", event_type.encode()),
            ("encoding", b"json"),
        ]
        headers += [(f"x-rh-sources-{name}", value.encode()) for name, value in tenant.items()]
        value = body if isinstance(body, bytes) else json.dumps(body).encode()
        key = tenant.get("org-id", "")
        self._producer.produce(EVENT_TOPIC, key=key, value=value, headers=headers)
        if self._producer.flush(_SECONDS_PER_DELIVERY):
            raise StoryError("Kafka did not take a message")

    def status_of(self, application_id: int) -> dict[str, Any] | None:
        """Return the latest status that cloudigrade told sources of an application."""
        while (message := self._statuses.poll(0.05)) is not None:
            if message.error() is None:
                self.seen.append(json.loads(message.value() or b"{}"))
        matching = [s for s in self.seen if str(s["resource_id"]) == str(application_id)]
        return matching[-1] if matching else None


class Api:
    """The HTTP interfaces of the product."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._session = requests.Session()

    def get(self, path: str, *, identity: str | None = None, **query: Any) -> Any:
        """Return what a route says, or None where it says "not yet" (425)."""
        headers = {"X-RH-IDENTITY": identity} if identity else {}
        response = self._session.get(
            self.url + path, headers=headers, params=query, timeout=_SECONDS_PER_REQUEST
        )
        if response.status_code == requests.codes.too_early:
            return None
        return _content(response)

    def post(self, path: str, content: Any) -> Any:
        """Send something to the internal API."""
        return _content(
            self._session.post(self.url + path, json=content, timeout=_SECONDS_PER_REQUEST)
        )

    def all(self, path: str, *, identity: str | None = None, **query: Any) -> list[Any] | None:
        """Return all pages of a list, or None where one says "not yet"."""
        found: list[Any] = []
        while True:
            page = self.get(path, identity=identity, limit=100, offset=len(found), **query)
            if page is None:
                return None
            found += page["data"]
            if page["links"]["next"] is None:
                return found

    def usage(self, identity: str, first: date, last: date) -> dict[date, dict[Category, int]]:
        """Return usage as the internal API shows it, today's too; nothing if it says "not yet"."""
        return self._usage(INTERNAL, identity, first, last)

    def usage_of_past(
        self, identity: str, first: date, last: date
    ) -> dict[date, dict[Category, int]]:
        """Return usage as the public API shows it to the customer, until yesterday at most."""
        return self._usage(PUBLIC, identity, first, last)

    def _usage(
        self, door: str, identity: str, first: date, last: date
    ) -> dict[date, dict[Category, int]]:
        days = self.all(
            f"{door}/concurrent/",
            identity=identity,
            start_date=first.isoformat(),
            end_date=(last + timedelta(days=1)).isoformat(),
        )
        return {date.fromisoformat(day["date"]): _counts(day) for day in days or []}


def _counts(day: dict[str, Any]) -> dict[Category, int]:
    return {
        (c["arch"], c["role"], c["sla"], c["usage"], c["service_type"]): c["instances_count"]
        for c in day["maximum_counts"]
    }


def identity_of(**ids: str) -> str:
    """Return the identity header that the platform's gateway would set."""
    return base64.b64encode(json.dumps({"identity": ids}).encode()).decode()


def _content(response: requests.Response) -> Any:
    if not response.ok:
        request = f"{response.request.method} {response.url}"
        raise StoryError(f"{request}: {response.status_code} {response.text[:300]}")
    return response.json() if response.content else None


class Records:
    """The database, to see the records that no door shows (spec 09), and to let time pass."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._connection = psycopg2.connect(
            host=environment["DJANGO_DATABASE_HOST"],
            port=environment["DJANGO_DATABASE_PORT"],
            dbname=environment["DJANGO_DATABASE_NAME"],
            user=environment["DJANGO_DATABASE_USER"],
            password=environment["DJANGO_DATABASE_PASSWORD"],
        )
        self._connection.autocommit = True

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()

    def rows(self, statement: str) -> list[tuple[Any, ...]]:
        """Return the rows of a SELECT."""
        with self._connection.cursor() as cursor:
            cursor.execute(statement)
            return cursor.fetchall()

    def value(self, statement: str) -> Any:
        """Return the one value of a SELECT."""
        return self.rows(statement)[0][0]

    def let_customer_be_older(self, aws_account_id: str, *, since: datetime) -> None:
        """Let a customer with an AWS account have come to us at an earlier time."""
        with self._connection.cursor() as cursor:
            cursor.execute(
                "UPDATE api_cloudaccount SET created_at = %(since)s, enabled_at = %(since)s"
                " WHERE aws_account_id = %(account)s",
                {"since": since, "account": aws_account_id},
            )
            cursor.execute(
                "UPDATE api_user SET date_joined = %(since)s WHERE id ="
                " (SELECT user_id FROM api_cloudaccount WHERE aws_account_id = %(account)s)",
                {"since": since, "account": aws_account_id},
            )

    def let_account_be_older(self, account_id: int, *, since: datetime) -> None:
        """Let an AWS account have been enabled earlier, and what was done with it since, too."""
        earlier = "- (SELECT enabled_at - %(since)s FROM api_cloudaccount WHERE id = %(account)s)"
        statements = (
            f"UPDATE api_accountstate SET at = at {earlier} WHERE account_id = %(account)s",  # noqa: S608
            f"UPDATE api_describerun SET started_at = started_at {earlier},"  # noqa: S608
            f" finished_at = finished_at {earlier} WHERE cloud_account_id = %(account)s",
            f"UPDATE api_user SET date_joined = date_joined {earlier} WHERE id ="  # noqa: S608
            " (SELECT user_id FROM api_cloudaccount WHERE id = %(account)s)",
            "UPDATE api_cloudaccount SET created_at = %(since)s - (enabled_at - created_at),"
            " enabled_at = %(since)s WHERE id = %(account)s",
        )
        with self._connection.cursor() as cursor:
            for statement in statements:
                cursor.execute(statement, {"account": account_id, "since": since})
