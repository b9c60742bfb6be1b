"""Each runbook of docs/operations.rst is followed: commands, routes and tasks that it names work.

Operations issue, item 3. They are tried in the order of the document on a customer who has one of
everything that can be wrong, with real PostgreSQL and Valkey and the fake AWS; ``...`` and other
placeholders are replaced by ids of that customer.
"""

import io
import json
import re
from datetime import timedelta

import pytest
from django.core.management import CommandError, call_command

from api.clouds.aws.provisioning.buckets import ensure_bucket
from api.clouds.aws.provisioning.notifying_buckets import trail_bucket
from api.clouds.aws.provisioning.queues import configure_queues
from api.models import InspectionAttempt, MachineImage, SetAsideTask
from deployment.local.service import REPOSITORY
from tests.api.internal.callers import ANYBODY
from tests.api.internal.record_rows import AT, Subject, store_records
from tests.factories import (
    make_aws_account,
    make_aws_image,
    make_azure_account,
    make_event,
    make_instance,
    make_usage,
    make_user,
)
from util import clock

pytestmark = pytest.mark.django_db

TITLE = re.compile(r"^(\S.*)\n([-=~])\2+$", re.MULTILINE)
LITERAL = re.compile(r"``([^`]+)``")
COMMAND = re.compile(r"manage\.py (?P<words>\S.*)")
REQUEST = re.compile(r"(?P<method>GET|POST) (?P<path>/internal/\S+)")
TASKS = "/internal/tasks/"
MESSAGE = {
    "task": "api.tasks.recalculate_stale_usage",
    "args": [],
    "kwargs": {},
    "options": {"task_id": "00000000-0000-4000-8000-000000000017"},
}
"""A task that was set aside."""
SOMETHING_IS_WRONG = {"doctor"}
"""Commands that end with 1 where there is something to tell, as here."""


def runbooks():
    """The sections about alerts and losses, by their titles."""
    text = (REPOSITORY / "docs" / "operations.rst").read_text()
    titles = list(TITLE.finditer(text))
    ends = [title.start() for title in titles[1:]] + [len(text)]
    first = next(n for n, title in enumerate(titles) if title[1] == "Alerts")
    return {
        title[1]: text[title.end() : end]
        for title, end in list(zip(titles, ends, strict=True))[first:]
    }


def steps(text):
    """What a runbook tells to do, in its order: commands, requests, and bodies of tasks."""
    found = []
    for place in re.finditer(r"^    (manage\.py .*)$", text, re.MULTILINE):
        found.append((place.start(), re.sub(r"\s+#.*", "", place[1])))
    for place in LITERAL.finditer(text):
        step = " ".join(place[1].split())
        if COMMAND.match(step) or REQUEST.match(step) or step.startswith('{"task_name"'):
            found.append((place.start(), step))
    return [step for _, step in sorted(found)]


STEPS = [
    pytest.param(step, id=f"{title}: {step}")
    for title, text in runbooks().items()
    for step in dict.fromkeys(steps(text))
    # Its body stands beside it, and is a step.
    if step != f"POST {TASKS}"
]


@pytest.fixture
def placeholders(queued, aws, redis_client, settings):
    """Store one of everything; return what stands for placeholders."""
    settings.USAGE_PUSH = True
    list(configure_queues())
    ensure_bucket(trail_bucket())
    user = make_user(account_number="100001", org_id="200002", date_joined=AT)
    account = make_aws_account(user=user)
    azure = make_azure_account(user=user)
    image = make_aws_image(status=MachineImage.Status.ERROR)
    instance = make_instance(account=account, image=image)
    make_event(instance=instance, occurred_at=AT)
    store_records(Subject(user, account, image, instance), first=1, count=1)
    InspectionAttempt.objects.create(machine_image=image, outcome="inconclusive")
    yesterday = clock.today() - timedelta(days=1)
    make_usage(user=user, date=yesterday, counts=[])
    yesterday = str(yesterday)
    task = SetAsideTask.objects.create(
        work="w",
        task_id=MESSAGE["options"]["task_id"],
        name=MESSAGE["task"],
        message=MESSAGE,
        lost_processes=3,
    )
    return {
        r"\bAMI\b": image.cloud_image_id,
        r"\bID\b": str(user.id),
        r"\bDAY\b": yesterday,
        r"\b2026-11-2[01]\b": yesterday,
        r"\b123456789012\b": account.aws_account_id,
        r"--release 17": f"--release {task.id}",
        r"<id>": str(image.id),
        r"aws_account_id=\.\.\.": f"aws_account_id={account.aws_account_id}",
        r"subscription_id=\.\.\.": f"subscription_id={azure.subscription_id}",
        r"account_id=\.\.\.": f"account_id={account.id}",
        r"created_at__gt=\.\.\.": f"created_at__gt={yesterday}",
        r'"aws_cloud_account_id": \.\.\.': f'"aws_cloud_account_id": {account.id}',
    }


def run(words):
    """Run a command as from a shell without a terminal; return its exit code and what it wrote."""
    out = io.StringIO()
    try:
        call_command(*words, stdout=out, stderr=out)
    except CommandError as error:
        return error.returncode, f"{out.getvalue()}{error}"
    except SystemExit as ended:
        return ended.code, out.getvalue()
    return 0, out.getvalue()


@pytest.mark.parametrize("step", STEPS)
def test_each_step_of_a_runbook_works(placeholders, step):
    for placeholder, value in placeholders.items():
        step = re.sub(placeholder, value, step)
    if command := COMMAND.match(step):
        words = command["words"].split()
        code, told = run(words)
        assert code in ((0, 1) if words[0] in SOMETHING_IS_WRONG else (0,)), told
    elif request := REQUEST.match(step):
        answer = ANYBODY.send(request["method"], request["path"])
        assert answer.status_code in (200, 202), answer.content
        assert "..." not in step
    else:
        answer = ANYBODY.send("POST", TASKS, json.loads(step))
        assert (answer.status_code, list(answer.json())) == (201, ["async_result_id"])


def test_there_are_steps_of_each_kind():
    found = [step.values[0] for step in STEPS]
    assert sum(bool(COMMAND.match(step)) for step in found) > 15
    assert sum(bool(REQUEST.match(step)) for step in found) > 8
    assert sum(step.startswith("{") for step in found) >= 3


def test_no_runbook_needs_sql():
    sql = re.compile(r"\b(?:SELECT|UPDATE|DELETE|INSERT|psql)\b|\bapi_[a-z]+\b")
    assert [title for title, text in runbooks().items() if sql.search(text)] == []


def test_each_alert_has_a_runbook():
    rules = (REPOSITORY / "deployment" / "alerts" / "rules.yaml").read_text()
    alerts = set(re.findall(r"alert: (\w+)", rules))
    assert alerts
    assert alerts <= runbooks().keys()
