"""Messages of the sources service (spec 03 §6, §9.1) against a fake of that service."""

import base64
import json

import pytest
import redis

from api.accounts import events, foreign
from api.accounts.events import MessageOutcome
from api.accounts.states import KAFKA, Trigger
from api.clouds.provider import TransientCloudError, VerificationFailedError, VerificationProblem
from api.models import AccountState, CloudAccount, InboxMessage, User
from api.sources.client import SourcesRefusedError, SourcesUnavailableError
from api.sources.codes import ErrorCode
from api.sources.messages import CREATE, DESTROY, PAUSE, UNPAUSE, UPDATE
from tests.api.accounts.records import (
    ACCOUNT_HEADER,
    APPLICATION,
    ARN,
    AUTHENTICATION,
    AWS_TASK,
    AZURE_TASK,
    BODY,
    HEADERS,
    ORG_HEADER,
    OUR_TYPE,
    SUBSCRIPTION,
)
from tests.api.accounts.statuses import available, statuses
from tests.factories import make_aws_account, make_azure_account, make_user

pytestmark = pytest.mark.django_db


@pytest.fixture
def sources(sources_api, settings):
    sources_api.require_psk(settings.SOURCES_PSK)
    sources_api.add("application_types", OUR_TYPE, {"id": "6", "name": "/other"})
    sources_api.add("applications", APPLICATION)
    sources_api.add("authentications", AUTHENTICATION)
    return sources_api


def handle(event_type, value=BODY, headers=HEADERS, trigger=KAFKA) -> MessageOutcome:
    return events.handle(event_type=event_type, value=value, headers=headers, trigger=trigger)


def identity(**members):
    return ["x-rh-identity", base64.b64encode(json.dumps({"identity": members}).encode()).decode()]


def told(code, application_id=11, tenant=("1701", "3340851")):
    return [(*tenant, application_id, "unavailable", code.message)]


