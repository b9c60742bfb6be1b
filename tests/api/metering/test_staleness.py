"""Which stored days act as if they were gone (09 P10): the same in SQL and in Django's words."""

from datetime import date, timedelta

import pytest
from django.db import connection

from api.metering.staleness import is_unavailable
from api.models import ConcurrentUsage
from api.models.usage import is_stale
from tests.factories import make_stale, make_usage, make_user

pytestmark = pytest.mark.django_db

FIRST = date(2023, 3, 1)
DAYS = [FIRST + timedelta(days=number) for number in range(6)]


@pytest.mark.parametrize(
    ("first", "last", "covered"),
    [(1, 3, {1, 2, 3}), (2, 2, {2}), (4, None, {4, 5}), (-9, 0, {0}), (9, None, set())],
)
def test_a_mark_covers_the_same_days_in_sql_and_in_django(first, last, covered):
    user, other = make_user(), make_user()
    for day in DAYS:
        make_usage(user=user, date=day)
        make_usage(user=other, date=day)
    make_stale(
        user=user,
        first_day=FIRST + timedelta(days=first),
        last_day=None if last is None else FIRST + timedelta(days=last),
    )
    expected = {(user.id, DAYS[number]) for number in covered}
    in_django = ConcurrentUsage.objects.filter(is_unavailable()).values_list("user_id", "date")
    assert set(in_django) == expected
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT day.user_id, day.date FROM api_concurrentusage day"
            f" WHERE {is_stale('day.user_id', 'day.date')}"
        )
        assert set(cursor.fetchall()) == expected
