"""The components of the OpenAPI document for what explains a number (spec 10 §1)."""

from rest_framework import serializers
from rest_framework.serializers import Serializer

from api import models
from api.public.coverage_components import QualityOfNumber
from api.trust.timeline import KINDS


class UsageKey(Serializer):
    """What a number is told for. `_ANY` stands for all values together, empty text for unknown."""

    arch = serializers.CharField(allow_blank=True)
    role = serializers.CharField(allow_blank=True)
    sla = serializers.CharField(allow_blank=True)
    usage = serializers.CharField(allow_blank=True)
    service_type = serializers.CharField(allow_blank=True)


class Explanation(Serializer):
    """The number of one day, and when it was reached first."""

    date = serializers.DateField()
    key = UsageKey()
    instances_count = serializers.IntegerField(min_value=0)
    peak_from = serializers.DateTimeField(allow_null=True)
    peak_until = serializers.DateTimeField(
        allow_null=True, help_text="Null if the number does not fall on that day."
    )
    carried_over = serializers.IntegerField(
        min_value=0, help_text="How many of the runs began before the day."
    )
    revision = serializers.IntegerField(min_value=1)
    computed_at = serializers.DateTimeField()
    quality = QualityOfNumber()


class ExplainedEvent(Serializer):
    """The event that began or ended a run, and where it is known from."""

    event_id = serializers.IntegerField()
    occurred_at = serializers.DateTimeField()
    origin = serializers.ChoiceField(models.InstanceEvent.Origin.choices)
    name = serializers.CharField(allow_blank=True, help_text="What the cloud calls it.")
    source_id = serializers.CharField(allow_blank=True)
    recorded_at = serializers.DateTimeField()


class ExplainedInstance(Serializer):
    """The instance of a run."""

    instance_id = serializers.IntegerField()
    cloud_type = serializers.ChoiceField(models.CloudType.choices)
    cloud_id = serializers.CharField()
    region = serializers.CharField()
    cloud_account_id = serializers.IntegerField()


class RhelReason(Serializer):
    """A reason for which an image counts as RHEL."""

    reason = serializers.CharField()
    since = serializers.DateTimeField()
    evidence = serializers.DictField()


class ExplainedImage(Serializer):
    """The image of a run, and why it counts."""

    image_id = serializers.IntegerField()
    cloud_id = serializers.CharField()
    name = serializers.CharField(allow_null=True)
    architecture = serializers.CharField(allow_null=True)
    role = serializers.CharField(allow_blank=True)
    sla = serializers.CharField(allow_blank=True)
    usage = serializers.CharField(allow_blank=True)
    service_type = serializers.CharField(allow_blank=True)
    rhel_reasons = RhelReason(many=True)
    changed_since_computed = serializers.BooleanField(
        required=False, help_text="More has been learnt of it since the number was calculated."
    )


class ExplainedRun(Serializer):
    """A run that is counted."""

    run_id = serializers.IntegerField()
    start_time = serializers.DateTimeField()
    end_time = serializers.DateTimeField(allow_null=True)
    instance_type = serializers.CharField(allow_null=True)
    vcpu = serializers.IntegerField(allow_null=True)
    memory = serializers.FloatField(allow_null=True, help_text="MiB")
    instance = ExplainedInstance()
    image = ExplainedImage()
    opened_by = ExplainedEvent(allow_null=True)
    closed_by = ExplainedEvent(allow_null=True)


class PageMeta(Serializer):
    """How much there is on all pages."""

    count = serializers.IntegerField()


class PageLinks(Serializer):
    """Where the other pages are."""

    first = serializers.CharField()
    next = serializers.CharField(allow_null=True)
    previous = serializers.CharField(allow_null=True)
    last = serializers.CharField()


class ExplanationPage(Serializer):
    """A number and a page of the runs that it counts."""

    meta = PageMeta()
    links = PageLinks()
    explanation = Explanation()
    data = ExplainedRun(many=True)  # type: ignore[assignment]


class ChangedKey(UsageKey):
    """A key whose number changed."""

    before = serializers.IntegerField()
    after = serializers.IntegerField()


class UsageChange(Serializer):
    """A change of one day's numbers, or their first calculation."""

    date = serializers.DateField()
    revision = serializers.IntegerField(min_value=1)
    computed_at = serializers.DateTimeField()
    before = serializers.IntegerField(allow_null=True, help_text="The total; null at first.")
    after = serializers.IntegerField()
    keys = ChangedKey(many=True, help_text="Those that changed most, up to 20.")
    changed_keys = serializers.IntegerField(help_text="How many changed in all.")
    causes = serializers.ListField(child=serializers.ChoiceField(models.Cause.choices))


class ChangedDay(Serializer):
    """The total of a day before and after."""

    date = serializers.DateField()
    before = serializers.IntegerField()
    after = serializers.IntegerField()


class Correction(Serializer):
    """A look at the cloud that contradicted what its events had told."""

    at = serializers.DateTimeField()
    kind = serializers.ChoiceField(models.Correction.Kind.choices)
    instance = ExplainedInstance()
    cloud_account_id = serializers.IntegerField()
    believed = serializers.CharField(
        allow_null=True, help_text="`on` or `off`; null for images and types: none was known."
    )
    seen = serializers.CharField(
        allow_null=True, help_text="`on` or `off`, or the id of the image, or the type."
    )
    unsure_from = serializers.DateTimeField(
        allow_null=True, help_text="It happened at this moment at the earliest."
    )
    unsure_to = serializers.DateTimeField(
        help_text="It happened at this moment at the latest; the same moment is exact."
    )
    event_id = serializers.IntegerField(allow_null=True)
    describe_id = serializers.IntegerField(allow_null=True)
    explained_by = ExplainedEvent(
        allow_null=True, help_text="The true event, if its log came after all."
    )
    days_changed = ChangedDay(many=True)


class TimelineItem(Serializer):
    """Something that is known of an instance; further members depend on its kind."""

    at = serializers.DateTimeField()
    kind = serializers.ChoiceField(KINDS)
