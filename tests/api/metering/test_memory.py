"""Memory of calculations stays bounded whatever a customer's data are like (decision 43)."""

import json
from datetime import timedelta

import pytest
import time_machine
from django.db import connection

from api.metering import stored_counts, usage, window
from api.metering.days import Days
from api.metering.runs import recalculate_runs
from api.models import ConcurrentUsage, Instance, InstanceEvent, UsageRevision
from tests import factories
from tests.api.metering.conftest import rhel_result
from tests.api.metering.notation import at, day
from tests.memory import growth

IMAGES = 40
DAYS = 60
BOUND = 45
"""MiB that a process may grow by; it was 153 when as many days as there are were in memory."""
LETTER = "\N{GRINNING FACE}"

NOW = at("01T00") + timedelta(days=DAYS)


@pytest.fixture
def wide_customer(transactional_db, queued):
    """A customer whose images have purposes as different and as long as they can be."""
    user = factories.make_user(date_joined=at("01T00"))
    account = factories.make_aws_account(user=user)
    for place in range(IMAGES):
        purpose = {
            name: f"{place:03}{name[:3]}" + LETTER * 58
            for name in ("role", "service_level_agreement", "usage", "service_type")
        }
        image = factories.make_aws_image(
            inspection_json=json.dumps(rhel_result(syspurpose=purpose))
        )
        instance = factories.make_instance(account=account, image=image)
        InstanceEvent.objects.create(
            instance=instance,
            cloud_account=account,
            event_type="power_on",
            occurred_at=at("01T01"),
            origin="cloudtrail",
        )
    with time_machine.travel(NOW, tick=False):
        recalculate_runs(
            user_id=user.id, instance_ids=Instance.objects.values_list("id", flat=True)
        )
    return user


def calculate(user):
    first, last = at("01T00").date(), NOW.date() - timedelta(days=1)
    with time_machine.travel(NOW, tick=False):
        return usage.calculate_usage(user_id=user.id, missing=[Days(first, last)])


def stored_megabytes():
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT sum(octet_length(maximum_counts::text)) / 1048576 FROM api_concurrentusage"
        )
        return cursor.fetchone()[0]


@pytest.mark.slow
def test_days_with_long_purposes(wide_customer):
    """Neither writing them first, nor confirming them, nor writing others in their place."""
    assert growth(lambda: calculate(wide_customer)) < BOUND
    assert ConcurrentUsage.objects.count() == DAYS + 1
    assert stored_megabytes() > 20

    mark(wide_customer)
    assert growth(lambda: calculate(wide_customer)) < BOUND
    assert not UsageRevision.objects.exists()

    some = Instance.objects.order_by("id").first()
    InstanceEvent.objects.create(
        instance=some,
        cloud_account=some.cloud_account,
        event_type="power_off",
        occurred_at=at("01T02"),
        origin="cloudtrail",
    )
    with time_machine.travel(NOW, tick=False):
        recalculate_runs(user_id=wide_customer.id, instance_ids=[some.id])
    mark(wide_customer)
    assert growth(lambda: calculate(wide_customer)) < BOUND
    assert UsageRevision.objects.count() == DAYS


def mark(user):
    factories.make_stale(user=user, first_day=day(1))


@pytest.mark.parametrize(("at_once", "most_runs"), [(1, 1), (700, 2), (5000, 4)])
def test_days_are_the_same_however_few_are_in_memory(environment, monkeypatch, at_once, most_runs):
    for place, text in enumerate(
        [
            "on 02T03, off 05T03, on 08T03",
            "on 04T03, off 06T03, on 06T04, off 06T05",
            "on 01T00, off 11T23",
            "on 09T00, off 09T00",
        ]
    ):
        result = rhel_result(syspurpose={"role": f"{LETTER} {place}", "usage": "\u00e9"})
        environment.instance(text, image=environment.image(result=result))
    environment.recalculate("12T01")
    whole = stored(environment.user)
    assert len(whole) == 31 + 28 + 12

    ConcurrentUsage.objects.filter(date__in=[day(2), day(3), day(7)]).update(maximum_counts=[])
    ConcurrentUsage.objects.filter(date__in=[day(5), day(11)]).delete()
    mark(environment.user)
    monkeypatch.setattr(stored_counts, "BYTES_AT_ONCE", at_once)
    monkeypatch.setattr(window, "CHARACTERS_PER_STATEMENT", at_once)
    monkeypatch.setattr(window, "MOST_RUNS", most_runs)
    environment.settle("12T02")
    assert stored(environment.user) == whole
    revised = UsageRevision.objects.order_by("date").values_list("date", "total_before")
    assert list(revised) == [(day(2), 0), (day(3), 0), (day(7), 0)]


def stored(user):
    """Return the rows of a customer; the order of a day's sums has no meaning."""
    rows = ConcurrentUsage.objects.filter(user=user).order_by("date")
    return [(row.date, row.maximum_counts, sorted(row.sums, key=str)) for row in rows]
