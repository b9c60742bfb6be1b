"""Tasks of the AWS pipeline (spec 04 §1.3); creating accounts is in ``api.tasks.accounts``."""

from typing import Any

from django.db import InterfaceError, OperationalError

from api import outbox
from api.clouds.aws.audit import walk as audit
from api.clouds.aws.cloudtrail import pipeline, replay, replay_runs
from api.clouds.aws.cloudtrail.trail import remove_trail
from api.clouds.aws.definitions import repopulate_definitions
from api.clouds.aws.describe import sync
from api.clouds.aws.errors import AwsError, NotReadyError, translated
from api.clouds.aws.provisioning import dead_letters
from api.clouds.aws.provisioning.queues import Message, cache_lengths
from api.clouds.provider import TransientCloudError
from util.locks import run_once
from util.tasks import LONG, RetryPolicy, enqueue, parse_date, task

AUDIT_LOGS = "api.clouds.aws.tasks.audit_logs"
AUDIT_SECONDS = 1000
"""After which another task goes on with the audit: well before the limit of this one."""

REPLAY_SECONDS = 60
"""After which a replay lets other tasks have the worker, and goes on behind them."""
NEXT_TURN, WAIT_FOR_TURN, WAIT_FOR_CLOUD = 1, 30, 60
"""Seconds until it goes on: by itself, behind another replay, when S3 was away."""
ENDLESS = 10**6

STANDARD = RetryPolicy(errors=(NotReadyError, TransientCloudError))
AUDITING = RetryPolicy(errors=(TransientCloudError, OperationalError, InterfaceError))
DESCRIBING = RetryPolicy(errors=(NotReadyError, TransientCloudError, OperationalError))


@task("api.clouds.aws.tasks.analyze_log", limit=LONG)
@translated
def analyze_log() -> list[list[dict[str, str]]]:
    """Work on the queue of CloudTrail's logs; gives the messages done with, and the others."""
    result = pipeline.analyze_log()
    return [_shown(result.successes), _shown(result.failures)]


def _shown(messages: list[Message]) -> list[dict[str, str]]:
    return [message.shown() for message in messages]


@task(AUDIT_LOGS, retry=AUDITING, limit=LONG)
def audit_logs() -> dict[str, Any]:
    """Compare the trail bucket with what was processed, and queue again what was not."""
    audited = audit.audit_logs(seconds=AUDIT_SECONDS)
    if not audited.is_done:
        enqueue(AUDIT_LOGS)
    return audited.shown()


@task("api.clouds.aws.tasks.replay_logs", limit=LONG, bind=True)
def replay_logs(
    self: Any,
    account_id: int | None = None,
    region: str | None = None,
    since: str | None = None,
    until: str | None = None,
    missing_only: bool = False,
    restore: bool = False,
) -> dict[str, Any]:
    """Work again on the log files of an account, by its row's id, or of all; days are inclusive."""
    wanted = replay.wanted(
        account_id=account_id,
        region=region,
        since=parse_date(since),
        until=parse_date(until),
        missing_only=missing_only,
        restore=restore,
    )
    try:
        with replay_runs.turn() as mine:
            row = replay_runs.replay(wanted, seconds=REPLAY_SECONDS) if mine else None
    except (TransientCloudError, OperationalError, InterfaceError) as error:
        raise self.retry(exc=error, countdown=WAIT_FOR_CLOUD, max_retries=ENDLESS) from error
    if row is None or row.finished_at is None:
        raise self.retry(countdown=NEXT_TURN if row else WAIT_FOR_TURN, max_retries=ENDLESS)
    return replay_runs.result(row)


@task(
    "api.clouds.aws.tasks.initial_aws_describe_instances", retry=DESCRIBING, limit=LONG, bind=True
)
@translated
def initial_aws_describe_instances(self: Any, aws_cloud_account_id: int) -> None:
    """Describe all instances of an account."""
    # What AWS refuses for good is looked at again by the next reconciliation.
    with outbox.run(self.request, final=(AwsError,)) as wanted:
        if wanted:
            repeated = self.request.retries > 0
            sync.describe_account(account_id=int(aws_cloud_account_id), resume=repeated)


@task("api.clouds.aws.tasks.reconcile_aws_accounts")
def reconcile_aws_accounts() -> None:
    """Queue a new look at every account."""
    sync.reconcile_accounts()


@task("api.clouds.aws.tasks.describe_missing")
def describe_missing() -> None:
    """Queue the questions about instances and images that AWS did not answer."""
    sync.complete_accounts()


@task("api.clouds.aws.tasks.describe_missing_for_account", retry=DESCRIBING, limit=LONG)
@translated
def describe_missing_for_account(aws_cloud_account_id: int) -> None:
    """Ask an account again for what AWS did not describe to us."""
    sync.describe_missing(account_id=int(aws_cloud_account_id))


@task("api.clouds.aws.tasks.delete_cloudtrail", retry=STANDARD, bind=True)
@translated
def delete_cloudtrail(self: Any, arn: str, aws_account_id: str) -> None:
    """Delete our trail from an account that is metered no more."""
    link = outbox.TaskLink.of(self.request.headers)
    if outbox.claim(link, again=self.request.retries > 0):
        with outbox.failures_noted(link):
            remove_trail(arn=arn, aws_account_id=aws_account_id, link=link)


@task("api.clouds.aws.tasks.repopulate_ec2_instance_mapping", retry=STANDARD, limit=LONG)
@translated
def repopulate_ec2_instance_mapping() -> None:
    """Store instance types that are new."""
    repopulate_definitions()


@task("api.tasks.check_and_cache_sqs_queues_lengths")
def check_and_cache_sqs_queues_lengths() -> None:
    """Remember how many messages our queues hold."""
    cache_lengths()


@task("api.clouds.aws.tasks.redrive_dead_letters", limit=LONG)
@translated
def redrive_dead_letters() -> dict[str, dict[str, int]]:
    """Move dead letters back whose cause may have passed; returns how many of each queue."""
    with run_once("redrive_dead_letters", LONG.hard) as alone:
        found = dead_letters.redrive_all() if alone else []
    return {one.queue: {"moved": one.moved, "kept": one.kept} for one in found}
