"""Migration 0018: runs of before get their sizes, as recalculation gives them (spec 11 §1)."""

from importlib import import_module

import pytest
from django.db import connection

from api.metering import recalculate
from api.models import ConcurrentUsage, InstanceFact, Run
from api.models.usage import UNSUMMED
from tests import factories
from tests.api.metering.conftest import Environment
from tests.api.metering.notation import at

pytestmark = pytest.mark.django_db

migration = import_module("api.migrations.0018_usage_sums")


def test_runs_get_the_sizes_that_recalculation_gives(queued):
    environment = Environment()
    instance = environment.instance("on 10T00, off 10T09, on 11T00", instance_type="m5.large")
    for hour, name in (("10T03", "m5.xlarge"), ("10T03", "m5.large"), ("10T05", "m5.xlarge")):
        factories.make_event(
            instance=instance,
            event_type="attribute_change",
            occurred_at=at(hour),
            instance_type=name,
            source_id=name,
        )
    environment.instance("on 10T00", instance_type="m5.large")
    InstanceFact.objects.create(
        instance=instance,
        observed_at=at("10T00"),
        source="cloudtrail",
        instance_type="m5.large",
        cpu_cores=1,
        threads_per_core=1,
    )
    recalculate.recalculate_runs_of_all_accounts(since=at("01T00"))
    sizes = list(Run.objects.order_by("id").values_list("id", "cpus", "resizes"))
    assert [cpus for _, cpus, _ in sizes] == [1, 1, None]
    assert [len(resizes) for _, _, resizes in sizes if resizes] == [1]
    Run.objects.update(cpus=None, resizes=None)
    migration.fill(connection)
    assert list(Run.objects.order_by("id").values_list("id", "cpus", "resizes")) == sizes


def test_the_index_is_used_for_what_it_was_made(db):
    """Its condition is written by hand in the migration; the query's is Django's."""
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL enable_seqscan = off")
        sql, values = ConcurrentUsage.objects.filter(UNSUMMED).values("id").query.sql_with_params()
        cursor.execute(f"EXPLAIN {sql}", values)
        assert "concurrentusage_unsummed" in "".join(row[0] for row in cursor.fetchall())
