"""Messages that an operator revives undo nothing (fault 9, decision 40)."""

import itertools

import pytest
from django.core.management import call_command

from api.models import CloudAccount, InboxMessage
from api.sources.messages import CREATE, DESTROY, PAUSE, UNPAUSE, UPDATE
from tests.api.accounts.records import APPLICATION, AUTHENTICATION, BODY, HEADERS
from tests.api.sources.stored import received, store
from tests.factories import make_aws_account

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("aws")]

BODIES = {PAUSE: {"id": 11}, UNPAUSE: {"id": 11}, UPDATE: {"id": "22"}}
LINK = {"id": "31", "application_id": "11", "authentication_id": "22"}
PAUSED = APPLICATION | {"paused_at": "2026-01-01T00:00:00Z"}
NUMBERS = {"applications": 11, "authentications": 22, "application_authentications": 31}
OLD = "arn:aws:iam::123456789012:role/old"
OTHERS = {
    CREATE: {"id": 1, "application_id": 12, "authentication_id": 23},
    DESTROY: {"id": 1, "application_id": 12, "authentication_id": 23},
    UPDATE: {"id": 23},
    PAUSE: {"id": 12},
    UNPAUSE: {"id": 12},
}


@pytest.fixture
def sources(sources):
    sources.add("application_authentications", LINK)
    return sources


def send(event_type, state="waiting", value=None, **columns):
    headers = [["event_type", event_type], *HEADERS[1:]]
    body = value or BODIES.get(event_type, BODY)
    message = received(event_type=event_type, value=body, headers=headers, kept_headers=headers)
    (inbox_id,) = store(message)
    InboxMessage.objects.filter(id=inbox_id).update(state=state, **columns)
    return inbox_id


def revive(broker, *inbox_ids):
    call_command("inbox", *map(str, inbox_ids), retry=True)
    broker.run_all()
    return list(InboxMessage.objects.order_by("id").values_list("state", flat=True))


def account(**columns):
    return make_aws_account(
        platform_authentication_id=22,
        platform_application_id=11,
        platform_source_id=9,
        aws_account_id="123456789012",
        account_arn=columns.pop("account_arn", AUTHENTICATION["username"]),
        **columns,
    )


def present():
    """Return what became of the account: nothing, or whether it is enabled and paused."""
    return list(CloudAccount.objects.values_list("is_enabled", "platform_application_is_paused"))


ENABLED, ON_HOLD = (True, False), (False, True)


