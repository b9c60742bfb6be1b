"""The components of the OpenAPI document for how far days can be trusted (spec 10 §2)."""

from rest_framework import serializers
from rest_framework.serializers import Serializer

from api import models
from api.models import CoverageDay


class CoverageGap(Serializer):
    """A span of time of which something is not known, or in which nothing is metered."""

    def get_fields(self) -> dict[str, serializers.Field]:
        """Return the fields; the name of one of them is a word of Python."""
        return {
            "from": serializers.DateTimeField(),
            "to": serializers.DateTimeField(),
            "reason": serializers.ChoiceField(CoverageDay.Gap.choices),
        }


class Coverage(Serializer):
    """How far one UTC day of one cloud account can be trusted."""

    date = serializers.DateField()
    cloud_account_id = serializers.IntegerField()
    cloud_type = serializers.ChoiceField(models.CloudType.choices)
    state = serializers.ChoiceField(CoverageDay.State.choices)
    metered_seconds = serializers.IntegerField(min_value=0, max_value=86400)
    gaps = CoverageGap(many=True)
    newest_event_time = serializers.DateTimeField(
        allow_null=True, help_text="When the last event of the day took place."
    )
    newest_delivery = serializers.DateTimeField(
        allow_null=True, help_text="When the last log file of the day was delivered."
    )
    log_files = serializers.IntegerField(min_value=0)
    describes_ok = serializers.IntegerField(min_value=0)
    describes_failed = serializers.IntegerField(min_value=0)
    corrections = serializers.IntegerField(min_value=0)
    max_event_age_seconds = serializers.IntegerField(
        allow_null=True, help_text="Age of the oldest event when it was stored."
    )
    max_queue_wait_seconds = serializers.IntegerField(
        allow_null=True, help_text="For how long a log file waited for us at most."
    )
    computed_at = serializers.DateTimeField()


class QualityOfNumber(Serializer):
    """How far a number of a customer's day can be trusted."""

    state = serializers.ChoiceField(CoverageDay.State.choices)
    count_min = serializers.IntegerField(
        allow_null=True, min_value=0, help_text="What the total was at least, if that is known."
    )
    count_max = serializers.IntegerField(
        allow_null=True, min_value=0, help_text="What the total was at most, if that is known."
    )


class Quality(QualityOfNumber):
    """How far the numbers of a customer's day can be trusted."""

    gap_seconds = serializers.IntegerField(
        min_value=0, help_text="For how long something is not known of at least one account."
    )