class TestCreate:
    def test_scenario_06_aws(self, sources, queued, settings):
        outcome = handle(CREATE)
        user = User.objects.get()
        assert (user.account_number, user.org_id) == ("1701", "3340851")
        (child_task,) = outcome.child_tasks
        assert child_task.task == AWS_TASK
        assert child_task.args == ("1701", "3340851", ARN, 22, 11, "9")
        requests = sources.received()
        assert [request["path"] for request in requests] == [
            "/api/sources/v3.0/applications/11",
            "/api/sources/v3.0/application_types",
            "/internal/v1.0/authentications/22",
        ]
        assert requests[1]["query"] == {"filter[name]": ["/insights/platform/cloud-meter"]}
        assert requests[2]["query"] == {"expose_encrypted_attribute[]": ["password"]}
        for request in requests:
            assert request["headers"] == {
                "x-rh-sources-account-number": "1701",
                "x-rh-sources-org-id": "3340851",
                "x-rh-sources-psk": settings.SOURCES_PSK,
            }
        assert queued == []

    def test_scenario_07_azure_with_the_token_in_the_password(self, sources, queued):
        sources.add(
            "authentications",
            AUTHENTICATION
            | {
                "authtype": "lighthouse_subscription_id",
                "username": None,
                "password": SUBSCRIPTION,
            },
        )
        (child_task,) = handle(CREATE).child_tasks
        assert child_task.task == AZURE_TASK
        assert child_task.args == ("1701", "3340851", SUBSCRIPTION, 22, 11, "9")

    def test_scenario_08_foreign_application(self, sources, queued):
        sources.add("applications", APPLICATION | {"application_type_id": "6"})
        assert handle(CREATE).child_tasks == ()
        assert not User.objects.exists()
        assert queued == []
        assert not any("authentications" in r["path"] for r in sources.received())

    def test_type_ids_of_several_digits_compare_by_value(self, sources, queued):
        sources.reset()
        sources.add("application_types", OUR_TYPE | {"id": 1234})
        sources.add("applications", APPLICATION | {"application_type_id": "1234"})
        sources.add("authentications", AUTHENTICATION)
        assert handle(CREATE).child_tasks

    def test_scenario_09_unknown_application(self, sources, queued):
        sources.remove("applications", 11)
        assert handle(CREATE).child_tasks == ()
        assert not User.objects.exists()
        assert queued == []

    @pytest.mark.parametrize("status", [500, 503, 429])
    def test_scenario_09_error_of_sources_is_raised(self, sources, queued, status):
        sources.fail("/api/sources/v3.0/applications", status=status, times=1)
        with pytest.raises(SourcesUnavailableError):
            handle(CREATE)
        assert not User.objects.exists()
        assert handle(CREATE).child_tasks

    def test_refusal_of_sources_is_raised(self, sources, queued):
        sources.require_psk("another")
        with pytest.raises(SourcesRefusedError):
            handle(CREATE)
        assert not User.objects.exists()

    def test_scenario_10_unknown_authentication(self, sources, queued):
        sources.remove("authentications", 22)
        assert handle(CREATE).child_tasks == ()
        assert statuses(queued) == told(ErrorCode.CG2000)
        assert not User.objects.exists()

    @pytest.mark.parametrize(
        ("change", "code"),
        [
            ({"authtype": "arn"}, ErrorCode.CG2001),
            ({"authtype": None}, ErrorCode.CG2001),
            ({"authtype": ["cloud-meter-arn"]}, ErrorCode.CG2001),
            ({"authtype": {"a": 1}}, ErrorCode.CG2001),
            ({"resource_type": "Endpoint"}, ErrorCode.CG2002),
            ({"username": ""}, ErrorCode.CG2004),
            ({"username": None, "password": ""}, ErrorCode.CG2004),
            ({"authtype": "arn", "resource_type": "x", "username": ""}, ErrorCode.CG2001),
        ],
        ids=lambda value: value.name if isinstance(value, ErrorCode) else None,
    )
    def test_scenarios_11_12_bad_authentications(self, sources, queued, change, code):
        sources.add("authentications", AUTHENTICATION | change)
        assert handle(CREATE).child_tasks == ()
        assert statuses(queued) == told(code)
        assert not User.objects.exists()

    def test_body_id_is_not_needed_and_ids_may_be_text(self, sources, queued):
        (child_task,) = handle(
            CREATE, {"application_id": "11", "authentication_id": "22"}
        ).child_tasks
        assert child_task.args[3:] == ("22", "11", "9")

    @pytest.mark.parametrize(
        "value",
        [
            {"id": 31, "application_id": 11},
            {"id": 31, "authentication_id": 22},
            {"application_id": "11; drop", "authentication_id": 22},
            {"application_id": 11.5, "authentication_id": 22},
            {"application_id": True, "authentication_id": 22},
            {"application_id": 0, "authentication_id": 22},
            {"application_id": 2**63, "authentication_id": 22},
            {"application_id": "9" * 5000, "authentication_id": 22},
            {"application_id": [11], "authentication_id": {"22": 22}},
            {},
            [],
            None,
            "text",
        ],
    )
    def test_bad_bodies_have_no_effect(self, sources, queued, value, caplog):
        outcome = handle(CREATE, value, trigger=Trigger("kafka", "events", 3, 99))
        assert outcome.child_tasks == ()
        assert outcome.summary.startswith("malformed")
        assert "events/3/99" in caplog.text
        assert sources.received() == []
        assert queued == []

    @pytest.mark.parametrize(
        "headers",
        [
            [],
            [["x-rh-sources-account-number", ""]],
            [["x-rh-identity", "not base64!"]],
            [["x-rh-sources-org-id", "9" * 151]],
            [["x-rh-identity", None]],
            [["X-RH-SOURCES-ORG-ID", "1"]],
            [identity()],
            [["one"]],
            "text",
            None,
            [[1, 2]],
        ],
    )
    def test_bad_headers_have_no_effect(self, sources, queued, headers):
        assert handle(CREATE, headers=headers).summary.startswith("malformed")
        assert sources.received() == []
        assert not User.objects.exists()

    @pytest.mark.parametrize(
        ("headers", "expected"),
        [
            ([ACCOUNT_HEADER], ("1701", None)),
            ([ORG_HEADER], (None, "3340851")),
            ([identity(account_number="5", org_id="6")], ("5", "6")),
            ([ORG_HEADER, identity(account_number="5", org_id="6")], (None, "3340851")),
            (
                [["x-rh-sources-account-number", ""], identity(org_id="6")],
                (None, "6"),
            ),
        ],
    )
    def test_tenants(self, sources, queued, headers, expected):
        handle(CREATE, headers=headers)
        user = User.objects.get()
        assert (user.account_number, user.org_id) == expected

    def test_conflicting_customer_is_cg1000(self, sources, queued):
        make_user(account_number="1702", org_id="3340851")
        assert handle(CREATE).child_tasks == ()
        assert statuses(queued) == told(ErrorCode.CG1000)

    def test_paused_application_is_noted(self, sources, queued):
        sources.add("applications", APPLICATION | {"paused_at": "2026-01-01T00:00:00Z"})
        (child_task,) = handle(CREATE).child_tasks
        assert "application_paused" in child_task.headers


