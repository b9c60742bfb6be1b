"""``manage.py doctor`` in healthy and sick deployments (spec 12 §2, §3).

With real processes: tests/deployment/test_doctor.py.
"""

import io
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import time_machine
from django.conf import settings as django_settings
from django.core.management import call_command
from django.db.models.functions import Now
from redis import ConnectionError as RedisConnectionError

from api.clouds.aws.provisioning.notifying_buckets import trail_bucket
from api.clouds.aws.provisioning.queues import configure_queues
from api.clouds.aws.session import sqs
from api.doctor import clouds, numbers, processes, work
from api.doctor.examination import CHECKS, examine
from api.doctor.findings import MOST_NAMED, span
from api.models import (
    DescribeRun,
    InboxMessage,
    MachineImage,
    OutboxEntry,
    SetAsideTask,
    StaleUsage,
)
from api.trust import mismatches
from api.trust.mismatches import note_mismatch, recent_mismatches
from tests.factories import make_aws_account, make_aws_image, make_azure_account, make_user
from util import clock, redis
from util.heartbeat import KEPT_SECONDS, Heartbeat

pytestmark = pytest.mark.django_db

NOON = datetime(2023, 3, 10, 12, tzinfo=UTC)
SECTIONS = (django_settings.BASE_DIR / "docs" / "operations.rst").read_text().splitlines()


def ago(**span):
    return Now() - timedelta(**span)


def texts(check):
    found = list(check())
    for finding in found:
        place = SECTIONS.index(finding.runbook)
        assert set(SECTIONS[place + 1]) <= set("-~"), "the runbook has a section of this title"
    return [finding.text for finding in found]


@pytest.fixture
def healthy(aws, redis_client):
    """Everything is there, and nothing has happened yet."""
    list(configure_queues())
    for name in ("beat", "listener"):
        Heartbeat(name).tell()


def silent(redis_client, name, seconds):
    Heartbeat(name).tell()
    redis_client.expire(f"test-heartbeat-{name}", KEPT_SECONDS - seconds)


class TestCommand:
    def run(self, *arguments, code):
        out = io.StringIO()
        if code:
            with pytest.raises(SystemExit) as ended:
                call_command("doctor", *arguments, stdout=out)
            assert ended.value.code == code
        else:
            call_command("doctor", *arguments, stdout=out)
        return out.getvalue()

    def test_acceptance_3_a_healthy_deployment(self, healthy):
        """Acceptance 3."""
        lines = self.run(code=0).splitlines()
        assert lines == [*(f"ok    {name}" for name in CHECKS), "All is well."]
        assert json.loads(self.run("--json", code=0)) == {
            "healthy": True,
            "findings": [],
            "checks": list(CHECKS),
        }

    def test_acceptance_3_four_sick_ones(self, healthy, redis_client, subscription):
        """A lost beat, a dead letter, a failing poll of Azure and a stuck message are named."""
        silent(redis_client, "beat", 200)
        dead = trail_bucket().dead_letter_queue
        url = sqs().get_queue_url(QueueName=dead)["QueueUrl"]
        sqs().send_message(QueueUrl=url, MessageBody="a")
        polls(subscription, "failed", "failed", "failed", error="Timeout")
        message(1, "failed", minutes=20)
        lines = self.run(code=1).splitlines()
        found = [
            line.removeprefix("LOOK").split(":")[0].strip() for line in lines if "LOOK" in line
        ]
        assert found == ["scheduler", "dead letters", "inbox", "Azure subscriptions"]
        assert lines[-1].startswith("4 findings.")
        # But for what has ids, the documentation shows the same.
        shown = {line.strip() for line in SECTIONS}
        with_ids = ("LOOK  inbox", "LOOK  Azure")
        assert all(line in shown for line in lines if not line.startswith(with_ids))

    def test_a_sick_one(self, healthy, redis_client):
        silent(redis_client, "beat", 200)
        lines = self.run(code=1).splitlines()
        assert lines[0] == (
            "LOOK  scheduler: The scheduler was not heard of for 3 minutes."
            " -> CloudigradeSchedulerIsSilent"
        )
        assert lines[-1].startswith("1 findings.")
        [finding] = json.loads(self.run("--json", code=1))["findings"]
        assert finding["check"] == "scheduler"
        assert finding["runbook"] == "CloudigradeSchedulerIsSilent"

    def test_a_store_that_is_away_is_a_finding_and_hides_no_other(self, healthy, monkeypatch):
        def away():
            raise RedisConnectionError

        monkeypatch.setattr(redis, "client", away)
        SetAsideTask.objects.create(work="w", name="api.tasks.x", message={}, lost_processes=3)
        found = json.loads(self.run("--json", code=1))["findings"]
        assert {one["check"] for one in found} == {
            "scheduler", "listener", "clocks", "explained numbers", "tasks set aside"
        }  # fmt: skip


