"""Make all runs and usage of a customer anew from the stored events (spec 07 §10)."""

from datetime import UTC
from typing import NamedTuple

from django.db import transaction
from django.db.models import Min

from api.metering.days import Days
from api.metering.locking import lock_metering_of_accounts
from api.metering.runs import recalculate_runs
from api.metering.usage import calculate_usage
from api.models import ConcurrentUsage, InstanceEvent, Run, StaleUsage, User


class Existing(NamedTuple):
    """How much there is to lose."""

    runs: int
    usage: int


def existing(user_id: int | None = None) -> Existing:
    """Count the runs and usage rows of one customer, or of all."""
    runs, usage = Run.objects.all(), ConcurrentUsage.objects.all()
    if user_id is not None:
        runs, usage = runs.filter(cloud_account__user_id=user_id), usage.filter(user_id=user_id)
    return Existing(runs.count(), usage.count())


def customers(user_id: int | None = None) -> list[int]:
    """Return the ids of all customers, or of the one if there is such."""
    users = User.objects.order_by("id")
    if user_id is not None:
        users = users.filter(id=user_id)
    return list(users.values_list("id", flat=True))


@transaction.atomic
def rebuild(*, user_id: int) -> None:
    """Replace the customer's runs and usage in one transaction.

    Each day from that of the first run on gets a row, also before the customer joined (decision
    39); the next hourly pass writes those before it. Runs get new ids; the revisions of days go on
    counting.
    """
    lock_metering_of_accounts(user_id)
    Run.objects.filter(cloud_account__user_id=user_id).delete()
    ConcurrentUsage.objects.filter(user_id=user_id).delete()
    StaleUsage.objects.filter(user_id=user_id).delete()
    switched_on = InstanceEvent.objects.filter(
        cloud_account__user_id=user_id, event_type=InstanceEvent.Type.POWER_ON
    )
    recalculate_runs(
        user_id=user_id,
        instance_ids=switched_on.values_list("instance_id", flat=True).distinct(),
    )
    calculate_usage(user_id=user_id, missing=_days_since_first_run(user_id))


def _days_since_first_run(user_id: int) -> list[Days]:
    first = Run.objects.filter(cloud_account__user_id=user_id).aggregate(Min("start_time"))
    moment = first["start_time__min"]
    return [Days(moment.astimezone(UTC).date(), None)] if moment else []
