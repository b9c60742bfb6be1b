"""Store large amounts of made-up rows quickly; not measured."""

import io
import json
from collections.abc import Iterable, Sequence
from contextlib import ContextDecorator
from datetime import UTC, datetime

import time_machine
from django.db import connection

from api.models import CloudAccount, Instance, MachineImage
from tests import factories
from tests.benchmarks.dataset import INSTANCE_TYPE, ImageFacts
from util import clock

EVENT_COLUMNS = (
    "instance_id",
    "cloud_account_id",
    "event_type",
    "occurred_at",
    "instance_type",
    "origin",
    "source_id",
    "source_name",
    "created_at",
    "updated_at",
)


class at(ContextDecorator):
    """Run something at another time, which stands still."""

    def __init__(self, moment: datetime) -> None:
        self.traveller = time_machine.travel(moment, tick=False)

    def __enter__(self) -> None:
        self.traveller.start()

    def __exit__(self, *error: object) -> None:
        self.traveller.stop()


def store_images(facts: Iterable[ImageFacts]) -> list[MachineImage]:
    """Store an AMI for each, as an inspection found it."""
    return [
        factories.make_aws_image(
            inspection_json=json.dumps(
                {
                    "rhel_release_files_found": fact.is_rhel,
                    "syspurpose": {
                        "role": fact.role,
                        "service_level_agreement": fact.sla,
                        "usage": fact.usage,
                        "service_type": fact.service_type,
                    },
                }
            ),
            architecture=fact.arch,
        )
        for fact in facts
    ]


def store_instances(
    accounts: Sequence[CloudAccount], images: Sequence[MachineImage | None]
) -> list[Instance]:
    """Store an instance for each image, in the accounts by turns."""
    return Instance.objects.bulk_create(
        [
            Instance(
                cloud_account=accounts[number % len(accounts)],
                machine_image=image,
                cloud_type="aws",
                cloud_instance_id=f"i-{factories.number():017x}",
                region="us-east-1",
            )
            for number, image in enumerate(images)
        ],
        batch_size=1000,
    )


def store_events(events: Iterable[tuple[Instance, int, str]]) -> None:
    """Store events, given as instance, seconds since 1970 and type, in this order."""
    stored_at = clock.now().isoformat()
    lines = io.StringIO()
    for instance, second, kind in events:
        occurred_at = datetime.fromtimestamp(second, UTC).isoformat()
        lines.write(
            f"{instance.id}\t{instance.cloud_account_id}\t{kind}\t{occurred_at}\t{INSTANCE_TYPE}\t"
            f"cloudtrail\t\t\t{stored_at}\t{stored_at}\n"
        )
    lines.seek(0)
    with connection.cursor() as cursor:
        cursor.copy_from(lines, "api_instanceevent", columns=EVENT_COLUMNS, null="\\N")


def truncate(*tables: str) -> None:
    """Empty tables that nothing points to."""
    with connection.cursor() as cursor:
        cursor.execute(f"TRUNCATE {', '.join(tables)}")


def analyze() -> None:
    """Renew the planner's statistics."""
    with connection.cursor() as cursor:
        cursor.execute("VACUUM ANALYZE")
