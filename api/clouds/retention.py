"""How long records of reading the clouds are kept (spec 09): long enough to explain a report."""

import logging

from dateutil.relativedelta import relativedelta
from django.db.models import QuerySet

from api.models import AuditFinding, DescribeRun, IngestHour, IngestObject
from util import clock

logger = logging.getLogger(__name__)

ROWS_AT_ONCE = 5000

# Which records, the column that tells their age, and after how many months nobody asks for them.
_KEPT = (
    (AuditFinding, "found_at", 13),
    (IngestObject, "processed_at", 13),
    (DescribeRun, "started_at", 13),
    (IngestHour, "hour", 25),
)


def delete_expired_records() -> dict[str, int]:
    """Delete files, findings, describes (after 13 months) and hours of logs (25) past their time.

    What was counted stays: events, runs, usage and corrections. Each batch is a transaction of its
    own, so an interrupted run goes on with the next. Returns the deleted rows by model.
    """
    deleted = {}
    for model, age, months in _KEPT:
        oldest = clock.now() - relativedelta(months=months)
        deleted[model.__name__] = _delete(model.objects.filter(**{f"{age}__lt": oldest}))
    logger.info("Deleted expired records: %s", deleted)
    return deleted


def _delete(expired: QuerySet) -> int:
    total = 0
    while ids := list(expired.values_list("id", flat=True)[:ROWS_AT_ONCE]):
        total += expired.model.objects.filter(id__in=ids).delete()[0]
    return total
