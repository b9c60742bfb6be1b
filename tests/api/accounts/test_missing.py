"""Things that sources does not know, or not yet (fault 7, decisions 35 and 52)."""

import pytest
from celery.exceptions import Retry

from api.models import CloudAccount, InboxMessage, User
from api.sources import inbox
from api.sources.client import SourcesMissingError, SourcesUnavailableError
from api.sources.codes import ErrorCode
from api.sources.messages import CREATE, DESTROY, PAUSE, UPDATE
from tests.api.accounts.records import (
    APPLICATION,
    AUTHENTICATION,
    AWS_TASK,
    BODY,
    HEADERS,
    OUR_TYPE,
)
from tests.api.accounts.statuses import statuses
from tests.api.accounts.workers import TASKS, run
from tests.api.passing_time import time_passes
from tests.api.sources.stored import received, store
from tests.factories import make_aws_account
from util import postgres

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("sources", "aws")]

CREATE_TASK = "api.tasks.create_from_sources_kafka_message"
PAGE = "<html>404 page not found</html>"
KINDS = {"applications": 11, "authentications": 22}
RECORDS = {"applications": APPLICATION, "authentications": AUTHENTICATION}
PATHS = {
    "applications": "/api/sources/v3.0/applications/11",
    "authentications": "/internal/v1.0/authentications/22",
}


def told(code):
    return [("1701", "3340851", 11, "unavailable", code.message)]


def send(event_type=CREATE, value=BODY):
    message = received(event_type=event_type, value=value, headers=HEADERS, kept_headers=HEADERS)
    return store(message)[0]


def states():
    return list(InboxMessage.objects.order_by("id").values_list("state", flat=True))


def play(broker):
    """Have workers do all that is due, and what that leads to."""
    broker.tasks.clear()
    InboxMessage.objects.update(queued_at=None)
    inbox.publish_due()
    broker.run_all()


class TestStoredMessage:
    @pytest.mark.parametrize("kind", KINDS)
    def test_it_is_repeated_until_sources_knows(self, sources, broker, queued, kind):
        sources.remove(kind, KINDS[kind])
        send()
        for _ in range(4):
            play(broker)
            assert states() == ["failed"]
            assert statuses(queued) == []
            assert not User.objects.exists()
            time_passes(130)
        sources.add(kind, RECORDS[kind])
        play(broker)
        assert states() == ["processed"]
        assert CloudAccount.objects.get().platform_application_id == 11

    @pytest.mark.parametrize(
        ("kind", "codes"), [("applications", []), ("authentications", told(ErrorCode.CG2000))]
    )
    def test_it_ends_after_ten_minutes(self, sources, broker, queued, kind, codes):
        """Scenarios 9 and 10 of spec 03 §16."""
        sources.remove(kind, KINDS[kind])
        send()
        for _ in range(5):
            play(broker)
            assert states() == ["failed"]
            time_passes(121)
        assert statuses(queued) == []
        play(broker)
        assert states() == ["processed"]
        assert InboxMessage.objects.get().missing_since is not None
        told_now = [options["args"] for name, options in broker.tasks if "notify" in name]
        assert [tuple(args) for args in told_now] == codes
        assert not User.objects.exists()

    def test_it_is_asked_for_again_when_the_time_is_over(self, sources, broker, settings):
        settings.SOURCES_MISSING_RETRY_SECONDS = 100
        sources.remove("applications", 11)
        send()
        InboxMessage.objects.update(attempts=30, missing_since=postgres.now())
        time_passes(95)
        play(broker)
        message = InboxMessage.objects.get()
        assert (message.not_before - postgres.now()).total_seconds() <= 5
        time_passes(5)
        play(broker)
        assert states() == ["processed"]

    def test_outage_in_between_begins_the_time_anew(self, sources, broker):
        sources.remove("applications", 11)
        send()
        play(broker)
        time_passes(1000)
        sources.fail("/api", status=503, times=1)
        play(broker)
        time_passes(1000)
        play(broker)
        assert states() == ["failed"]

    def test_it_is_never_given_up_as_dead(self, sources, broker, settings):
        settings.SOURCES_MISSING_RETRY_SECONDS = 100_000
        sources.remove("applications", 11)
        send()
        for _ in range(40):
            play(broker)
            time_passes(130)
        assert states() == ["failed"]

    def test_without_patience_it_ends_at_once(self, sources, broker, settings):
        settings.SOURCES_MISSING_RETRY_SECONDS = 0
        sources.remove("applications", 11)
        send()
        play(broker)
        assert states() == ["processed"]

    def test_destroy_that_waits_explains_it(self, sources, broker):
        """Customers who change their minds wait for nothing."""
        sources.remove("applications", 11)
        send()
        send(DESTROY)
        send(PAUSE, {"id": 11})
        play(broker)
        assert states() == ["processed"] * 3

    @pytest.mark.parametrize("other", [{"application_id": 12}, {"authentication_id": 23}])
    def test_destroy_of_something_else_explains_nothing(self, sources, broker, other):
        sources.remove("applications", 11)
        send()
        send(DESTROY, BODY | other)
        play(broker)
        assert states() == ["failed", "waiting"]

    def test_created_from_an_update(self, sources, broker):
        link = {"id": "5", "application_id": "11", "authentication_id": "22"}
        sources.add("application_authentications", link)
        sources.remove("applications", 11)
        send(UPDATE, {"id": "22"})
        play(broker)
        assert states() == ["failed"]
        sources.add("applications", APPLICATION)
        time_passes(130)
        play(broker)
        assert states() == ["processed"]
        assert CloudAccount.objects.exists()

    def test_created_from_an_update_it_ends_as_well(self, sources, broker):
        """Or the customer's other messages would wait for ever."""
        link = {"id": "5", "application_id": "11", "authentication_id": "22"}
        sources.add("application_authentications", link)
        sources.remove("applications", 11)
        send(UPDATE, {"id": "22"})
        send(PAUSE, {"id": 11})
        for _ in range(5):
            play(broker)
            assert states() == ["failed", "waiting"]
            time_passes(121)
        play(broker)
        assert states() == ["processed", "processed"]


