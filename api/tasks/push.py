"""Tasks that tell others of changed usage (spec 14)."""

from api.push.publisher import publish_unless_paused
from util.locks import run_once
from util.tasks import task

LONGEST_RUN = 60
"""Seconds: more than a run takes, so that a killed one is not waited for much longer."""


@task("api.tasks.publish_usage_changes")
def publish_usage_changes() -> None:
    """Send what waits in the outbox to Kafka, unless another run is at it."""
    with run_once("publish-usage-changes", LONGEST_RUN) as alone:
        if alone:
            publish_unless_paused()
