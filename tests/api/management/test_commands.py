"""All commands of ours obey the rules of spec 12 §2 (acceptance 2 and 4)."""

import io
import json
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest
from django.conf import settings as django_settings
from django.core.management import CommandError, call_command

from api.clouds.aws.provisioning.queues import configure_queues
from api.management import commands
from api.management.base import OperatorCommand
from api.management.commands import create_operator
from api.models import (
    CloudAccount,
    InboxMessage,
    MachineImage,
    OutboxEntry,
    Run,
    SetAsideTask,
    User,
)
from tests.api.internal.record_rows import AT, Subject, store_records
from tests.factories import (
    make_aws_account,
    make_aws_image,
    make_event,
    make_instance,
    make_user,
)

pytestmark = pytest.mark.django_db

NAMES = sorted(
    path.stem for path in Path(commands.__path__[0]).glob("*.py") if path.stem != "__init__"
)
OTHERS = {"listen_to_sources", "migrate"}
"""One serves, the other is Django's own."""

OURS = [name for name in NAMES if name not in OTHERS]

NOBODY = "99999999"
REFUSED = [
    ("accounts", NOBODY),
    ("accounts", "--after", "x"),
    ("create_runs", "--user", NOBODY),
    ("create_runs", "--user", "-1"),
    ("explain", "--org-id", "nobody"),
    ("explain", "--user-id", NOBODY),
    ("explain", "--org-id", "200002", "--date", "yesterday"),
    ("inbox", NOBODY),
    ("inbox", NOBODY, "--retry"),
    ("inbox", "--state", "potato"),
    ("inbox", "--limit", "0"),
    ("initialize", "--wait", "x"),
    ("inspections", "ami-nobody"),
    ("inspections", "ami-nobody", "--retry"),
    ("inspections", "--status", "potato"),
    ("inspections", "--outcome", "potato"),
    ("outbox", "nothing"),
    ("outbox", "--retry", "nothing"),
    ("redrive", "another"),
    ("redrive", "another", "--dry-run"),
    ("replay_logs", "--since", "2020-01-02", "--account", NOBODY),
    ("replay_logs", "--since", "2020-01-02", "--aws-account", "123456789012"),
    ("replay_logs", "--since", "2020-01-02", "--until", "2020-01-01"),
    ("set_aside_tasks", NOBODY),
    ("set_aside_tasks", NOBODY, "--release"),
    ("doctor", "--unheard-of"),
]


@pytest.fixture
def rows(queued):
    """One of everything."""
    user = make_user(account_number="100001", org_id="200002", date_joined=AT)
    account = make_aws_account(user=user)
    image = make_aws_image(status="error")
    instance = make_instance(account=account, image=image)
    make_event(instance=instance, occurred_at=AT)
    store_records(Subject(user, account, image, instance), first=1, count=1)
    SetAsideTask.objects.create(work="w", name="x.y", message={}, lost_processes=3)


def run(name, *arguments):
    """Run a command; return its exit code and what it wrote."""
    out, err = io.StringIO(), io.StringIO()
    try:
        call_command(name, *arguments, stdout=out, stderr=err)
        code = 0
    except CommandError as error:
        code = error.returncode
    except SystemExit as ended:
        code = ended.code
    return code, out.getvalue()


@pytest.mark.parametrize("name", OURS)
def test_each_command_is_ours(name):
    module = import_module(f"api.management.commands.{name}")
    assert issubclass(module.Command, OperatorCommand)


@pytest.mark.parametrize("arguments", REFUSED, ids=" ".join)
def test_acceptance_2_what_there_is_not_is_refused(rows, arguments):
    """Acceptance 2: exit code 2, and nothing is done."""
    assert run(*arguments) == (2, "")
    assert run(*arguments, "--json") == (2, "")


