"""Tasks that concern all clouds alike (spec 09)."""

from api.clouds.retention import delete_expired_records
from util.tasks import LONG, task


@task("api.tasks.delete_expired_records", limit=LONG)
def delete_expired_records_task() -> dict[str, int]:
    """Delete records of reading the clouds that have had their day; gives how many."""
    return delete_expired_records()