class TestUpdate:
    VALUE = {"id": "22"}

    def test_account_is_changed(self, sources, aws, queued):
        account = make_aws_account(
            platform_authentication_id=22,
            platform_application_id=11,
            aws_account_id="123456789012",
            account_arn="arn:aws:iam::123456789012:role/old",
        )
        assert handle(UPDATE, self.VALUE).child_tasks == ()
        account.refresh_from_db()
        assert account.account_arn == ARN
        assert statuses(queued) == [available(account.user, 11)]

    def test_every_account_of_the_authentication(self, sources, aws, queued):
        for application_id in (11, 12):
            make_aws_account(platform_authentication_id=22, platform_application_id=application_id)
        aws.problem = VerificationFailedError(VerificationProblem.ACCESS)
        handle(UPDATE, self.VALUE)
        assert len(statuses(queued)) == 2

    def test_azure_account_is_changed(self, sources, azure, queued):
        account = make_azure_account(platform_authentication_id=22)
        sources.add(
            "authentications",
            AUTHENTICATION | {"authtype": "lighthouse_subscription_id", "username": SUBSCRIPTION},
        )
        handle(UPDATE, self.VALUE)
        account.refresh_from_db()
        assert str(account.subscription_id) == SUBSCRIPTION

    @pytest.mark.parametrize(
        "change",
        [
            {"resource_type": "Endpoint"},
            {"authtype": "arn"},
            {"authtype": ["cloud-meter-arn"]},
            {"authtype": "lighthouse_subscription_id"},
            {"resource_id": "12"},
        ],
    )
    def test_ends_silently(self, sources, aws, queued, change):
        account = make_aws_account(platform_authentication_id=22)
        sources.add("authentications", AUTHENTICATION | change)
        assert handle(UPDATE, self.VALUE).child_tasks == ()
        account.refresh_from_db()
        assert account.account_arn != ARN
        assert queued == []
        assert aws.calls == []

    def test_ends_silently_without_authentication(self, sources, aws, queued):
        make_aws_account(platform_authentication_id=22)
        sources.remove("authentications", 22)
        handle(UPDATE, self.VALUE)
        assert queued == []

    def test_missing_token(self, sources, aws, queued):
        make_aws_account(platform_authentication_id=22)
        sources.add("authentications", AUTHENTICATION | {"username": ""})
        handle(UPDATE, self.VALUE)
        assert statuses(queued) == told(ErrorCode.CG2004, application_id="11")
        assert aws.calls == []

    def test_scenario_25_unknown_authentication(self, sources, queued):
        link = {"id": "5", "application_id": "11", "authentication_id": "77", "x": None}
        sources.add(
            "application_authentications", link, link | {"id": "6", "authentication_id": "78"}
        )
        (child_task,) = handle(UPDATE, {"id": 77}).child_tasks
        assert child_task.task == "api.tasks.create_from_sources_kafka_message"
        assert child_task.args == (link, HEADERS)

    def test_unknown_authentication_of_no_application(self, sources, queued):
        assert not handle(UPDATE, {"id": 77}).child_tasks
        assert queued == []

    def test_unknown_authentication_of_more_applications_than_a_page_holds(self, sources, queued):
        links = [
            {"id": str(number), "application_id": str(number), "authentication_id": "77"}
            for number in range(1, 131)
        ]
        sources.add("application_authentications", *links)
        child_tasks = handle(UPDATE, {"id": 77}).child_tasks
        assert [child_task.args[0] for child_task in child_tasks] == links
        assert len({child_task.name for child_task in child_tasks}) == 130

    def test_foreign_applications_are_asked_about_once(self, sources, queued):
        """03 §13.6: every update of any application on the platform comes to us."""
        links = [
            {"id": number, "application_id": number, "authentication_id": "77"}
            for number in ("11", "12")
        ]
        sources.add("application_authentications", *links)
        sources.add("applications", APPLICATION | {"id": "12", "application_type_id": "6"})
        headers = [["event_type", UPDATE], ORG_HEADER]
        for expected in (links, links[:1], links[:1]):
            child_tasks = handle(UPDATE, {"id": 77}, headers=headers).child_tasks
            assert [child_task.args for child_task in child_tasks] == [
                (link, headers) for link in expected
            ]
            for child_task in child_tasks:
                handle(CREATE, *child_task.args)
        asked = [request["path"].rpartition("/")[2] for request in sources.received()]
        assert asked.count("12") == 1
        assert statuses(queued) == 3 * [
            (None, "3340851", "11", "unavailable", ErrorCode.CG2000.message)
        ]

    def test_foreign_application_is_looked_at_again_when_it_is_created(self, sources, queued):
        sources.add("applications", APPLICATION | {"application_type_id": "6"})
        handle(UPDATE, {"id": 22})
        for _ in range(2):
            handle(CREATE)
        assert [request["path"] for request in sources.received()].count(
            "/api/sources/v3.0/applications/11"
        ) == 2

    def test_cache_that_is_away_changes_nothing(self, sources, queued, monkeypatch):
        def away(*_):
            raise redis.ConnectionError

        monkeypatch.setattr(foreign.cache, "get_many", away)
        monkeypatch.setattr(foreign.cache, "set", away)
        link = {"id": "5", "application_id": "12", "authentication_id": "77"}
        sources.add("application_authentications", link)
        sources.add("applications", APPLICATION | {"id": "12", "application_type_id": "6"})
        headers = [["event_type", UPDATE], ORG_HEADER]
        for _ in range(2):
            (child_task,) = handle(UPDATE, {"id": 77}, headers=headers).child_tasks
            handle(CREATE, *child_task.args)

    def test_missing_id(self, sources, queued):
        assert handle(UPDATE, {}).summary.startswith("malformed")


