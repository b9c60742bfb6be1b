"""A customer whose instances are switched on and off in the notation of spec 07 §13."""

import json

import pytest
import time_machine
from hypothesis import settings

from api.metering import recalculate
from api.metering.facets import TOTAL, Key
from api.models import ConcurrentUsage, Instance, InstanceEvent, MachineImage, Run, StaleUsage
from tests import factories
from tests.api.metering.notation import SERVER, at, day, events

# How long an example takes says nothing on a busy machine. ``--hypothesis-profile=thorough`` tries
# many more.
settings.register_profile("retry_transient", deadline=None)
settings.register_profile("thorough", deadline=None, max_examples=2000)
settings.load_profile("retry_transient")

SYSPURPOSE = {
    "role": SERVER,
    "service_level_agreement": "Premium",
    "usage": "Production",
    "service_type": "L3",
}


def rhel_result(**members):
    """Return an inspection result that makes an image RHEL, by default the default image's."""
    return {"rhel_release_files_found": True, "syspurpose": SYSPURPOSE} | members


class Environment:
    """One customer who joined on 1 January 2023, with one AWS account."""

    def __init__(self):
        self.user = factories.make_user(date_joined=at("2023-01-01T00"))
        self.account = factories.make_aws_account(user=self.user)

    def image(self, *, result=None, **columns) -> MachineImage:
        """Make an image with this inspection result, by default the default image."""
        result = rhel_result() if result is None else result
        return factories.make_aws_image(inspection_json=json.dumps(result), **columns)

    def plain_image(self) -> MachineImage:
        """Make an image that is not RHEL."""
        return factories.make_aws_image()

    def instance(self, text="", *, image=None, account=None, stored="12T00", **event):
        """Make an instance of the default image, or of ``image``, with events."""
        instance = factories.make_instance(
            account=account or self.account,
            image=self.image() if image is None else image or None,
        )
        if text:
            self.store(instance, text, stored=stored, **event)
        return instance

    def store(self, instance, text, *, stored="12T00", instance_type=None, **columns):
        """Store events, in the order given, at a moment."""
        with time_machine.travel(at(stored), tick=False):
            for when, kind in events(text):
                InstanceEvent.objects.get_or_create(
                    instance=instance,
                    event_type=kind,
                    occurred_at=when,
                    defaults={
                        "cloud_account_id": instance.cloud_account_id,
                        "instance_type": instance_type,
                        "origin": "cloudtrail",
                        **columns,
                    },
                )

    def many(self, count, text) -> list[Instance]:
        """Make instances of one new image that have the same events, in few statements."""
        image = self.image()
        instances = Instance.objects.bulk_create(
            Instance(
                cloud_account=self.account,
                machine_image=image,
                cloud_type=self.account.cloud_type,
                cloud_instance_id=f"i-{factories.number()}",
                region="us-east-1",
            )
            for _ in range(count)
        )
        InstanceEvent.objects.bulk_create(
            InstanceEvent(
                instance=instance,
                cloud_account=self.account,
                event_type=kind,
                occurred_at=when,
                origin="cloudtrail",
            )
            for instance in instances
            for when, kind in events(text)
        )
        return instances

    def recalculate(self, now="12T01", since=None):
        """Do what the hourly schedule does."""
        with time_machine.travel(at(now), tick=False):
            recalculate.recalculate_runs_of_all_accounts(since=since and at(since))
            recalculate.recalculate_usage_of_all_users(since=since and at(since).date())

    def settle(self, now="12T01"):
        """Do what happens by itself within minutes."""
        with time_machine.travel(at(now), tick=False):
            recalculate.recalculate_stale_usage()

    def runs(self, instance=None):
        """Return starts and ends of the stored runs, in the order of time."""
        runs = Run.objects.filter(cloud_account__user=self.user)
        if instance:
            runs = runs.filter(instance=instance)
        return list(runs.order_by("start_time", "id").values_list("start_time", "end_time"))

    def row(self, number, user=None):
        """Return the stored row of a day in March."""
        return ConcurrentUsage.objects.filter(user=user or self.user, date=day(number)).first()

    def counts(self, number, user=None):
        """Return a day's counts by key, or None if it has no row or is withdrawn."""
        row = self.row(number, user)
        if row is None or self.is_unavailable(number, user):
            return None
        return {Key(*entry[:5]): entry[5] for entry in row.maximum_counts}

    def total(self, number, user=None):
        """Return a day's total: None without a row, 0 for an empty one."""
        counts = self.counts(number, user)
        return None if counts is None else counts.get(TOTAL, 0)

    def totals(self, first, last, user=None):
        """Return the totals of some days."""
        return [self.total(number, user) for number in range(first, last + 1)]

    def is_unavailable(self, number, user=None):
        """Return whether a mark covers the day."""
        return any(
            mark.first_day <= day(number) and (not mark.last_day or day(number) <= mark.last_day)
            for mark in StaleUsage.objects.filter(user=user or self.user)
        )


@pytest.fixture
def environment(db, queued):
    """A customer without instances."""
    return Environment()
