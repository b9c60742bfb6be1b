"""What a customer has of everything, and how it is recognised in an answer."""

import csv
import io
import json
from collections.abc import Iterable, Iterator
from datetime import UTC, date, datetime, time
from typing import Any

from api.metering import recalculate
from api.models import (
    Correction,
    CoverageDay,
    ImageFact,
    InspectionAttempt,
    Instance,
    InstanceEvent,
    InstanceFact,
    Registration,
    Run,
    UsageRevision,
    User,
)
from tests import factories

KINDS = {
    **dict.fromkeys(("account", "account_id", "cloud_account_id"), "account"),
    **dict.fromkeys(("image", "image_id", "machine_image_id"), "image"),
    **dict.fromkeys(("instance", "instance_id"), "instance"),
    **dict.fromkeys(("run", "run_id"), "run"),
    "event_id": "event",
}
"""What the ids of members are ids of; exports and groups put names before the last dot."""

BEGAN = factories.utc("2019-04-01")
YESTERDAY = factories.utc("2019-04-16").date()


class Belongings:
    """Two of each, and everything that only this customer may see of it.

    ``marks`` are texts that nobody else has; ``ids`` are ids by kind.
    """

    def __init__(self, user: User, day: date) -> None:
        self.user = user
        self.accounts = [
            factories.make_aws_account(user=user),
            factories.make_azure_account(user=user),
        ]
        self.mark = f"<{user.id}>"
        result = {
            "rhel_release_files_found": True,
            "rhel_version": f"8.{self.mark}",
            "syspurpose": {"role": f"role {self.mark}", "service_level_agreement": "Premium"},
        }
        self.images = [
            factories.make_image(
                account=account,
                name=f"image {self.mark}",
                inspection_json=json.dumps(result),
                **({"rhel_detected_by_tag": True} if account.cloud_type == "azure" else {}),
            )
            for account in self.accounts
        ]
        self.instances = [
            self._instance(account, image, day)
            for account, image in zip(self.accounts, self.images, strict=True)
        ]
        UsageRevision.objects.create(
            user=user,
            date=day,
            revision=2,
            total_before=1,
            total_after=2,
            changed_keys=[["_ANY", f"role {self.mark}", "_ANY", "_ANY", "_ANY", 1, 2]],
        )
        self.marks = {
            self.mark,
            *(account.cloud_account_number for account in self.accounts),
            *(image.cloud_image_id for image in self.images),
            *(instance.cloud_instance_id for instance in self.instances),
        }
        runs = Run.objects.filter(cloud_account__user=user)
        events = InstanceEvent.objects.filter(
            cloud_account_id__in=[one.id for one in self.accounts]
        )
        self.ids = {
            "account": {account.id for account in self.accounts},
            "image": {image.id for image in self.images},
            "instance": {instance.id for instance in self.instances},
            "run": set(runs.values_list("id", flat=True)),
            "event": set(events.values_list("id", flat=True)),
        }

    def _instance(self, account, image, day: date) -> Instance:
        """Make an instance that is on, and something of each kind that is told of instances."""
        size = f"t.{self.mark}"
        instance = factories.make_instance(
            account=account, image=image, region=f"region {self.mark}", instance_type=size
        )
        factories.make_event(instance=instance, occurred_at=BEGAN, instance_type=size)
        factories.make_run(instance=instance, start=BEGAN, instance_type=size)
        Correction.objects.create(
            instance=instance,
            cloud_account=account,
            kind=Correction.Kind.MISSED_OFF,
            unsure_to=datetime.combine(day, time(12), UTC),
        )
        InstanceFact.objects.create(
            instance=instance,
            observed_at=BEGAN,
            usage_operation="RunInstances:0010",
            licenses=["RHEL_BASE"],
        )
        Registration.objects.create(
            user=account.user,
            cloud=account.cloud_type,
            cloud_id=instance.cloud_instance_id,
            registered_from=BEGAN,
            source="file",
        )
        CoverageDay.objects.create(cloud_account=account, date=YESTERDAY, state="complete")
        ImageFact.objects.create(
            machine_image=image,
            user=account.user,
            valid_from=BEGAN,
            is_rhel=True,
            role=f"role {self.mark}",
        )
        InspectionAttempt.objects.create(machine_image=image)
        return instance


def calculate_usage() -> None:
    """Calculate the days of everybody."""
    recalculate.recalculate_usage_of_all_users(since=BEGAN.date())


def text_of(answer) -> str:
    """Return the body, of JSON without the links, which repeat the question."""
    if not answer["Content-Type"].startswith("application/json"):
        return b"".join(answer).decode()
    body = answer.json()
    return json.dumps(body | {"links": None} if isinstance(body, dict) else body)


def ids_in(content_type: str, text: str) -> dict[str, set[int]]:
    """Return all ids in a body, however deep, by what they are ids of."""
    found: dict[str, set[int]] = {kind: set() for kind in set(KINDS.values())}
    for name, value in _members(_rows(content_type, text)):
        kind = KINDS.get(name.rpartition(".")[2])
        if kind and str(value).isdigit():
            found[kind].add(int(value))
    return found


def _rows(content_type: str, text: str) -> Iterable[Any]:
    if content_type.startswith("text/csv"):
        return list(csv.DictReader(io.StringIO(text, newline="")))
    if content_type.startswith("application/x-ndjson"):
        return [json.loads(line) for line in text.splitlines()]
    return [json.loads(text)]


def _members(value: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict):
        yield from value.items()
        value = list(value.values())
    if isinstance(value, list):
        for one in value:
            yield from _members(one)
