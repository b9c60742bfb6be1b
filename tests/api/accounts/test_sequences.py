"""Sequences of messages, in any order, doubled, with nonsense in between (spec 03 §1, §6, §9.1).

They come as bytes to the real listener; real tasks work on what it stores, and ask a fake sources
service. In the end the accounts are those of a small model, each offset is given back, and no
message is left over.
"""

import json
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
import time_machine
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from api.models import CloudAccount, InboxMessage, User
from api.sources import client, listener
from api.sources.listener_metrics import MESSAGES
from api.sources.messages import CREATE, DESTROY, PAUSE, UNPAUSE, UPDATE
from tests.api.accounts.records import ARN, OUR_TYPE, SUBSCRIPTION
from tests.api.accounts.test_crashes import Platform, platform  # noqa: F401 - a fixture
from tests.api.sources.consumer import Message, listen

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.random_history]

OTHER_ARN = "arn:aws:iam::888888888888:role/meter"
ACCOUNT = ("x-rh-sources-account-number", b"1701")
ORG = ("x-rh-sources-org-id", b"3340851")
STRANGER = [("x-rh-sources-org-id", b"77")]
PARTITION = 3


@dataclass(frozen=True)
class Application:
    """An application in sources, with its one authentication; ids follow from its number."""

    number: int
    headers: list[tuple[str, bytes]]
    authtype: str
    token: str
    exists: bool = False
    paused: bool = False

    @property
    def authentication(self) -> int:
        return self.number + 10

    def bodies(self, event_type: str) -> list[dict[str, Any]]:
        """Return how sources may write the body."""
        if event_type in {CREATE, DESTROY}:
            link = {"application_id": self.number, "authentication_id": self.authentication}
            return [{"id": 31, **link}, {"id": "31"} | {key: str(link[key]) for key in link}]
        number = self.authentication if event_type == UPDATE else self.number
        return [{"id": number}, {"id": str(number), "source_id": None, "more": {"id": [1]}}]


APPLICATIONS = {
    "aws": Application(11, [ACCOUNT, ORG], "cloud-meter-arn", ARN),
    "azure": Application(12, [ORG], "lighthouse_subscription_id", SUBSCRIPTION),
    "aws of the same": Application(13, [ACCOUNT], "cloud-meter-arn", OTHER_ARN),
    "same ARN, another customer": Application(14, STRANGER, "cloud-meter-arn", ARN),
}

POISON: list[tuple[list[tuple[Any, Any]] | None, bytes | None]] = [
    ([("event_type", CREATE.encode()), ORG], None),
    ([("event_type", CREATE.encode()), ORG], b"\xff"),
    ([("event_type", CREATE.encode()), ORG], b"[" * 100_000),
    ([("event_type", DESTROY.encode()), ORG], b'{"id": ' * 2_000 + b"1" + b"}" * 2_000),
    ([("event_type", DESTROY.encode()), ORG], b'{"id": 1, "application_id": 1e400}'),
    ([("event_type", DESTROY.encode()), ORG], b'{"id": 31, "application_id": 11}'),
    ([("event_type", PAUSE.encode()), ORG], b'{"id": 9223372036854775808}'),
    ([("event_type", PAUSE.encode()), ORG], b'{"id": "11 "}'),
    ([("event_type", PAUSE.encode()), ORG], b'{"id": true}'),
    ([("event_type", PAUSE.encode()), ORG], b'{"id": [11], "a": "\\u0000"}'),
    ([("event_type", PAUSE.encode()), ORG], b'"11"'),
    ([("event_type", PAUSE.encode())], b'{"id": 11}'),
    ([("event_type", PAUSE.encode()), ("x-rh-sources-org-id", b"\xff")], b'{"id": 11}'),
    ([("event_type", PAUSE.encode()), ("x-rh-identity", b"%%%")], b'{"id": 11}'),
    ([("event_type", PAUSE.encode()), ("x-rh-sources-org-id", b"1" * 300_000)], b'{"id": 11}'),
    ([("Event_Type", PAUSE.encode()), ORG], b'{"id": 11}'),
    ([("event_type", b"Source.destroy"), ORG], b'{"id": 9}'),
    ([("event_type", b"Application.destroy"), ORG], b'{"id": 11}'),
    ([("event_type", None), ORG], b'{"id": 11}'),
    ([], b'{"id": 11}'),
    (None, b'{"id": 11}'),
]