@pytest.mark.parametrize(
    ("name", "check", "most"),
    [("beat", processes.scheduler, 180), ("listener", processes.listener, 60)],
)
def test_processes_that_are_not_heard_of(redis_client, name, check, most):
    assert "never heard of" in texts(check)[0]
    silent(redis_client, name, most - 20)
    assert texts(check) == []
    silent(redis_client, name, most + 1)
    assert "not heard of for" in texts(check)[0]


@pytest.mark.parametrize(
    ("database", "store", "told"),
    [
        (0, 0, None),
        (4, 0, None),
        (-4, 4, "The clock of Redis is 8 seconds ahead of that of PostgreSQL."),
        (0, -90, "The clock of this process is 90 seconds ahead of that of Redis."),
        (300, 0, "The clock of PostgreSQL is 5 minutes ahead of that of "),
    ],
)
def test_clocks(monkeypatch, redis_client, database, store, told):
    monkeypatch.setattr(
        processes.postgres, "now", lambda: clock.now() + timedelta(seconds=database)
    )
    monkeypatch.setattr(processes, "_redis_now", lambda: clock.now().timestamp() + store)
    found = texts(processes.clocks)
    assert len(found) == (told is not None)
    assert not found or found[0].startswith(told)


def test_clocks_of_real_stores(redis_client):
    assert texts(processes.clocks) == []


def test_pending_migrations(monkeypatch):
    monkeypatch.setattr(processes, "pending_migrations", lambda: 2)
    assert texts(processes.migrations) == ["2 migrations are pending."]


def test_dead_letters_and_missing_queues(aws):
    missing = texts(CHECKS["dead letters"])
    assert len(missing) == 2
    assert all("is missing" in text for text in missing)
    list(configure_queues())
    assert texts(CHECKS["dead letters"]) == []
    dead = trail_bucket().dead_letter_queue
    sqs().send_message(QueueUrl=sqs().get_queue_url(QueueName=dead)["QueueUrl"], MessageBody="a")
    assert texts(CHECKS["dead letters"]) == [f"1 dead letters lie in {dead}."]


def message(number, state, **age):
    return InboxMessage.objects.create(
        topic="t", partition=1, offset=number, event_type="x", customer_key="k", value={},
        headers=[], state=state, received_at=ago(**age),
    ).id  # fmt: skip


def test_messages_that_are_dead_or_stuck():
    message(1, "waiting", minutes=10)
    message(2, "processed", days=10)
    assert texts(work.inbox) == []
    dead = message(3, "dead", minutes=1)
    stuck = [message(10 + number, "failed", minutes=20 + number) for number in range(12)]
    named = ", ".join(map(str, stuck[:MOST_NAMED]))
    assert texts(work.inbox) == [
        f"1 inbox messages are dead: {dead}.",
        f"12 inbox messages wait, the oldest for 31 minutes: {named} and 2 more.",
    ]


def test_outbox_entries_that_are_dead_or_stuck():
    def entry(key, **age):
        return OutboxEntry.objects.create(key=key, task="t", args=[], issued_at=ago(**age))

    entry("young", minutes=14)
    OutboxEntry.objects.filter(key=entry("done", days=9).key).update(done_at=Now())
    assert texts(work.outbox) == []
    OutboxEntry.objects.filter(key=entry("old", minutes=16).key).update(last_error="E: why")
    dead = entry("killed", minutes=1)
    SetAsideTask.objects.create(work=f"outbox-{dead.task_id}", message={}, lost_processes=3)
    assert texts(work.outbox) == [
        "1 outbox entries are dead: killed.",
        "1 outbox entries wait, the oldest for 16 minutes: old; last error of the oldest: E: why.",
    ]


