"""The tasks of chapter 03, run as a worker runs them but for the broker."""

import inspect

import pytest
from celery.exceptions import Retry

from api.accounts.checks import request_check
from api.accounts.states import KAFKA
from api.clouds.provider import TransientCloudError, VerificationFailedError, VerificationProblem
from api.models import AccountState, CloudAccount, InboxMessage, User
from api.sources import inbox, work
from api.sources.client import SourcesUnavailableError
from api.sources.codes import ErrorCode
from api.sources.messages import CREATE, PAUSE, UPDATE, Tenant
from api.sources.status import notify_available
from api.tasks import accounts as account_tasks
from api.tasks import sources as source_tasks
from tests.api.accounts.records import (
    APPLICATION,
    ARN,
    AWS_TASK,
    BODY,
    HEADERS,
)
from tests.api.accounts.statuses import available, statuses, unavailable
from tests.api.accounts.workers import NOTIFY, TASKS, run
from tests.api.passing_time import time_passes
from tests.api.sources.stored import received, store
from tests.factories import make_aws_account, make_user
from util.kafka import KafkaProducerError

pytestmark = pytest.mark.django_db


def test_names_are_the_contract():
    assert len(TASKS) == 15


def test_argument_names():
    for name, arguments in {
        "api.tasks.create_from_sources_kafka_message": ("message", "headers"),
        NOTIFY: (
            "account_number",
            "org_id",
            "application_id",
            "availability_status",
            "availability_status_error",
        ),
        AWS_TASK: (
            "username",
            "org_id",
            "customer_arn",
            "authentication_id",
            "application_id",
            "source_id",
        ),
        "api.tasks.enable_account": ("cloud_account_id",),
        "api.tasks.delete_cloud_account": ("cloud_account_id",),
    }.items():
        names = inspect.signature(inspect.unwrap(TASKS[name].run)).parameters
        assert tuple(n for n in names if n != "self") == arguments


class TestWithoutStoredMessage:
    def test_create_queues_the_account_task(self, sources, broker):
        run("api.tasks.create_from_sources_kafka_message", BODY, HEADERS)
        assert broker.tasks[0][0] == AWS_TASK
        assert broker.tasks[0][1]["args"] == ["1701", "3340851", ARN, 22, 11, "9"]

    def test_old_messages_are_executed(self, aws, broker):
        """Decision 24."""
        make_aws_account(platform_application_id=11)
        run("api.tasks.pause_from_sources_kafka_message", {"id": 11}, HEADERS)
        assert CloudAccount.objects.get().platform_application_is_paused

    def test_sources_out_of_order_is_retried(self, sources, broker):
        sources.fail("/api", status=503, times=1)
        with pytest.raises((Retry, SourcesUnavailableError)):
            run("api.tasks.create_from_sources_kafka_message", BODY, HEADERS)

    def test_scenario_13_account_task(self, aws, broker, queued):
        user = make_user(account_number="1701", org_id="3340851")
        run(AWS_TASK, "1701", "3340851", ARN, 22, 11, "9")
        account = CloudAccount.objects.get()
        assert account.user == user
        assert account.is_enabled
        assert aws.asked == ["verify", "configure", "discover"]
        row = AccountState.objects.first()
        assert (row.cause, row.offset) == ("kafka", None)

    def test_account_task_without_user(self, aws, queued):
        run(AWS_TASK, "1701", "3340851", ARN, 22, 11, "9")
        assert statuses(queued) == [
            ("1701", "3340851", 11, "unavailable", ErrorCode.CG1000.message)
        ]

    @pytest.mark.parametrize("failures", range(8))
    def test_account_task_tells_once_that_a_cloud_stays_out_of_order(self, aws, queued, failures):
        make_user(account_number="1701", org_id="3340851")
        aws.problem = TransientCloudError("throttled")
        with pytest.raises((Retry, TransientCloudError)):
            run(AWS_TASK, "1701", "3340851", ARN, 22, 11, "9", retries=failures)
        told = [("1701", "3340851", 11, "unavailable", ErrorCode.CG3000.message)]
        assert statuses(queued) == (told if failures == account_tasks.FAILURES_UNTIL_TOLD else [])

    def test_enable_account(self, aws, queued):
        account = make_aws_account(is_enabled=False)
        run("api.tasks.enable_account", account.id)
        account.refresh_from_db()
        assert account.is_enabled
        assert AccountState.objects.get().cause == "api"

    def test_a_check_that_has_begun_does_not_stand_for_later_ones(self, aws, queued):
        """02 §12.17: what changes after it has begun must be seen."""
        account = make_aws_account()
        for expected in (1, 2):
            request_check(account.id)
            request_check(account.id)
            assert len(queued.named("api.tasks.enable_account")) == expected
            run("api.tasks.enable_account", account.id)

    def test_enable_account_tells_of_a_cloud_that_stays_out_of_order(self, aws, queued):
        account = make_aws_account()
        aws.problem = TransientCloudError("throttled")
        run("api.tasks.enable_account", account.id, retries=account_tasks.CHECK_RETRY.retries)
        assert statuses(queued) == [
            unavailable(account.user, account.platform_application_id, ErrorCode.CG3000)
        ]

    @pytest.mark.parametrize(
        ("headers", "cause"), [({}, "api"), ({"trigger_cause": "schedule"}, "schedule")]
    )
    def test_delete_cloud_account(self, aws, queued, headers, cause):
        run("api.tasks.delete_cloud_account", make_aws_account().id, headers=headers)
        assert not User.objects.exists()
        assert set(AccountState.objects.values_list("cause", flat=True)) == {cause}

    @pytest.mark.parametrize(
        "name",
        [
            "api.tasks.delete_inactive_users",
            "api.tasks.delete_orphaned_cloud_accounts",
            "api.tasks.delete_cloud_accounts_not_in_sources",
            "api.tasks.migrate_account_numbers_to_org_ids",
            "api.tasks.sweep_inbox",
        ],
    )
    def test_periodic_tasks_run_on_an_empty_system(self, queued, name):
        run(name)


