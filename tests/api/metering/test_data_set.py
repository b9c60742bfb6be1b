"""The core on benchmark data set L (spec 07 §14.3, scenario 37)."""

from datetime import date

import pytest

from api.metering.concurrency import daily_peaks
from api.metering.facets import ANY, TOTAL, Facets
from api.models.instance import ORDINARY_RANK
from tests.api.metering.notation import key, runs_from_events
from tests.benchmarks import dataset

SERVER = "Red Hat Enterprise Linux Server"
WORKSTATION = "Red Hat Enterprise Linux Workstation"


@pytest.fixture(scope="module")
def runs():
    """All runs with the numbers of their images."""
    return [
        (run.start, run.end, instance % dataset.IMAGES)
        for instance in range(dataset.INSTANCES)
        for run in runs_from_events(
            [
                (second * dataset.SECOND, ORDINARY_RANK, kind, dataset.INSTANCE_TYPE)
                for second, kind in dataset.power_seconds(instance)
            ]
        )
    ]


def peaks_of(runs, turned=()):
    facts = [dataset.image(number) for number in range(dataset.IMAGES)]
    facets = [Facets(*fact[1:]) for fact in facts]
    rhel = {number for number, fact in enumerate(facts) if fact.is_rhel} | set(turned)
    counted = {number: facets[number] for number in rhel}
    return dict(daily_peaks(runs, counted, dataset.FIRST_DAY, dataset.TODAY))


@pytest.fixture(scope="module")
def year(runs):
    """The peaks of all days."""
    return peaks_of(runs)


def test_number_of_runs(runs):
    assert len(runs) == dataset.RUNS
    assert sum(end is None for _, end, _ in runs) == dataset.OPEN_RUNS
    assert sum(dataset.image(image).is_rhel for _, _, image in runs) == dataset.RHEL_RUNS


def test_check_values(year):
    totals = {day: dict(peaks)[TOTAL] for day, peaks in year.items()}
    assert {day: totals[day] for day in dataset.TOTALS} == dataset.TOTALS
    del totals[dataset.TODAY]
    assert max(totals.values()) == dataset.LARGEST_TOTAL
    assert sum(totals.values()) == dataset.SUM_OF_TOTALS
    days = [peaks for day, peaks in year.items() if day <= dataset.LAST_DAY]
    assert sum(len(peaks) for peaks in days) == dataset.SUM_OF_ENTRIES
    assert sum(count for peaks in days for _, count in peaks) == dataset.SUM_OF_COUNTS
    for day in (date(2022, 1, 1), date(2022, 1, 31), date(2022, 7, 1), date(2022, 12, 31)):
        assert len(year[day]) == dataset.ENTRIES_A_DAY


def test_entries_of_july(year):
    july = dict(year[date(2022, 7, 1)])
    assert july[key(arch="x86_64")] == 575
    assert july[key(arch="arm64")] == 719
    assert july[key(role=SERVER)] == 432
    assert july[key(role=WORKSTATION, sla="Premium")] == 122
    assert july[key(sla="", usage="Production")] == 195
    absent = key(arch="x86_64", sla="Standard", usage="Development/Test", service_type="L3")
    assert absent not in july
    assert all(ANY in (found.arch, found.role) for found in july)


def test_digest(year):
    days = [peaks for day, peaks in year.items() if day <= dataset.LAST_DAY]
    assert dataset.digest([[*key, count] for key, count in day] for day in days) == dataset.DIGEST


def test_check_values_after_an_image_became_rhel(runs):
    year = peaks_of(runs, turned=[dataset.TURNED_IMAGE])
    totals = {day: dict(peaks)[TOTAL] for day, peaks in year.items()}
    del totals[dataset.TODAY]
    assert sum(totals.values()) == dataset.TURNED_SUM
    assert max(totals.values()) == dataset.TURNED_LARGEST
    assert {day: totals[day] for day in dataset.TURNED_TOTALS} == dataset.TURNED_TOTALS
    assert len(year[date(2022, 7, 1)]) == dataset.TURNED_ENTRIES