def test_stale_usage():
    users = [make_user().id, make_user().id]
    StaleUsage.objects.create(user_id=users[0], first_day=clock.today(), marked_at=ago(minutes=14))
    assert texts(work.stale_usage) == []
    for user_id in users:
        StaleUsage.objects.create(
            user_id=user_id, first_day=clock.today(), marked_at=ago(minutes=16)
        )
    [text] = texts(work.stale_usage)
    assert text.startswith("Usage of 2 customers is stale, for 16 minutes at most: users ")


def test_set_aside_tasks():
    assert texts(work.set_aside_tasks) == []
    kept = SetAsideTask.objects.create(work="a", name="x.y", message={}, lost_processes=3)
    SetAsideTask.objects.create(
        work="b", name="x.y", message={}, lost_processes=3, released_at=Now()
    )
    assert texts(work.set_aside_tasks) == [f"1 tasks x.y are set aside: {kept.id}."]


def test_numbers_that_could_not_be_explained(redis_client, monkeypatch):
    """Each day once, the newest first; nothing after 24 hours, and never more than a hundred."""
    assert texts(numbers.explained_numbers) == []
    for moment, user_id in ((NOON, 1), (NOON + timedelta(hours=1), 2), (NOON, 1)):
        with time_machine.travel(moment, tick=False):
            note_mismatch(user_id=user_id, day=NOON.date(), stored=3, members=2)
    with time_machine.travel(NOON + timedelta(hours=2), tick=False):
        assert texts(numbers.explained_numbers) == [
            "2 days were not what their runs make: user 2 on 2023-03-10, user 1 on 2023-03-10."
        ]
    with time_machine.travel(NOON + timedelta(hours=24, minutes=1), tick=False):
        assert [one.user_id for one in recent_mismatches()] == [2]
        monkeypatch.setattr(mismatches, "MOST_REMEMBERED", 3)
        for user_id in range(5, 10):
            note_mismatch(user_id=user_id, day=NOON.date(), stored=3, members=2)
        assert len(recent_mismatches()) == 3


def test_inspections():
    for status, hours in (("inspecting", 23), ("inspected", 99), ("error", 99)):
        image = make_aws_image(status=status)
        MachineImage.objects.filter(id=image.id).update(updated_at=ago(hours=hours))
    assert texts(work.inspections) == []
    image = make_aws_image(status="preparing")
    MachineImage.objects.filter(id=image.id).update(updated_at=ago(hours=30))
    assert texts(work.inspections) == [
        f"1 images are preparing, the oldest for 30 hours: {image.cloud_image_id}."
    ]


def runs(account, *outcomes, kind="reconcile", region="us-east-1", error="", **age):
    """Store describes, the newest first."""
    for number, outcome in enumerate(outcomes):
        at = ago(**(age or {"hours": 1})) - timedelta(minutes=number)
        DescribeRun.objects.create(
            cloud_account=account, region=region, kind=kind, outcome=outcome, error_code=error,
            started_at=at, finished_at=at,
        )  # fmt: skip


@pytest.fixture
def account():
    return make_aws_account(enabled_at=clock.now() - timedelta(hours=10))


@pytest.fixture
def subscription(settings):
    settings.ENABLE_AZURE_VM_DISCOVERY = True
    return make_azure_account(enabled_at=clock.now() - timedelta(hours=1))


def polls(account, *outcomes, **options):
    runs(account, *outcomes, kind="azure_poll", region=None, **{"minutes": 5, **options})


