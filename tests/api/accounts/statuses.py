"""Reading the statuses that tests queue for the sources service."""

from api.sources.codes import ErrorCode
from api.sources.status import TASK
from tests.celery_fixtures import Queued


def statuses(queued: Queued) -> list[tuple]:
    """The statuses queued, as (account number, org id, application, status, error)."""
    return [task.args for task in queued.named(TASK)]


def available(user, application_id) -> tuple:
    return (user.account_number, user.org_id, application_id, "available", "")


def unavailable(user, application_id, code: ErrorCode | None = None) -> tuple:
    error = code.message if code else ""
    return (user.account_number, user.org_id, application_id, "unavailable", error)
