"""An environment that the internal resources show, with known values in its columns."""

import uuid

from django_celery_beat.models import IntervalSchedule, PeriodicTask

from api.models import AuditEntry, InspectionAttempt, SetAsideTask, SyntheticDataRequest
from tests.factories import (
    make_aws_account,
    make_aws_image,
    make_azure_account,
    make_azure_image,
    make_definition,
    make_event,
    make_instance,
    make_run,
    make_usage,
    make_user,
    utc,
)

SUBSCRIPTION = uuid.UUID("f0e1d2c3-b4a5-4697-8877-665544332211")
START = utc("2022-06-01T05:06:07")
CREATED = utc("2022-06-01T10:00:00.000001")
"""When all rows are stored."""

TIMES = {"created_at": "2022-06-01T10:00:00.000001Z", "updated_at": "2022-06-01T10:00:00.000001Z"}


class Environment:
    """One row of everything."""

    def __init__(self) -> None:
        self.user = make_user(account_number="100001", org_id="200002", date_joined=START)
        self.other = make_user(account_number="100002")
        self.aws = make_aws_account(
            user=self.user,
            aws_account_id="000000123456",
            account_arn="arn:aws:iam::000000123456:role/x",
        )
        self.azure = make_azure_account(user=self.other, subscription_id=SUBSCRIPTION)
        self.ami = make_aws_image(
            name="RHEL-8-Access2-GP2",
            owner_aws_account_id="841258680906",
            product_codes=[{"ProductCodeId": "x", "ProductCodeType": "marketplace"}],
        )
        self.copy = make_aws_image(name=None, reference_image=self.ami, platform=None)
        self.azure_image = make_azure_image(user=self.other, marketplace=True)
        self.instance = make_instance(account=self.aws, image=self.ami)
        self.machine = make_instance(account=self.azure, image=None)
        self.event = make_event(instance=self.instance, occurred_at=START, subnet="subnet-1")
        self.azure_event = make_event(instance=self.machine, event_type="power_off")
        self.run = make_run(instance=self.instance, start=START)
        self.usage = make_usage(user=self.user, date=START.date())
        self.definition = make_definition(vcpu="0.75", json_definition='{"a": 1}')
        self.attempt = InspectionAttempt.objects.create(machine_image=self.ami)
        self.set_aside = SetAsideTask.objects.create(
            work="task-1",
            task_id="task-1",
            name="api.tasks.enable_account",
            arguments='{"args": [1], "kwargs": {}}',
            message={},
            lost_processes=3,
            created_at=CREATED,
            updated_at=CREATED,
        )
        self.audit = AuditEntry.objects.create(
            actor="J D",
            remote_address="10.0.0.1",
            action="recalculate",
            user_id=self.user.id,
            target=f"customer {self.user.id}",
            outcome="running",
            total=3,
            created_at=CREATED,
            updated_at=CREATED,
        )
        self.request = SyntheticDataRequest.objects.create(cloud_type="aws")
        every = IntervalSchedule.objects.create(every=5, period="minutes")
        self.periodic = PeriodicTask.objects.create(name="x", task="y", interval=every)
