"""Measures of benchmark data set L (spec 11 §1, 07 §14.3)."""

from datetime import UTC, datetime, timedelta

import pytest

from api.measures.buckets import Granularity, buckets_between
from api.measures.question import Question
from api.measures.usage import usage
from api.models import ConcurrentUsage
from tests.benchmarks import dataset
from tests.benchmarks.bench_year import Year, in_2023

pytestmark = [pytest.mark.django_db, pytest.mark.slow]

MONTHS = [datetime(2022, month, 1, tzinfo=UTC) for month in range(1, 13)]
NEXT_YEAR = datetime(2023, 1, 1, tzinfo=UTC)
LIMIT = 1_000


def rows(user, granularity, start, end):
    question = Question(
        user_id=user.id,
        joined=dataset.FIRST_DAY,
        granularity=granularity,
        buckets=buckets_between(start, end, granularity, now=dataset.NOW),
        now=dataset.NOW,
    )
    return usage(question, limit=LIMIT, offset=0)[1]


def sums(found):
    names = ("instance_seconds", "vcpu_seconds", "memory_mib_seconds", "unsized_seconds")
    return tuple(sum(row[name] for row in found) for name in names)


def test_acceptance_1_three_ways(db, queued):
    year = Year()
    year.load()
    in_2023(year.runs)()
    in_2023(year.usage)()
    assert not ConcurrentUsage.objects.filter(user=year.user, sums=None).exists()
    tomorrow = NEXT_YEAR + timedelta(days=1)
    months = rows(year.user, Granularity.MONTH, MONTHS[0], datetime(2023, 2, 1, tzinfo=UTC))
    days = rows(year.user, Granularity.DAY, MONTHS[0], tomorrow)
    hours = [
        hour
        for start, end in zip(MONTHS, [*MONTHS[1:], NEXT_YEAR], strict=True)
        for hour in rows(year.user, Granularity.HOUR, start, end)
    ]
    hours += rows(year.user, Granularity.HOUR, NEXT_YEAR, NEXT_YEAR + timedelta(hours=1))
    expected = dataset.SECONDS, dataset.SECONDS, 1024 * dataset.SECONDS, 0
    assert sums(months) == sums(days) == sums(hours) == expected
    assert max(row["peak"] for row in months) == dataset.LARGEST_TOTAL
    assert sum(row["peak"] for row in days[:-1]) == dataset.SUM_OF_TOTALS
    # The same from the runs, without what is stored for days.
    ConcurrentUsage.objects.update(summed_at=None)
    assert rows(year.user, Granularity.DAY, MONTHS[0], tomorrow) == days
    assert rows(year.user, Granularity.MONTH, MONTHS[0], NEXT_YEAR) == months[:-1]