class TestAccounts:
    @pytest.mark.parametrize(
        ("outcomes", "is_told"),
        [
            (("failed", "failed", "throttled"), True),
            (("failed", "failed"), False),
            (("failed", "failed", "ok"), False),
            (("ok", "failed", "failed", "failed"), False),
            (("denied", "denied", "denied"), False),
        ],
    )
    def test_regions_of_aws(self, account, outcomes, is_told):
        runs(account, "ok", "ok", "ok", region="eu-west-1", minutes=1)
        runs(account, *outcomes, error="E")
        found = texts(clouds.aws_accounts)
        assert len(found) == is_told
        if is_told:
            assert f"(account {account.id}) could not be read in us-east-1 3 times" in found[0]
            assert "(E)" in found[0]

    def test_an_account_that_refuses_us(self, account):
        runs(account, "denied", "denied", "denied", region=None)
        assert "denied" in texts(clouds.aws_accounts)[0]
        runs(account, "ok", minutes=1)
        assert texts(clouds.aws_accounts) == []

    def test_accounts_that_are_not_metered(self, account):
        runs(account, "failed", "failed", "failed")
        assert texts(clouds.aws_accounts)
        for change in ({"is_enabled": False}, {"platform_application_is_paused": True}):
            type(account).objects.filter(id=account.id).update(is_enabled=True)
            type(account).objects.filter(id=account.id).update(**change)
            assert texts(clouds.aws_accounts) == []

    def test_accounts_that_were_not_described_for_long(self, account):
        type(account).objects.filter(id=account.id).update(enabled_at=ago(hours=13))
        [text] = texts(clouds.aws_accounts)
        assert text == (
            f"1 AWS accounts were not read for 13 hours at most: {account.aws_account_id}"
            f" (account {account.id})."
        )
        runs(account, "ok", hours=11)
        assert texts(clouds.aws_accounts) == []

    def test_failing_polls_of_azure(self, subscription):
        """Acceptance 3."""
        polls(subscription, "failed", "failed", error="Timeout")
        assert texts(clouds.azure_subscriptions) == []
        polls(subscription, "failed", minutes=1)
        [text] = texts(clouds.azure_subscriptions)
        assert str(subscription.subscription_id) in text
        assert "could not be read 3 times: failed" in text

    def test_polls_of_azure_that_do_not_come(self, subscription):
        type(subscription).objects.filter(id=subscription.id).update(enabled_at=ago(hours=3))
        [text] = texts(clouds.azure_subscriptions)
        assert "not read for 3 hours" in text
        polls(subscription, "ok")
        assert texts(clouds.azure_subscriptions) == []

    @pytest.mark.parametrize(
        "period", ["AWS_RECONCILE_SCHEDULE", "UPDATE_AZURE_INSTANCE_EVENTS_SCHEDULE"]
    )
    def test_what_is_switched_off_is_not_late(self, account, subscription, settings, period):
        setattr(settings, period, 0)
        type(account).objects.update(enabled_at=ago(days=9))
        found = [*texts(clouds.aws_accounts), *texts(clouds.azure_subscriptions)]
        assert len(found) == 1


def test_no_check_takes_more_statements_for_more_rows(account, django_assert_num_queries):
    """Acceptance 5."""
    for number in range(30):
        runs(make_aws_account(enabled_at=ago(days=9)), "failed", "failed", "failed")
        message(number, "dead", days=1)
    for check in (
        work.inbox,
        work.outbox,
        work.stale_usage,
        work.set_aside_tasks,
        work.inspections,
    ):
        with django_assert_num_queries(1):
            list(check())
    with django_assert_num_queries(2):
        assert len(list(clouds.aws_accounts())) == MOST_NAMED + 1


def test_a_check_that_fails_is_told(caplog):
    [result] = examine({"broken": lambda: 1 / 0})
    assert result.findings[0].text == "This cannot be checked: ZeroDivisionError."
    assert result.findings[0].runbook in SECTIONS


def test_spans():
    assert [span(one) for one in (7, 119, 120, 7200, 3 * 86400)] == [
        "7 seconds", "119 seconds", "2 minutes", "2 hours", "3 days",
    ]  # fmt: skip


def test_runbooks_are_where_the_command_says():
    assert Path(django_settings.BASE_DIR, "docs/operations.rst").exists()
