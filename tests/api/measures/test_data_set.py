"""What is said of a year of benchmark data set L (07 §14.3)."""

import random
from datetime import UTC, datetime, timedelta

import pytest
from django.db import connection, transaction

from api.measures.buckets import Granularity, buckets_between
from api.measures.question import Question
from api.measures.usage import usage
from api.metering.facets import ANY, Key
from api.models import ConcurrentUsage
from api.trust.explain import explain
from tests.benchmarks import dataset
from tests.benchmarks.bench_year import Year, in_2023

pytestmark = [pytest.mark.django_db, pytest.mark.slow]

MONTHS = [datetime(2022, month, 1, tzinfo=UTC) for month in range(1, 13)]
NEXT_YEAR = datetime(2023, 1, 1, tzinfo=UTC)
LIMIT = 1_000
TOTAL = [ANY] * 5
KEYS = 500


@pytest.fixture(scope="module")
def year(django_db_setup, django_db_blocker):
    """The customer's year, calculated; all tests here look at it, and it is rolled back."""
    with django_db_blocker.unblock(), transaction.atomic():
        loaded = Year()
        loaded.load()
        in_2023(loaded.runs)()
        in_2023(loaded.usage)()
        with connection.cursor() as cursor:
            cursor.execute("ANALYZE")
        yield loaded
        transaction.set_rollback(True)


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


def test_acceptance_1_three_ways(year):
    """Item 1 of spec 11 §1."""
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


def test_every_day_is_explained(year):
    """Item 3 of spec 10 §1: as many members as the number says, each day and for 500 keys."""
    days = ConcurrentUsage.objects.filter(user=year.user, date__lt=dataset.TODAY).order_by("date")
    counts = dict(days.values_list("date", "maximum_counts"))
    assert len(counts) == 365
    draw = random.Random(2022)
    drawn = [(day, draw.choice(counts[day])) for day in draw.choices(list(counts), k=KEYS)]
    totals = [(day, next(row for row in counts[day] if row[:5] == TOTAL)) for day in counts]
    explained = in_2023(lambda day, key: explain(user_id=year.user.id, day=day, key=Key(*key)))
    for day, (*key, count) in totals + drawn:
        assert len(explained(day, key).run_ids) == count, (day, key)
    assert sum(row[5] for _, row in totals) == dataset.SUM_OF_TOTALS