class TestNotify:
    ARGS = ("1701", "", 11, "available")

    def test_arguments(self, monkeypatch):
        sent = []
        monkeypatch.setattr(source_tasks, "send_status", lambda **kwargs: sent.append(kwargs))
        run(NOTIFY, *self.ARGS)
        assert sent == [
            {
                "tenant": ("1701", None),
                "application_id": 11,
                "availability_status": "available",
                "error": "",
            }
        ]

    def test_kafka_away_is_retried(self, monkeypatch):
        def fail(**_):
            raise KafkaProducerError

        monkeypatch.setattr(source_tasks, "send_status", fail)
        with pytest.raises((Retry, KafkaProducerError)):
            run(NOTIFY, *self.ARGS)
        policy = TASKS[NOTIFY]
        assert (policy.max_retries, policy.retry_backoff_max, policy.retry_jitter) == (
            35,
            120,
            True,
        )

    def test_retried_status_gives_way_to_a_newer_one(self, monkeypatch, broker):
        sent = []
        monkeypatch.setattr(source_tasks, "send_status", lambda **kwargs: sent.append(kwargs))
        for _ in range(2):
            notify_available(tenant=Tenant("1701", "3340851"), application_id=11)
        (_, older), (_, newer) = broker.tasks
        run(NOTIFY, *older["args"], headers=older["headers"])
        run(NOTIFY, *older["args"], headers=older["headers"], retries=1)
        assert len(sent) == 1
        for _ in range(2):
            run(NOTIFY, *newer["args"], headers=newer["headers"], retries=1)
        assert len(sent) == 2

    def test_status_that_redis_lost_is_sent(self, sources, queued, broker):
        notify_available(tenant=Tenant("1701", "3340851"), application_id=11)
        broker.tasks.clear()
        time_passes(120)
        run("api.tasks.sweep_inbox")
        assert broker.names() == [NOTIFY]


