"""Which CPU options hold for which stretch of a run (spec 11 §1)."""

from operator import itemgetter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.metering.cpus import CpuOptions, cpu_options_of, sizes_within
from api.metering.timeline import PowerRun
from api.models import InstanceFact
from tests import factories
from tests.api.metering.notation import at

RUN = PowerRun(100, 200, "a")
RESIZED = PowerRun(100, 200, "a", ((150, "b"),))


def told(*options):
    """Return CPU options as sources told them, the oldest first."""
    found = CpuOptions()
    for option in options:
        found.add(*option)
    return found


def test_nothing_known():
    assert sizes_within(RUN, None) == (None, None)
    assert sizes_within(RESIZED, None) == (None, '[[150, "b", null]]')


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
    assert sizes_within(RUN, told(*options)) == (cpus, None)


def test_each_type_has_its_own():
    first, second = (100, "a", 1), (160, "b", 3)
    options = told(first, second)
    assert sizes_within(RESIZED, options) == (1, '[[150, "b", 3]]')
    assert sizes_within(RESIZED, told(first)) == (1, '[[150, "b", null]]')
    assert sizes_within(RESIZED._replace(end=None), options) == (1, '[[150, "b", 3]]')


def gone_through(options, instance_type, begin, end):
    """Say the same as ``CpuOptions.cpus`` does, by going through all options."""
    fitting = [option for option in options if option[1] in (None, instance_type)]
    before = [cpus for at, _, cpus in fitting if at < begin]
    within = [cpus for at, _, cpus in fitting if begin <= at and (end is None or at <= end)]
    after = [cpus for at, _, cpus in fitting if begin <= at]
    return [*within[:1], *before[-1:], *after[:1], None][0]


MOMENTS = st.integers(0, 9)
TYPES = st.sampled_from(["a", "b", None])


@given(
    st.lists(st.tuples(MOMENTS, TYPES, st.integers(1, 9)), max_size=12),
    TYPES,
    MOMENTS,
    st.none() | MOMENTS,
)
def test_looking_up_is_going_through_all(options, instance_type, begin, end):
    options.sort(key=itemgetter(0))
    end = None if end is None else max(begin, end)
    found = told(*options).cpus(instance_type, begin, end)
    assert found == gone_through(options, instance_type, begin, end)


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
    assert [known.cpus(name, 0, None) for name in "abcd"] == [1, 4, 8, None]