def test_a_refusal_is_one_line_without_traceback():
    """Acceptance 2, as an operator sees it: of the values that no row can have."""
    done = subprocess.run(
        [sys.executable, "manage.py", "accounts", "0"],
        cwd=django_settings.BASE_DIR, capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.splitlines()[-1] == ("manage.py accounts: argument id: '0' is not an id")
    assert "Traceback" not in done.stderr


PARSED = [
    ("accounts",), ("accounts", "ID"), ("checkceleryconfigs",), ("create_runs", "--confirm"),
    ("create_runs", "--dry-run"), ("disable_accounts", "--dry-run"),
    ("disable_accounts", "--confirm"), ("doctor",), ("explain", "--org-id", "200002"),
    ("inbox",), ("inbox", "--retry", "--dry-run"), ("inbox", "--retry"),
    ("inspections",), ("inspections", "--retry", "--dry-run"), ("inspections", "--retry"),
    ("load_definitions",), ("openapi", "--check"), ("outbox",), ("outbox", "--retry"),
    ("outbox", "--retry", "--dry-run"), ("set_aside_tasks",),
    ("set_aside_tasks", "--release", "--all", "--dry-run"), ("show_config",),
]  # fmt: skip
PARSED_WITH_AWS = [
    ("cleanup_inspections",), ("cleanup_inspections", "--dry-run"), ("configurequeues",),
    ("provisionaws", "--dry-run"), ("redrive",), ("redrive", "--dry-run"),
    ("syncbucketlifecycle",),
]  # fmt: skip


TESTED_ELSEWHERE = {
    *("coverage", "corrections", "export", "findings", "import_original", "import_registrations"),
    *("create_operator", "initialize", "partition_events", "push_usage", "replay_logs", "usage"),
}


def parse(*arguments):
    arguments = [str(CloudAccount.objects.get().id) if one == "ID" else one for one in arguments]
    _, text = run(*arguments, "--json")
    return [json.loads(line) for line in text.splitlines()]


@pytest.mark.parametrize("arguments", PARSED, ids=" ".join)
def test_acceptance_4_json_parses(rows, arguments, redis_client):
    """Acceptance 4."""
    found = parse(*arguments)
    assert found or arguments[0] == "explain"
    assert all(isinstance(one, dict) for one in found)
    if "--dry-run" in arguments:
        assert all({"before", "after"} <= set(one) for one in found)


@pytest.mark.parametrize("arguments", PARSED_WITH_AWS, ids=" ".join)
def test_acceptance_4_json_of_what_asks_aws_parses(aws, arguments, redis_client):
    list(configure_queues())
    found = parse(*arguments)
    assert all(isinstance(one, dict) for one in found)
    assert found or arguments[0] == "cleanup_inspections"


def test_acceptance_4_json_is_tried_of_every_command():
    tried = {arguments[0] for arguments in (*PARSED, *PARSED_WITH_AWS)}
    assert set(OURS) - tried <= TESTED_ELSEWHERE


CHANGING = [
    ("inbox", "--retry"), ("outbox", "--retry"), ("inspections", "--retry"),
    ("set_aside_tasks", "--release", "--all"), ("disable_accounts",), ("create_runs",),
]  # fmt: skip


@pytest.mark.parametrize("arguments", CHANGING, ids=" ".join)
def test_a_dry_run_shows_before_and_after_and_changes_nothing(rows, queued, arguments):
    def stored():
        return [
            list(model.objects.order_by("pk").values())
            for model in (InboxMessage, OutboxEntry, MachineImage, SetAsideTask, CloudAccount, Run)
        ]

    before = stored()
    code, text = run(*arguments, "--dry-run")
    assert code == 0
    assert text.splitlines()
    assert all(" -> " in line for line in text.splitlines())
    assert (stored(), list(queued)) == (before, [])


def test_messages_that_need_no_retry_are_told(rows):
    InboxMessage.objects.update(state="processed")
    message = InboxMessage.objects.get()
    with pytest.raises(CommandError, match="Neither failed nor dead") as refused:
        call_command("inbox", str(message.id), "--retry")
    assert refused.value.returncode == 1


def test_an_operator_is_created(monkeypatch):
    def create(name, **options):
        assert name == "createsuperuser"
        User.objects.create_superuser("operator", password="x")

    monkeypatch.setattr(create_operator, "call_command", create)
    assert run("create_operator", "--json") == (0, '{"created": true}\n')
    monkeypatch.setattr(create_operator, "call_command", lambda *_, **__: None)
    assert run("create_operator") == (1, "")


class TestOutbox:
    KEY = "status of application 1"

    def test_list(self, rows):
        _, text = run("outbox")
        assert self.KEY in text
        assert "1 are not done; the oldest has waited" in text
        [row] = parse("outbox", self.KEY)
        assert (row["state"], row["attempts"]) == ("waiting", 2)
        assert "eyJ" not in json.dumps(row["args"])

    def test_entries_are_queued_again(self, rows, queued):
        OutboxEntry.objects.create(key="other", task="api.tasks.enable_account", args=[])
        assert run("outbox", "--retry", self.KEY) == (0, "1 outbox entries are queued again.\n")
        assert [task.args[0] for task in queued] == ["1"]
        assert run("outbox", "--retry") == (0, "2 outbox entries are queued again.\n")
        assert len(queued) == 3

    def test_an_entry_that_was_set_aside_is_released(self, rows, redis_client, queued):
        entry = OutboxEntry.objects.get()
        kept = SetAsideTask.objects.create(
            work=f"outbox-{entry.task_id}", task_id="a", name="api.tasks.enable_account",
            message={"task": "api.tasks.enable_account", "args": [1], "kwargs": {}, "options": {}},
            lost_processes=3,
        )  # fmt: skip
        assert [row["state"] for row in parse("outbox")] == ["set_aside"]
        assert run("outbox", "--retry", self.KEY)[0] == 0
        kept.refresh_from_db()
        assert kept.released_at is not None
        assert len(queued) == 0, "its own message was queued, once"

    def test_an_entry_that_is_done_is_told(self, rows):
        OutboxEntry.objects.update(done_at=AT)
        assert run("outbox", "--retry", self.KEY) == (1, "")
        assert run("outbox", "--retry") == (0, "0 outbox entries are queued again.\n")


class TestAccounts:
    def test_those_whose_source_is_gone(self, rows):
        assert parse("accounts", "--missing") == []
        CloudAccount.objects.update(missing_since=AT)
        [row] = parse("accounts", "--missing")
        assert row["missing_since"] == "2022-06-01T10:00:00Z"
        assert "2022-06-01T10:00:00Z" in run("accounts", "--missing")[1]

    def test_list(self, rows, time_machine):
        time_machine.move_to(AT, tick=False)
        account = CloudAccount.objects.get()
        account.coverage_days.create(date="2022-05-31", state="partial")
        account.coverage_days.create(date="2022-05-18", state="complete")
        [row] = parse("accounts")
        assert (row["id"], row["org_id"], row["state"]) == (account.id, "200002", "enabled")
        assert row["last_event_at"] == row["last_describe_at"] == "2022-06-01T10:00:00Z"
        assert (row["last_describe_outcome"], row["state_since"]) == (
            "denied", "2022-06-01T10:00:00Z"
        )  # fmt: skip
        assert row["coverage"] == ["complete", *[None] * 12, "partial"]
        assert ".????????????x" in run("accounts")[1]

    def test_one_with_its_states(self, rows):
        account = CloudAccount.objects.get()
        [row] = parse("accounts", "ID")
        assert row["states"][0]["to_state"] == "enabled"
        assert "CG3000" in run("accounts", str(account.id))[1]

    def test_pages(self, rows, django_assert_num_queries):
        """Acceptance 5."""
        first = CloudAccount.objects.get().id
        for _ in range(20):
            make_aws_account()
        with django_assert_num_queries(1):
            assert len(parse("accounts")) == 21
        assert len(parse("accounts", "--after", str(first), "--limit", "5")) == 5
