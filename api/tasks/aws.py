"""Tasks of the AWS pipeline (spec 04 §1.3); creating accounts is in ``api.tasks.accounts``."""

from typing import Any

from django.db import OperationalError

from api import outbox
from api.clouds.aws.cloudtrail import pipeline
from api.clouds.aws.cloudtrail.trail import remove_trail
from api.clouds.aws.definitions import repopulate_definitions
from api.clouds.aws.describe import sync
from api.clouds.aws.errors import AwsError, NotReadyError, translated
from api.clouds.aws.provisioning import dead_letters
from api.clouds.aws.provisioning.queues import Message, cache_lengths
from api.clouds.provider import TransientCloudError
from util.locks import run_once
from util.tasks import LONG, RetryPolicy, task

STANDARD = RetryPolicy(errors=(NotReadyError, TransientCloudError))
DESCRIBING = RetryPolicy(errors=(NotReadyError, TransientCloudError, OperationalError))


@task("api.clouds.aws.tasks.analyze_log", limit=LONG)
@translated
def analyze_log() -> list[list[dict[str, str]]]:
    """Work on the queue of CloudTrail's logs; gives the messages done with, and the others."""
    result = pipeline.analyze_log()
    return [_shown(result.successes), _shown(result.failures)]


def _shown(messages: list[Message]) -> list[dict[str, str]]:
    return [message.shown() for message in messages]


@task(
    "api.clouds.aws.tasks.initial_aws_describe_instances", retry=DESCRIBING, limit=LONG, bind=True
)
@translated
def initial_aws_describe_instances(self: Any, aws_cloud_account_id: int) -> None:
    """Describe all instances of an account."""
    # What AWS refuses for good is looked at again by the next reconciliation.
    with outbox.run(self.request, within=LONG.hard, final=(AwsError,)) as wanted:
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
