"""Workers die at every point of their work: the end is as if none had died (03 §11, hazard 8).

A point is before each statement that changes something, and before and after each call of a cloud,
of sources, of Redis, and of Kafka. The task of a worker that dies is lost as well.
"""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
import time_machine
from celery.exceptions import Retry
from django.db import connection

from api import outbox
from api.models import (
    CloudAccount,
    ConcurrentUsage,
    InboxMessage,
    Instance,
    InstanceEvent,
    OutboxEntry,
    Run,
    User,
)
from api.sources import client, inbox, status
from api.sources.messages import CREATE, DESTROY, PAUSE, UNPAUSE, UPDATE
from tests.api.accounts.conftest import FakeCloud
from tests.api.accounts.records import APPLICATION, AUTHENTICATION, BODY, HEADERS, OUR_TYPE
from tests.api.accounts.workers import TASKS, run
from tests.api.passing_time import time_passes
from tests.api.sources.stored import received, store
from tests.factories import make_aws_account, make_event, make_instance, make_user
from util import tasks as util_tasks

pytestmark = pytest.mark.django_db(transaction=True)

CHANGES = ("INSERT", "UPDATE", "DELETE")
MOST_ROUNDS = 10
OTHER_ARN = "arn:aws:iam::888888888888:role/meter"
NEW_ARN = "arn:aws:iam::123456789012:role/new"


class DiedError(BaseException):
    """A worker has died: nobody catches this."""


@dataclass
class Platform:
    """Redis, Kafka, and the workers, one of which dies at the given point."""

    deadly: int | None = None
    points: int = 0
    queue: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    told: list[bytes] = field(default_factory=list)

    def point(self) -> None:
        self.points += 1
        if self.points == self.deadly:
            raise DiedError

    def around(self, call: Callable[..., Any]) -> Callable[..., Any]:
        """Let workers die before and after a call."""

        def mortal(*args: Any, **kwargs: Any) -> Any:
            self.point()
            result = call(*args, **kwargs)
            self.point()
            return result

        return mortal

    def execute(self, execute, sql, params, many, context):
        if str(sql).lstrip().startswith(CHANGES):
            self.point()
        return execute(sql, params, many, context)

    def publish(self, name: str, **options: Any) -> None:
        self.queue.append((name, options))

    def tell(self, topic: str, *, value: bytes, **_: Any) -> None:
        self.told.append(value)

    def work(self) -> None:
        """Do the tasks in the queue, and those that they queue."""
        while self.queue:
            name, options = self.queue.pop(0)
            if name not in TASKS:
                continue
            try:
                with connection.execute_wrapper(self.execute):
                    run(name, *options["args"], headers=options["headers"])
            except (DiedError, Retry):
                pass

    def finish(self, clock: Any) -> None:
        """Work, and sweep up what was lost, until nothing is left to do."""
        for _ in range(MOST_ROUNDS):
            self.work()
            unfinished = InboxMessage.objects.exclude(state="processed")
            if not unfinished.exists() and not outbox.statistics().open:
                return
            clock.shift(700)
            time_passes(700)
            inbox.publish_due()
            outbox.queue_lost()
        raise AssertionError(
            list(InboxMessage.objects.values()) + list(OutboxEntry.objects.values())
        )


@pytest.fixture
def platform(monkeypatch, aws, sources_api):
    """A platform on which one customer's application is known."""
    found = Platform()
    monkeypatch.setattr(util_tasks, "publish", found.around(found.publish))
    monkeypatch.setattr(status, "publish", found.around(found.tell))
    monkeypatch.setattr(client, "_get", found.around(client._get))
    for name in ("verify", "configure", "release", "discover"):
        monkeypatch.setattr(FakeCloud, name, found.around(getattr(FakeCloud, name)))
    sources_api.add("application_types", OUR_TYPE)
    sources_api.add("applications", APPLICATION)
    return found


def nothing() -> None:
    """There is no account yet."""


def running_account() -> None:
    user = make_user(account_number="1701", org_id="3340851")
    account = make_aws_account(
        user=user,
        aws_account_id="123456789012",
        account_arn=AUTHENTICATION["username"],
        platform_application_id=11,
        platform_authentication_id=22,
        platform_source_id=9,
    )
    make_event(instance=make_instance(account=account))


def paused_account() -> None:
    running_account()
    CloudAccount.objects.update(is_enabled=False, platform_application_is_paused=True)


FLOWS = {
    "create": (nothing, AUTHENTICATION["username"], [CREATE]),
    "create, pause": (nothing, AUTHENTICATION["username"], [CREATE, PAUSE]),
    "update": (running_account, NEW_ARN, [UPDATE]),
    "move": (running_account, OTHER_ARN, [UPDATE]),
    "destroy": (running_account, NEW_ARN, [DESTROY]),
    "pause": (running_account, NEW_ARN, [PAUSE]),
    "unpause": (paused_account, NEW_ARN, [UNPAUSE]),
}
BODIES = {UPDATE: {"id": "22"}, PAUSE: {"id": 11}, UNPAUSE: {"id": 11}}


def outcome(platform: Platform, aws: FakeCloud) -> dict[str, Any]:
    """Return all that counts in the end; what is there twice stands in it twice."""
    return {
        "accounts": list(
            CloudAccount.objects.values_list(
                "is_enabled", "platform_application_is_paused", "account_arn"
            )
        ),
        "users": list(User.objects.values_list("account_number", "org_id")),
        "instances": Instance.objects.count(),
        "events": Counter(InstanceEvent.objects.values_list("event_type", flat=True)),
        "open runs": Run.objects.filter(end_time=None).count(),
        "runs": Run.objects.count(),
        "asked": set(aws.asked) & {"release", "discover", "configure"},
        "told": set(platform.told),
        "told last": platform.told[-1:],
    }


def play(flow: str, platform: Platform, aws: FakeCloud, sources_api, deadly: int | None) -> dict:
    before, arn, event_types = FLOWS[flow]
    for model in (OutboxEntry, InboxMessage, ConcurrentUsage, Run, InstanceEvent, Instance):
        model.objects.all().delete()
    CloudAccount.objects.all().delete()
    User.objects.all().delete()
    platform.points, platform.deadly = 0, None
    platform.queue.clear()
    platform.told.clear()
    aws.calls.clear()
    client.forget_everything()
    sources_api.add("authentications", AUTHENTICATION | {"username": arn})
    with time_machine.travel("2026-03-01T12:00:00Z", tick=False) as clock:
        before()
        for event_type in event_types:
            headers = [["event_type", event_type], *HEADERS[1:]]
            body = BODIES.get(event_type, BODY)
            store(received("org 3340851", event_type, body, headers=headers, kept_headers=headers))
        inbox.publish_unqueued()
        platform.points, platform.deadly = 0, deadly
        platform.finish(clock)
    return outcome(platform, aws)


@pytest.mark.parametrize("flow", FLOWS)
def test_end_is_the_same_wherever_a_worker_dies(flow, platform, aws, sources_api):
    expected = play(flow, platform, aws, sources_api, None)
    points = platform.points
    assert points > 10
    for deadly in range(1, points + 1):
        found = play(flow, platform, aws, sources_api, deadly)
        assert found == expected, f"died at point {deadly} of {points}"