class TestUntrueAnswer:
    """A 404 that sources did not say ends nothing, however often it comes."""

    @pytest.mark.parametrize("kind", KINDS)
    def test_create(self, sources, broker, queued, kind):
        # A request that takes too long on a busy machine is repeated, and meets two of them.
        sources.fail(PATHS[kind], status=404, body=PAGE, times=20)
        send()
        for _ in range(8):
            play(broker)
            assert states() == ["failed"]
            time_passes(200)
        for _ in range(20):
            if states() == ["failed"]:
                time_passes(200)
                play(broker)
        assert states() == ["processed"]
        assert CloudAccount.objects.exists()

    @pytest.mark.parametrize("kind", KINDS)
    def test_update(self, sources, broker, kind):
        account = make_aws_account(platform_authentication_id=22, platform_application_id=11)
        sources.fail(PATHS[kind], status=404, body=PAGE, times=1)
        send(UPDATE, {"id": 22})
        play(broker)
        assert states() == ["failed"]
        time_passes(200)
        play(broker)
        assert states() == ["processed"]
        account.refresh_from_db()
        assert account.account_arn == AUTHENTICATION["username"]

    def test_update_of_an_unknown_authentication(self, sources, broker):
        sources.add(
            "application_authentications",
            {"id": "5", "application_id": "11", "authentication_id": "22"},
        )
        sources.fail("/api/sources/v3.0/application_authentications", status=404, times=1)
        send(UPDATE, {"id": 22})
        play(broker)
        assert states() == ["failed"]
        time_passes(200)
        play(broker)
        assert states() == ["processed"]
        assert CloudAccount.objects.exists()

    def test_destroy_deletes_at_once(self, sources, broker):
        """It asks sources for nothing (spec 03 §9.1)."""
        make_aws_account(platform_authentication_id=22, platform_application_id=11)
        sources.fail("/", status=404, body=PAGE)
        send(DESTROY)
        play(broker)
        assert states() == ["processed"]
        assert not CloudAccount.objects.exists()


class TestWithoutStoredMessage:
    """Tasks that are started by their name repeat themselves."""

    def retried(self, broker, headers=None, retries=0):
        with pytest.raises((Retry, SourcesMissingError, SourcesUnavailableError)):
            run(CREATE_TASK, BODY, HEADERS, headers=headers, retries=retries)

    def test_they_remember_since_when(self, sources, broker, monkeypatch):
        sources.remove("applications", 11)
        repeated = []

        def retry(exc, countdown, headers):
            repeated.append((countdown, headers))
            return Retry()

        monkeypatch.setattr(TASKS[CREATE_TASK], "retry", retry)
        self.retried(broker)
        ((countdown, headers),) = repeated
        assert 0 <= countdown <= 1
        repeated.clear()
        self.retried(broker, headers, retries=20)
        assert repeated[0][1] == headers
        assert 0 <= repeated[0][0] <= 120

    def test_they_end_after_ten_minutes(self, sources, broker, queued):
        sources.remove("authentications", 22)
        since = postgres.now().replace(year=2020).isoformat()
        run(CREATE_TASK, BODY, HEADERS, headers={"missing_since": since})
        args = [tuple(options["args"]) for name, options in broker.tasks if "notify" in name]
        assert args == told(ErrorCode.CG2000)

    def test_they_go_on_when_sources_knows(self, sources, broker):
        run(CREATE_TASK, BODY, HEADERS, headers={"missing_since": postgres.now().isoformat()})
        assert broker.names() == [AWS_TASK]


def test_our_type_that_sources_does_not_know_is_asked_for_again(sources, broker):
    sources.remove("application_types", OUR_TYPE["id"])
    send()
    play(broker)
    assert states() == ["failed"]
