"""Stored usage against the reference implementation's."""

from api.models import Instance
from tests.api.metering import reference
from tests.api.metering.notation import day


def compare_with_reference(environment, arrived):
    runs = []
    for instance in Instance.objects.filter(id__in=arrived).select_related("machine_image"):
        image = instance.machine_image
        facets = None
        if image and image.is_rhel:
            facets = (image.architecture, image.role, image.sla, image.usage, image.service_type)
        for start, end in reference.expected_runs([(*event, "") for event in arrived[instance.id]]):
            runs.append(reference.ReferenceRun(start, end, facets))
    for number in range(5, 13):
        assert environment.counts(number) == reference.expected_counts(runs, day(number))