class TestWithStoredMessage:
    """The hazards of spec 03 §11 with one worker and the worst order of delivery."""

    def store(self, event_type, value=BODY):
        return store(
            received("org 3340851", event_type, value, headers=HEADERS, kept_headers=HEADERS)
        )[0]

    def states(self):
        return [message.state for message in InboxMessage.objects.order_by("id")]

    def test_create_ends_with_its_account(self, sources, aws, broker):
        self.store(CREATE)
        inbox.publish_unqueued()
        broker.run()
        assert self.states() == ["handed_on"]
        assert broker.names() == [AWS_TASK]
        broker.run()
        assert self.states() == ["processed"]
        row = AccountState.objects.first()
        assert (row.to_state, row.topic, row.offset) == (
            "created",
            "events",
            InboxMessage.objects.get().offset,
        )

    @pytest.mark.parametrize("order", [0, -1])
    def test_hazard_1_destroy_does_not_overtake_create(self, sources, aws, broker, order):
        self.store(CREATE)
        self.store("ApplicationAuthentication.destroy")
        inbox.publish_unqueued()
        broker.run(order)
        assert self.states() == ["handed_on", "waiting"]
        broker.run_all()
        assert self.states() == ["processed", "processed"]
        assert not CloudAccount.objects.exists()
        assert not User.objects.exists()

    @pytest.mark.parametrize("order", [0, -1])
    def test_hazard_2_pause_does_not_overtake_create(self, sources, aws, broker, order):
        self.store(CREATE)
        self.store(PAUSE, {"id": 11})
        inbox.publish_unqueued()
        broker.run(order)
        broker.run_all()
        account = CloudAccount.objects.get()
        assert account.platform_application_is_paused
        assert not account.is_enabled

    def test_hazard_3_last_message_wins(self, aws, broker):
        make_aws_account(platform_application_id=11)
        for event_type in (PAUSE, "Application.unpause", PAUSE):
            self.store(event_type, {"id": 11})
        inbox.publish_unqueued()
        broker.run(2)
        assert self.states() == ["processed"] * 3
        assert CloudAccount.objects.get().platform_application_is_paused

    def test_hazard_5_user_deleted_between_message_and_account(self, sources, aws, broker):
        self.store(CREATE)
        inbox.publish_unqueued()
        broker.run()
        User.objects.all().delete()
        broker.run()
        assert CloudAccount.objects.get().user.account_number == "1701"

    def test_scenario_25_update_of_an_unknown_authentication_ends_with_the_account(
        self, sources, aws, broker
    ):
        link = {"id": "5", "application_id": "11", "authentication_id": "22"}
        sources.add("application_authentications", link)
        self.store(UPDATE, {"id": "22"})
        self.store(PAUSE, {"id": 11})
        inbox.publish_unqueued()
        broker.run(1)
        assert broker.names()[-1] == "api.tasks.create_from_sources_kafka_message"
        assert broker.tasks[-1][1]["args"] == [link, HEADERS]
        assert self.states() == ["handed_on", "waiting"]
        broker.run_all()
        assert self.states() == ["processed", "processed"]
        assert CloudAccount.objects.get().platform_application_is_paused

    def test_own_message_is_worked_on_with_all_its_headers(self, sources, broker):
        link = {"id": "5", "application_id": "11", "authentication_id": "22"}
        sources.add("application_authentications", link)
        message = received("org 3340851", UPDATE, {"id": "22"}, headers=HEADERS)
        stored, _ = inbox.store([message])
        inbox.publish_new(stored)
        broker.run()
        assert broker.tasks[0][1]["args"] == [link, HEADERS]

    def test_paused_application_is_created_paused(self, sources, aws, broker):
        sources.add("applications", APPLICATION | {"paused_at": "2026-01-01T00:00:00Z"})
        self.store(CREATE)
        inbox.publish_unqueued()
        broker.run_all()
        assert CloudAccount.objects.get().platform_application_is_paused

    def test_refused_account_ends_the_message(self, sources, aws, broker, queued):
        aws.problem = VerificationFailedError(VerificationProblem.ACCESS)
        self.store(CREATE)
        inbox.publish_unqueued()
        broker.run_all()
        assert self.states() == ["processed"]
        assert InboxMessage.objects.get().reason.startswith("CG3002")

    def test_cloud_out_of_order_keeps_the_customer_waiting(self, sources, aws, broker):
        aws.problem = TransientCloudError()
        self.store(CREATE)
        self.store(PAUSE, {"id": 11})
        inbox.publish_unqueued()
        broker.run()
        broker.run(-1)
        assert self.states() == ["failed", "waiting"]
        aws.problem = None
        InboxMessage.objects.update(not_before=InboxMessage.objects.first().received_at)
        broker.run_all()
        assert self.states() == ["processed", "processed"]

    def test_message_delivered_again_after_the_account_was_stored(self, sources, aws, broker):
        """The worker died between its commit and the end of the message (hazard 8)."""
        self.store(CREATE)
        inbox.publish_unqueued()
        broker.run_all()
        InboxMessage.objects.update(state="waiting", finished_at=None, queued_at=None)
        broker.tasks.clear()
        inbox.publish_unqueued()
        broker.run_all()
        assert CloudAccount.objects.count() == 1
        args = [options["args"] for name, options in broker.tasks if name == NOTIFY]
        account = CloudAccount.objects.get()
        assert args == [list(available(account.user, 11))]

    def test_child_task_waits_while_another_worker_is_at_the_message(self, sources, aws, broker):
        self.store(CREATE)
        inbox.publish_unqueued()
        broker.run()
        InboxMessage.objects.update(state="working")
        with pytest.raises((Retry, work.BusyError)):
            broker.run()

    def test_sweep_queues_what_was_lost(self, broker, aws):
        self.store(PAUSE, {"id": 11})
        run("api.tasks.sweep_inbox")
        assert broker.names() == ["api.tasks.pause_from_sources_kafka_message"]


def test_trigger_without_message():
    assert KAFKA.cause == "kafka"