class TestOutdated:
    """A later message about the same object was processed: what sources says now counts."""

    @pytest.mark.parametrize("later", [CREATE, UPDATE, UNPAUSE])
    def test_destroy_of_what_was_added_again(self, sources, broker, later):
        account()
        dead = send(DESTROY, "dead")
        send(later, "processed")
        assert revive(broker, dead) == ["processed"] * 2
        assert present() == [ENABLED]

    @pytest.mark.parametrize(
        "gone", ["applications", "authentications", "application_authentications"]
    )
    def test_destroy_of_what_is_gone(self, sources, broker, gone):
        account()
        dead = send(DESTROY, "dead")
        send(PAUSE, "processed")
        sources.remove(gone, NUMBERS[gone])
        assert revive(broker, dead) == ["processed"] * 2
        assert present() == []

    @pytest.mark.parametrize(
        "gone", ["applications", "authentications", "application_authentications"]
    )
    def test_create_of_what_was_destroyed(self, sources, broker, gone, queued):
        """The application and the authentication may live on, each for another one."""
        dead = send(CREATE, "dead")
        send(DESTROY, "processed")
        sources.remove(gone, NUMBERS[gone])
        assert revive(broker, dead) == ["processed"] * 2
        assert present() == []

    def test_create_of_what_exists_in_sources(self, sources, broker):
        """It was destroyed and made again, but the last message has not come yet."""
        dead = send(CREATE, "dead")
        send(DESTROY, "processed")
        assert revive(broker, dead) == ["processed"] * 2
        assert present() == [ENABLED]

    @pytest.mark.parametrize(
        ("application", "expected"), [(APPLICATION, ENABLED), (PAUSED, ON_HOLD)]
    )
    @pytest.mark.parametrize("later", [PAUSE, UNPAUSE])
    def test_create_whose_pause_came_to_nothing(
        self, sources, broker, application, expected, later
    ):
        """When it was processed there was no account to be paused."""
        dead = send(CREATE, "dead")
        send(later, "processed")
        sources.add("applications", application)
        revive(broker, dead)
        assert present() == [expected]

    @pytest.mark.parametrize(
        ("application", "expected"), [(APPLICATION, ENABLED), (PAUSED, ON_HOLD)]
    )
    @pytest.mark.parametrize(
        ("dead", "later", "paused"),
        [
            (PAUSE, UNPAUSE, False),
            (UNPAUSE, PAUSE, True),
            (PAUSE, CREATE, False),
            (CREATE, PAUSE, True),
        ],
    )
    def test_pause_is_as_sources_has_it(
        self, sources, broker, application, expected, dead, later, paused
    ):
        account(is_enabled=not paused, platform_application_is_paused=paused)
        first = send(dead, "dead")
        send(later, "processed")
        sources.add("applications", application)
        assert set(revive(broker, first)) == {"processed"}
        assert present() == [expected]

    @pytest.mark.parametrize("dead", [PAUSE, UNPAUSE, CREATE, UPDATE])
    def test_nothing_but_a_destroy_deletes_at_once(self, sources, broker, dead):
        """For what sources does not know any more there is the clean-up with its grace."""
        account()
        first = send(dead, "dead")
        send(CREATE, "processed")
        for kind, number in (("applications", 11), ("authentications", 22)):
            sources.remove(kind, number)
        assert set(revive(broker, first)) == {"processed"}
        assert present() == [ENABLED]

    @pytest.mark.parametrize("dead", [CREATE, DESTROY, PAUSE, UNPAUSE, UPDATE])
    def test_answer_that_sources_did_not_give_changes_nothing(self, sources, broker, dead):
        account()
        first = send(dead, "dead")
        send(CREATE, "processed")
        sources.fail("/", status=404, body="<html>")
        assert revive(broker, first) == ["failed", "processed"]
        assert present() == [ENABLED]

    def test_update_is_what_sources_says_now(self, sources, broker):
        account(account_arn=OLD)
        dead = send(UPDATE, "dead")
        send(UPDATE, "processed")
        revive(broker, dead)
        assert CloudAccount.objects.get().account_arn == AUTHENTICATION["username"]


class TestStillTrue:
    """Nothing about the same object was processed since: the message does what it says."""

    @pytest.mark.parametrize("later", [None, "waiting", "dead", "failed"])
    def test_destroy(self, sources, broker, later):
        account()
        dead = send(DESTROY, "dead")
        if later:
            send(PAUSE, later, not_before="2100-01-01T00:00:00Z")
        revive(broker, dead)
        assert present() == []

    @pytest.mark.parametrize(
        ("dead", "other"),
        [(dead, other) for dead, other in itertools.product([DESTROY, PAUSE], OTHERS)],
    )
    def test_messages_about_other_objects_change_nothing(self, sources, broker, dead, other):
        account()
        first = send(dead, "dead")
        send(other, "processed", OTHERS[other])
        revive(broker, first)
        assert present() == ([] if dead == DESTROY else [ON_HOLD])

    def test_earlier_messages_change_nothing(self, sources, broker):
        account()
        send(UNPAUSE, "processed")
        dead = send(PAUSE, "dead")
        revive(broker, dead)
        assert present() == [ON_HOLD]

    def test_all_dead_messages_of_an_object_come_in_their_order(self, sources, broker):
        account()
        send(PAUSE, "dead")
        send(UNPAUSE, "dead")
        send(PAUSE, "dead")
        assert revive(broker) == ["processed"] * 3
        assert present() == [ON_HOLD]

    def test_what_waits_behind_it_is_done_after_it(self, sources, broker):
        account()
        dead = send(PAUSE, "dead")
        send(UNPAUSE)
        assert revive(broker, dead) == ["processed"] * 2
        assert present() == [ENABLED]

    def test_message_in_its_turn_asks_sources_for_nothing(self, sources, broker):
        account()
        send(PAUSE)
        send(UNPAUSE)
        send(PAUSE)
        revive(broker)
        assert sources.received() == []


@pytest.mark.parametrize("state", InboxMessage.State.values)
def test_command_names_the_state_of_each_message(capsys, state):
    """Decision 52."""
    inbox_id = send(PAUSE, state)
    for arguments, options in (((str(inbox_id),), {}), ((), {"state": state})):
        call_command("inbox", *arguments, **options)
        (line,) = [
            line
            for line in capsys.readouterr().out.splitlines()
            if line.split()[:1] == [str(inbox_id)]
        ]
        assert line.split()[1] == state