class TestDestroy:
    def make(self, **columns):
        return make_aws_account(
            platform_authentication_id=22, platform_application_id=11, **columns
        )

    def test_account_is_deleted(self, aws, queued):
        account = self.make()
        kept = make_aws_account(platform_authentication_id=22, platform_application_id=12)
        handle(DESTROY, trigger=Trigger("kafka", "events", 1, 5))
        assert CloudAccount.objects.get() == kept
        row = AccountState.objects.filter(account_id=account.id, to_state="deleted").get()
        assert (row.topic, row.partition, row.offset) == ("events", 1, 5)

    def test_repeated(self, aws, queued):
        self.make()
        handle(DESTROY)
        queued.clear()
        handle(DESTROY)
        assert queued == []

    def test_other_tenant_deletes_with_a_warning(self, aws, queued, caplog):
        self.make()
        handle(DESTROY)
        assert not CloudAccount.objects.exists()
        assert "is deleted by" in caplog.text

    def test_scenario_19_no_tenant_deletes_nothing(self, aws, queued):
        self.make()
        handle(DESTROY, headers=[["event_type", DESTROY]])
        assert CloudAccount.objects.exists()

    @pytest.mark.parametrize("missing", BODY)
    def test_missing_ids_delete_nothing(self, aws, queued, missing):
        self.make()
        handle(DESTROY, {name: value for name, value in BODY.items() if name != missing})
        assert CloudAccount.objects.exists()


class TestPause:
    def test_pause_and_unpause(self, aws, queued):
        account = make_aws_account(platform_application_id=11)
        handle(PAUSE, {"id": 11})
        account.refresh_from_db()
        assert account.platform_application_is_paused
        handle(UNPAUSE, {"id": "11"})
        account.refresh_from_db()
        assert not account.platform_application_is_paused
        assert account.is_enabled

    @pytest.mark.parametrize("event_type", [PAUSE, UNPAUSE])
    def test_bad_messages(self, aws, queued, event_type):
        make_aws_account(platform_application_id=11)
        assert handle(event_type, {}).summary.startswith("malformed")
        assert handle(event_type, {"id": 11}, headers=[]).summary.startswith("malformed")
        assert not CloudAccount.objects.filter(platform_application_is_paused=True).exists()

    @pytest.mark.parametrize("event_type", [PAUSE, UNPAUSE])
    def test_unknown_application(self, aws, queued, event_type):
        handle(event_type, {"id": 12})
        assert queued == []


def message(event_type, value):
    return InboxMessage(
        topic="t", partition=0, offset=1, event_type=event_type, value=value, headers=HEADERS
    )


def test_customer_hears_when_a_message_is_given_up(queued):
    make_aws_account(platform_authentication_id=22, platform_application_id=13)
    events.give_up(message(CREATE, BODY), ValueError())
    events.give_up(message(UNPAUSE, {"id": 12}), None)
    events.give_up(message(UPDATE, {"id": "22"}), SourcesUnavailableError())
    codes = [told(ErrorCode.CG3000, application_id) for application_id in (11, 12, 13)]
    assert statuses(queued) == [status for code in codes for status in code]


@pytest.mark.parametrize(
    ("finding", "code"),
    [
        (VerificationProblem.ACCESS, ErrorCode.CG3002),
        (VerificationProblem.UNKNOWN, ErrorCode.CG3000),
    ],
)
def test_outage_of_the_cloud_is_told_as_its_refusals_are(queued, finding, code):
    """03 §6.6: any answer of AWS is an access error, silence is not."""
    events.give_up(message(CREATE, BODY), TransientCloudError("down", finding=finding))
    assert statuses(queued) == told(code)


@pytest.mark.parametrize(
    ("event_type", "value"),
    [(DESTROY, BODY), (PAUSE, {"id": 11}), (UPDATE, BODY), (CREATE, {}), (UNPAUSE, {"id": "x"})],
)
def test_nobody_waits_for_other_messages(queued, event_type, value):
    events.give_up(message(event_type, value), None)
    assert queued == []
