"""Order, pages and forms of the resources' lists, and what they cost (spec 02 §2)."""

from datetime import timedelta

import pytest
from django_celery_beat.models import PeriodicTask

from api.models import InspectionAttempt, SetAsideTask, SyntheticDataRequest
from tests.api.internal.callers import ANYBODY, B
from tests.api.internal.environment import CREATED, START, Environment
from tests.factories import (
    make_aws_account,
    make_azure_account,
    make_azure_image,
    make_definition,
    make_event,
    make_instance,
    make_rhel_image,
    make_run,
    make_usage,
    make_user,
)

pytestmark = pytest.mark.django_db


def _many(environment: Environment, count: int) -> None:
    for number in range(count):
        user = make_user()
        aws = make_aws_account(user=user)
        azure = make_azure_account(user=user)
        image = make_rhel_image(reference_image=environment.ami)
        azure_image = make_azure_image(user=user)
        for account, used in ((aws, image), (azure, azure_image)):
            instance = make_instance(account=account, image=used)
            make_event(instance=instance)
            make_run(instance=instance, start=START)
        make_usage(user=user, date=START.date())
        make_definition()
        InspectionAttempt.objects.create(machine_image=image)
        request = SyntheticDataRequest.objects.create(cloud_type="aws", user=user)
        request.machine_images.add(image)
        SetAsideTask.objects.create(work=f"w{number}", message={}, lost_processes=3)
        PeriodicTask.objects.create(
            name=f"x{number}", task="y", interval_id=environment.periodic.interval_id
        )


STATEMENTS = {"syntheticdatarequests": 3, "concurrentusages": 3, "machineimages": 3}


def test_lists_cost_the_same_however_long_they_are(environment, django_assert_num_queries):
    """02 §12.9: as many statements for 100 rows as for 10."""
    _many(environment, 110)
    for name in ANYBODY.get(f"{B}/").json().keys() - {"concurrent"}:
        for limit in (10, 100):
            with django_assert_num_queries(STATEMENTS.get(name, 2)):
                assert len(ANYBODY.rows(f"{name}/?limit={limit}")) == limit, name
    with django_assert_num_queries(3):
        ANYBODY.rows("concurrentusages/?limit=100&include_runs=1")
    with django_assert_num_queries(1):
        ANYBODY.get(f"{B}/problematic_runs/")


def test_rows_come_by_age_then_id(environment, time_machine):
    """02 §2.2."""
    time_machine.move_to(CREATED - timedelta(days=1), tick=False)
    oldest = [make_instance(account=environment.aws).id for _ in range(3)]
    ids = [row["id"] for row in ANYBODY.rows("instances/")]
    assert ids == [*oldest, environment.instance.id, environment.machine.id]


def test_links_of_pages(environment):
    """02 §2.1."""
    for _ in range(8):
        make_user()
    url = f"{B}/users/?"
    page = ANYBODY.get(f"{url}limit=7&x=b&x=a&account_number=").json()
    assert page["meta"] == {"count": 10}
    assert page["links"] == {
        "first": f"{url}account_number=&limit=7&offset=0&x=b&x=a",
        "next": f"{url}account_number=&limit=7&offset=7&x=b&x=a",
        "previous": None,
        "last": f"{url}account_number=&limit=7&offset=3&x=b&x=a",
    }
    assert ANYBODY.get(f"{url}limit=7&offset=7").json()["links"]["previous"] == f"{url}limit=7"
    beyond = ANYBODY.get(f"{url}offset=1000").json()
    assert (beyond["data"], beyond["links"]["previous"]) == ([], f"{url}limit=10&offset=990")
    for limit in ("0", "-1", "x", ""):
        assert "limit=10&offset=0" in ANYBODY.get(f"{url}limit={limit}").json()["links"]["first"]
    assert "limit=100&" in ANYBODY.get(f"{url}limit=101").json()["links"]["first"]
    assert len(ANYBODY.rows("users/?offset=-5")) == 10


def test_json_may_be_asked_for(environment):
    """02 §2."""
    rows = ANYBODY.rows("runs/")
    assert ANYBODY.get(f"{B}/runs.json").json()["data"] == rows
    assert ANYBODY.get(f"{B}/runs/?format=json").json()["data"] == rows
    assert ANYBODY.get(f"{B}/runs/{environment.run.id}.json").json() == rows[0]
    assert ANYBODY.get(f"{B}/runs/?format=xml").status_code == 404
