"""The steps of long actions: each may be repeated without harm, and all follow from arguments.

An action that is interrupted goes on after the steps that are done, in any worker.
"""

from collections.abc import Callable, Sequence
from datetime import date, timedelta
from functools import partial
from typing import Any

from api.billing.summary import summarize
from api.billing.uploads import forget_upload, store_upload
from api.clouds.aws.cloudtrail.replay import Wanted
from api.clouds.aws.cloudtrail.replay_runs import replay, result
from api.metering.days import Days
from api.metering.recalculate import recalculate_runs_of_account, recalculate_usage_of_user
from api.metering.staleness import mark_days_stale
from api.models import AuditEntry, Cause, CloudAccount, CloudType, User
from util.tasks import parse_datetime

Step = Callable[[], str]
"""Does a part, and returns what came of it, empty for nothing to tell."""

DAYS_AT_ONCE = 31
"""Days that are withdrawn together until they are calculated again."""


class NothingToDoError(Exception):
    """What the action is about is not there, or not any more."""


def steps_of(entry: AuditEntry) -> Sequence[Step]:
    """Return the steps of a long action, always the same for the same arguments.

    Raises NothingToDoError.
    """
    return _STEPS[entry.action](entry)


def _customer(entry: AuditEntry) -> User:
    """Return the customer of an action. Raises NothingToDoError."""
    user = User.objects.filter(id=entry.user_id).first() if entry.user_id is not None else None
    if user is None:
        raise NothingToDoError("The customer is gone.")
    return user


def _recalculation(entry: AuditEntry) -> list[Step]:
    """Make runs right account by account, and then calculate usage anew, a month at a time."""
    user = _customer(entry)
    wanted = entry.arguments.get("since")
    since = max(date.fromisoformat(wanted), user.joined_on) if wanted else user.joined_on
    until = date.fromisoformat(entry.arguments["until"])
    account_ids = CloudAccount.objects.filter(user=user, created_at__lte=entry.created_at)
    steps: list[Step] = [
        partial(_recalculate_runs, account_id, since)
        for account_id in account_ids.order_by("id").values_list("id", flat=True)
    ]
    first = since
    while first <= until:
        last = min(first + timedelta(days=DAYS_AT_ONCE - 1), until)
        steps.append(partial(_recalculate_usage, user.id, Days(first, last)))
        first = last + timedelta(days=1)
    return steps


def _recalculate_runs(account_id: int, since: date) -> str:
    recalculate_runs_of_account(account_id=account_id, since=parse_datetime(since))
    return ""


def _recalculate_usage(user_id: int, days: Days) -> str:
    mark_days_stale(user_id=user_id, days=[days], cause=Cause.OPERATOR)
    recalculate_usage_of_user(user_id=user_id, since=days.first)
    return ""


def _replay(entry: AuditEntry) -> list[Step]:
    """Work again on the logs of a customer's accounts, day by day."""
    if entry.user_id is None:
        raise NothingToDoError("The customer is gone.")
    accounts = CloudAccount.objects.filter(user_id=entry.user_id, cloud_type=CloudType.AWS)
    numbers = accounts.order_by("id").values_list("aws_account_id", flat=True)
    wanted = entry.arguments.get("aws_account_id")
    ids = [one for one in numbers if one and (not wanted or one == wanted)]
    if not ids:
        raise NothingToDoError("The customer has no such AWS account.")
    since = date.fromisoformat(entry.arguments["since"])
    until = date.fromisoformat(entry.arguments["until"])
    days = Wanted(since, until).days
    return [partial(_replay_day, ids, day) for day in days]


def _replay_day(account_ids: Sequence[str], day: date) -> str:
    return " ".join(_replay_account(Wanted(day, day, one)) for one in account_ids)


def _replay_account(wanted: Wanted) -> str:
    """Replay one day of an account. Raises ``ReplayFailedError`` if files are left that fail."""
    report = result(replay(wanted))
    return (
        f"{wanted.since}, {wanted.aws_account_id}: {report['found']} files,"
        f" {report['replayed']} replayed, {report['archived']} archived."
    )


def _import(entry: AuditEntry) -> list[Step]:
    """Store the registrations of an uploaded file, and look for what they let one find."""
    user = _customer(entry)
    return [
        partial(_store_registrations, user.id, entry.id),
        partial(_summarize_findings, user.id, entry.id),
    ]


def _store_registrations(user_id: int, action_id: int) -> str:
    counts = store_upload(user_id=user_id, action_id=action_id)
    return (
        f"{counts.rows} registrations: {counts.added} added, {counts.changed} changed,"
        f" {counts.unchanged} known already."
    )


def _summarize_findings(user_id: int, action_id: int) -> str:
    summarize(user_id=user_id)
    forget_upload(action_id=action_id)
    return ""


_STEPS: dict[Any, Callable[[AuditEntry], Sequence[Step]]] = {
    AuditEntry.Action.RECALCULATE: _recalculation,
    AuditEntry.Action.REPLAY: _replay,
    AuditEntry.Action.IMPORT: _import,
}
