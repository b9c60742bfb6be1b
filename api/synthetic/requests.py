"""Requests for make-believe customers: are they ready, and how they end (spec 07 §12.1, §12.5)."""

import logging
from collections.abc import Collection
from datetime import UTC

from django.db import transaction
from django.db.models import Count, Exists, OuterRef, QuerySet, Subquery
from django.db.models.functions import Coalesce, TruncDate

from api.metering.locking import lock_metering
from api.metering.staleness import is_unavailable
from api.models import (
    CloudAccount,
    ConcurrentUsage,
    Instance,
    MachineImage,
    SyntheticDataRequest,
    User,
)
from api.models.locking import lock_users
from api.push import outbox
from util import clock
from util.tasks import enqueue

logger = logging.getLogger(__name__)

DELETION = "api.tasks.delete_cloud_account"


def synthetic_requests() -> QuerySet[SyntheticDataRequest]:
    """Select the requests with what ``is_ready`` and showing them need."""
    usage = (
        ConcurrentUsage.objects.filter(
            ~is_unavailable(),
            user_id=OuterRef("user_id"),
            date__gte=OuterRef("first_day"),
            date__lte=OuterRef("last_day"),
        )
        .order_by()
        .values("user_id")
        .annotate(days=Count("id"))
    )
    return (
        SyntheticDataRequest.objects.select_related("user")
        .prefetch_related("machine_images")
        .annotate(first_day=TruncDate("user__date_joined"), last_day=TruncDate("created_at"))
        .annotate(calculated_days=Coalesce(Subquery(usage.values("days")), 0))
    )


def is_ready(request: SyntheticDataRequest) -> bool:
    """Return whether each day of a selected request has usage, from its user's first to its own."""
    if request.user is None:
        return False
    first = request.user.joined_on
    last = request.created_at.astimezone(UTC).date()
    return getattr(request, "calculated_days", 0) == (last - first).days + 1


def delete_expired_requests() -> int:
    """Delete the requests whose time is over with all that was made for them; give their number.

    Accounts left behind by requests that are gone, because their deletion could not be queued or
    failed, are deleted again.
    """
    expired = SyntheticDataRequest.objects.filter(expires_at__lte=clock.now())
    deleted = delete_requests(request_ids=list(expired.values_list("id", flat=True)))
    left = CloudAccount.objects.filter(is_synthetic=True, user__synthetic_request__isnull=True)
    _queue_deletion(left.exclude(user_id__in=deleted))
    return len(deleted)


@transaction.atomic
def delete_requests(*, request_ids: Collection[int]) -> list[int]:
    """Delete requests; give the ids of their customers.

    Images that no instance uses go at once, and so do customers without accounts. Each account is
    queued for its normal deletion, which takes along everything else and at last the customer.
    """
    requests = SyntheticDataRequest.objects.filter(id__in=request_ids)
    locked = list(requests.select_for_update().order_by("id").values_list("id", "user_id"))
    user_ids = [user_id for _, user_id in locked if user_id is not None]
    used = Instance.objects.filter(machine_image_id=OuterRef("id"))
    made = SyntheticDataRequest.machine_images.through.objects.filter(
        syntheticdatarequest_id__in=request_ids
    )
    images = MachineImage.objects.filter(id__in=made.values("machineimage_id"))
    images.filter(~Exists(used)).delete()
    _queue_deletion(CloudAccount.objects.filter(user_id__in=user_ids))
    requests.delete()
    with lock_users(user_ids):
        childless = User.objects.filter(id__in=user_ids, cloud_accounts__isnull=True)
        going = list(childless.values_list("id", flat=True))
        lock_metering(*going)
        outbox.withdraw(going)
        childless.delete()
    if locked:
        logger.info("Deleted %s synthetic data requests", len(locked))
    return user_ids


def _queue_deletion(accounts: QuerySet[CloudAccount]) -> None:
    for account_id in accounts.order_by("id").values_list("id", flat=True):
        enqueue(DELETION, account_id)
