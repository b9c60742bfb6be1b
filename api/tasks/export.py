"""Tasks that write exports too large for a request (spec 11 §4)."""

from typing import Any

from api import outbox
from api.export.jobs import run_job
from util.tasks import LONG, task


@task("api.tasks.run_export_job", bind=True, limit=LONG)
def run_export_job(self: Any, job_id: int) -> None:
    """Write the file of an export job; repeated until it is done."""
    with outbox.run(self.request) as wanted:
        if wanted:
            run_job(job_id)
