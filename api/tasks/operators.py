"""Tasks of the operators' console (spec 12 §1)."""

from typing import Any

from api import outbox
from api.doctor.examination import CHECKS, found_now
from api.operator_actions import log
from api.overview.samples import take_sample
from util.tasks import LONG, task


@task("api.tasks.run_operator_action", limit=LONG, bind=True)
def run_operator_action(self: Any, action_id: int) -> None:
    """Work on what an operator started, and leave what takes too long to another task."""
    with outbox.run(self.request) as wanted:
        if wanted and log.work(action_id):
            log.go_on(action_id)


@task("api.tasks.sample_fleet")
def sample_fleet() -> None:
    """Store the state of the whole fleet and what is wrong, for the console's first page."""
    take_sample(findings=found_now(CHECKS))