@dataclass
class Model:
    """What there must be: accounts by application, each paused or else enabled."""

    applications: dict[str, Application] = field(default_factory=lambda: dict(APPLICATIONS))
    accounts: dict[str, bool] = field(default_factory=dict)

    def change(self, name: str, event_type: str) -> None:
        """Let sources do what it tells of by such a message."""
        now: dict[str, dict[str, Any]] = {
            CREATE: {"exists": True, "paused": False},
            DESTROY: {"exists": False},
            PAUSE: {"paused": True},
            UNPAUSE: {"paused": False},
        }
        self.applications[name] = replace(self.applications[name], **now.get(event_type, {}))

    def work_on(self, name: str, event_type: str) -> None:
        """Do what a message asks for."""
        application = self.applications[name]
        if event_type == DESTROY:
            self.accounts.pop(name, None)
        elif event_type in {PAUSE, UNPAUSE} and name in self.accounts:
            self.accounts[name] = event_type == PAUSE
        elif event_type in {CREATE, UPDATE} and application.exists and name not in self.accounts:
            tokens = {APPLICATIONS[other].token for other in self.accounts}
            if application.token not in tokens:
                self.accounts[name] = application.paused

    def expected(self) -> list[tuple[Any, ...]]:
        return sorted(
            (APPLICATIONS[name].number, APPLICATIONS[name].authentication, not paused, paused)
            for name, paused in self.accounts.items()
        )


def show(model: Model, sources_api: Any) -> None:
    """Let the sources service know what exists."""
    sources_api.reset()
    sources_api.add("application_types", OUR_TYPE)
    for one in filter(lambda one: one.exists, model.applications.values()):
        number, authentication = str(one.number), str(one.authentication)
        application = {"id": number, "application_type_id": "5", "source_id": "9"}
        paused = {"paused_at": "2026-03-01T12:00:00Z"} if one.paused else {}
        sources_api.add("applications", application | paused)
        sources_api.add(
            "authentications",
            {
                "id": authentication,
                "authtype": one.authtype,
                "resource_type": "Application",
                "resource_id": number,
                "username": one.token,
            },
        )
        link = {"id": "31", "application_id": number, "authentication_id": authentication}
        sources_api.add("application_authentications", link)
    client.forget_everything()


def found() -> list[tuple[Any, ...]]:
    return sorted(
        CloudAccount.objects.values_list(
            "platform_application_id",
            "platform_authentication_id",
            "is_enabled",
            "platform_application_is_paused",
        )
    )


def messages_counted() -> float:
    samples = [one for metric in MESSAGES.collect() for one in metric.samples]
    return sum(one.value for one in samples if one.name.endswith("_total"))


class Unreadable(Message):
    """A message with these headers exactly, none at all if they are None."""

    def __init__(self, offset: int, headers: Any, value: bytes | None) -> None:
        super().__init__(offset, value=value, partition=PARTITION)
        self._headers = headers


names = st.sampled_from(list(APPLICATIONS))
event_types = st.sampled_from([CREATE, DESTROY, PAUSE, UNPAUSE, UPDATE])
steps = st.tuples(
    names,
    # Of each message: its type, how it is written, and whether sources did what it tells of.
    st.lists(st.tuples(event_types, st.booleans(), st.booleans()), min_size=1, max_size=4),
    st.sampled_from([1, 1, 2]),
    st.lists(st.sampled_from(POISON), max_size=3),
)


@settings(
    max_examples=25,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
    phases=[Phase.explicit, Phase.generate],
)
@given(history=st.lists(steps, min_size=1, max_size=6))
def test_the_accounts_are_those_of_the_messages(
    platform: Platform,  # noqa: F811
    azure,
    sources_api,
    monkeypatch,
    history,
):
    monkeypatch.setattr(listener, "close_old_connections", lambda: None)
    for model_class in (InboxMessage, CloudAccount, User):
        model_class.objects.all().delete()
    model, offset = Model(), 0
    with time_machine.travel("2026-03-01T12:00:00Z", tick=False) as clock:
        for name, told, times, nonsense in history:
            for event_type, _, has_happened in told:
                if has_happened:
                    model.change(name, event_type)
            show(model, sources_api)
            batch = []
            for event_type, other_notation, _ in told * times:
                body = APPLICATIONS[name].bodies(event_type)[other_notation]
                headers = [("event_type", event_type.encode()), *APPLICATIONS[name].headers]
                batch.append((headers, json.dumps(body).encode()))
                model.work_on(name, event_type)
            for index, poison in enumerate(nonsense):
                batch.insert(index * 2, poison)
            before = messages_counted()
            received = [
                Unreadable(offset + number, *content) for number, content in enumerate(batch)
            ]
            offset += len(batch)
            consumer = listen(received)
            assert consumer.stored[PARTITION] == offset
            assert messages_counted() - before == len(batch)
            platform.finish(clock)
            assert found() == model.expected()
            assert not InboxMessage.objects.exclude(state="processed").exists()
