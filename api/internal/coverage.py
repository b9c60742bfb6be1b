"""How far the days of all customers' accounts can be trusted (spec 10 §2)."""

from django.db.models import F, QuerySet
from rest_framework import serializers

from api.internal import fields, filters
from api.internal.browse import BrowsableResource
from api.models import CloudType, CoverageDay


def _days() -> QuerySet:
    return CoverageDay.objects.annotate(
        cloud_type=F("cloud_account__cloud_type"), user_id=F("cloud_account__user_id")
    )


COVERAGE = BrowsableResource(
    name="coverage",
    model="CoverageDay",
    rows=_days,
    timestamped=False,
    in_root=False,
    ordered_by=("date", "cloud_account_id"),
    fields={
        "date": serializers.DateField(read_only=True),
        "cloud_account_id": fields.integer(),
        "cloud_type": fields.choice(CloudType.choices),
        "user_id": fields.integer(),
        "state": fields.choice(CoverageDay.State.choices),
        "metered_seconds": fields.integer(),
        "gaps": fields.AnyJSONField(read_only=True),
        "newest_event_time": fields.moment(allow_null=True),
        "newest_delivery": fields.moment(allow_null=True),
        **{
            name: fields.integer()
            for name in ("log_files", "describes_ok", "describes_failed", "corrections")
        },
        **{
            name: fields.integer(allow_null=True)
            for name in ("max_event_age_seconds", "max_queue_wait_seconds")
        },
        "computed_at": fields.moment(),
    },
    filters={
        "user_id": filters.whole_number("cloud_account__user_id"),
        "cloud_account": filters.whole_number("cloud_account_id"),
        "account_id": filters.whole_number("cloud_account_id"),
        "state": filters.choice("state", CoverageDay.State.choices),
        **filters.days("date"),
        **filters.identity("cloud_account__user"),
    },
)
