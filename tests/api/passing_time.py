"""Let time pass by PostgreSQL's clock, which no test can move: what is stored becomes older."""

import datetime
from collections.abc import Iterable

from django.db import models
from django.db.models import F

from api.models import CloudAccount, InboxMessage, OutboxEntry

_STORED = (InboxMessage, OutboxEntry)


def time_passes(seconds: float) -> None:
    """Make all times of the inbox and of outbox entries so many seconds earlier."""
    for model in _STORED:
        _shift(model, _times(model), seconds)


def account_ages(account: CloudAccount, seconds: float) -> None:
    """Make all times of an account so many seconds earlier."""
    _shift(CloudAccount, _times(CloudAccount), seconds, id=account.id)


def _times(model: type[models.Model]) -> list[str]:
    return [
        field.name
        for field in model._meta.concrete_fields
        if isinstance(field, models.DateTimeField) and field.name != "written_at"
    ]


def _shift(
    model: type[models.Model], columns: Iterable[str], seconds: float, **which: object
) -> None:
    span = datetime.timedelta(seconds=seconds)
    model._default_manager.filter(**which).update(**{name: F(name) - span for name in columns})


def is_spaced_ever_wider(moments: list[float], *, first: float, step: float, most: float) -> bool:
    """Check moments that were looked for every ``step`` seconds.

    The first comes after ``first`` seconds, each next after as long again as it has lasted until
    the one before, but never after more than ``most``.
    """
    expected = first
    last = 0.0
    for moment in moments:
        if not expected - 2 * step <= moment - last <= expected + 2 * step:
            return False
        last, expected = moment, min(max(moment, first), most)
    return True
