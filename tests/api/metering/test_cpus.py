"""Which CPU options hold for which stretch of a run (spec 11 §1)."""

import pytest

from api.metering.cpus import CpuOptions, cpu_options_of, sizes_within
from api.metering.timeline import PowerRun
from api.models import InstanceFact
from tests import factories
from tests.api.metering.notation import at

RUN = PowerRun(100, 200, "a")
RESIZED = PowerRun(100, 200, "a", ((150, "b"),))


def test_nothing_known():
    assert sizes_within(RUN, []) == (None, None)
    assert sizes_within(RESIZED, []) == (None, '[[150, "b", null]]')


@pytest.mark.parametrize(
    ("options", "cpus"),
    [
        ([(100, "a", 1)], 1),
        ([(50, "a", 1)], 1),
        ([(300, "a", 1)], 1),
        ([(300, None, 1)], 1),
        ([(50, "a", 1), (120, "a", 2)], 2),
        ([(50, "a", 1), (300, "a", 2)], 1),
        ([(120, "b", 2)], None),
    ],
)
def test_what_was_seen_in_the_run_before_what_was_seen_elsewhere(options, cpus):
    assert sizes_within(RUN, [CpuOptions(*option) for option in options]) == (cpus, None)


def test_each_type_has_its_own():
    options = [CpuOptions(100, "a", 1), CpuOptions(160, "b", 3)]
    assert sizes_within(RESIZED, options) == (1, '[[150, "b", 3]]')
    assert sizes_within(RESIZED, options[:1]) == (1, '[[150, "b", null]]')
    assert sizes_within(RESIZED._replace(end=None), options) == (1, '[[150, "b", 3]]')


@pytest.mark.django_db
def test_options_that_were_only_carried_along_with_another_type_are_not_known():
    """A resize says nothing of CPU options, so what is stored beside it is what was before."""
    instance = factories.make_instance()
    for hour, name, cores in ((1, "a", 1), (2, "b", 1), (3, "b", 4), (4, "c", 8), (5, "d", None)):
        InstanceFact.objects.create(
            instance=instance,
            observed_at=at(f"10T0{hour}"),
            source="cloudtrail",
            instance_type=name,
            cpu_cores=cores,
            threads_per_core=cores and 1,
        )
    known = cpu_options_of([instance.id])[instance.id]
    assert [(one.instance_type, one.cpus) for one in known] == [("a", 1), ("b", 4), ("c", 8)]
