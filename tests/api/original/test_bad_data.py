"""What one meets in old databases (appendix A): each row is told, and the good ones count."""

from datetime import timedelta

import pytest

from api.models import CloudAccount, Instance, InstanceEvent, MachineImage, Run, User
from tests.api.original.copies import run
from tests.api.original.database import BEGIN

pytestmark = pytest.mark.django_db(transaction=True)


def test_relations_to_nothing(lenient):
    lenient.user(1)
    lenient.account(1, 1)
    lenient.account(2, 1, content_type_id=999)
    lenient.account(3, 1, object_id=999)
    lenient.account(4, 99)
    lenient.account(5, 1, content_type_id=lenient.types["awsinstance"])
    lenient.image(1, content_type_id=None)
    lenient.image(2, object_id=None)
    lenient.instance(1, 1, 1)
    lenient.instance(2, 2, None)
    lenient.instance(3, 77, None)
    lenient.instance(4, 1, 88)
    lenient.instance(5, 1, None, content_type_id=998)
    lenient.instance(6, 1, None, object_id=998)
    lenient.instance(7, 1, None, "azure")
    lenient.event(1, 1, "power_on", BEGIN)
    lenient.event(2, 2, "power_on", BEGIN)
    lenient.event(3, 66, "power_on", BEGIN)
    lenient.event(4, 1, "power_off", BEGIN + timedelta(days=1), content_type_id=997)
    reports = run(lenient)
    assert reports["accounts"]["left_out"] == {
        "its content type is missing": 2,
        "the row of its cloud is missing": 1,
        "its user is missing": 1,
    }
    assert reports["images"]["left_out"] == {
        "its content type is missing": 1,
        "the row of its cloud is missing": 1,
    }
    assert reports["instances"]["left_out"] == {
        "its account is left out": 1,
        "its account is missing": 1,
        "its content type is missing": 1,
        "the row of its cloud is missing": 1,
        "its account is of another cloud": 1,
    }
    assert reports["instances"]["notes"] == {"its image is missing": 2}
    assert reports["events"]["left_out"] == {
        "its instance is left out": 1,
        "its instance is missing": 1,
    }
    # An event without its cloud's part still ends a run.
    assert reports["events"]["notes"] == {"the row of its cloud is missing: no instance type": 1}
    assert Run.objects.get().end_time == BEGIN + timedelta(days=1)


def test_rows_that_were_stored_twice(lenient):
    """Under other ids: what hangs on the second hangs on the first."""
    lenient.user(1)
    lenient.account(1, 1)
    lenient.account(2, 1, part={"aws_account_id": 1001}, platform_authentication_id=99)
    lenient.image(1)
    lenient.image(2, part={"ec2_ami_id": "ami-1"})
    lenient.instance(1, 1, 1)
    lenient.instance(2, 2, 2, part={"ec2_instance_id": "I-1"})
    lenient.event(1, 1, "power_on", BEGIN)
    lenient.event(2, 2, "power_on", BEGIN)
    lenient.event(3, 2, "power_off", BEGIN + timedelta(days=1))
    reports = run(lenient)
    assert reports["accounts"]["left_out"] == {"stored twice": 1}
    assert reports["images"]["present"] == 1
    assert reports["instances"]["left_out"] == {"stored twice": 1}
    assert reports["events"]["left_out"] == {"stored twice": 1}
    assert Instance.objects.count() == CloudAccount.objects.count() == 1
    assert Run.objects.get().end_time == BEGIN + timedelta(days=1)


def test_empty_columns(lenient):
    lenient.user(1, uuid=None, date_joined=None, is_active=None, account_number="")
    lenient.account(1, 1, enabled_at=None, is_synthetic=None)
    lenient.account(2, 1, part={"account_arn": None})
    lenient.account(3, 1, part={"aws_account_id": None})
    lenient.account(4, 1, "azure", part={"subscription_id": None})
    lenient.account(5, 1, platform_source_id=None)
    lenient.image(1, status=None, name=None, part={"platform": None, "region": None})
    lenient.image(2, part={"ec2_ami_id": None})
    lenient.image(3, inspection_json="no JSON")
    lenient.instance(1, 1, 1, part={"region": None})
    lenient.instance(2, 1, 3, part={"ec2_instance_id": ""})
    lenient.event(1, 1, "power_on", BEGIN, part={"instance_type": "x" * 64})
    lenient.event(2, 1, "power_off", None)
    lenient.event(3, 1, None, BEGIN)
    lenient.event(4, 1, "explosion", BEGIN)
    reports = run(lenient)
    assert reports["users"]["notes"] == {"no date of joining: today": 1}
    user = User.objects.get()
    assert (user.uuid, user.org_id, user.account_number) == ("original-1", "200001", None)
    assert reports["accounts"]["left_out"] == {
        "no AWS account number or ARN": 2,
        "no subscription": 1,
        "no ids of the sources service": 1,
    }
    assert CloudAccount.objects.get().enabled_at == BEGIN
    assert reports["images"]["left_out"] == {"no id of the cloud": 1}
    assert set(MachineImage.objects.values_list("id", "status")) == {
        (1, "pending"), (3, "inspected"),
    }  # fmt: skip
    assert reports["instances"]["left_out"] == {"no id of the cloud": 1}
    assert reports["events"]["left_out"] == {
        "no time": 1,
        "an unknown type of event": 2,
    }
    assert Instance.objects.get().region == ""


def test_times_without_a_zone_are_utc(lenient):
    lenient.execute("SET TIME ZONE 'America/New_York'")
    lenient.execute("ALTER DATABASE the_broken_original SET timezone = 'America/New_York'")
    for table, column in (("instanceevent", "occurred_at"), ("user", "date_joined")):
        lenient.execute(f"ALTER TABLE api_{table} ALTER {column} TYPE timestamp")
    lenient.user(1, date_joined=BEGIN.replace(tzinfo=None))
    lenient.account(1, 1)
    lenient.instance(1, 1, None)
    lenient.event(1, 1, "power_on", BEGIN.replace(tzinfo=None))
    run(lenient)
    assert InstanceEvent.objects.get().occurred_at == BEGIN
    assert User.objects.get().date_joined == BEGIN
