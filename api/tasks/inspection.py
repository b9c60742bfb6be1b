"""Tasks of inspections (spec 05 §3-§7)."""

from typing import Any

from api import outbox
from api.clouds.aws.errors import NotReadyError, translated
from api.clouds.provider import TransientCloudError
from api.images.users import InspectionRequest
from api.inspection import cleanup, restart
from api.inspection.request import start_inspections
from api.inspection.results import read
from api.inspection.steps import copy, direct, launch, release
from util.tasks import LONG, RetryPolicy, task

STANDARD = RetryPolicy(errors=(NotReadyError, TransientCloudError))


@task("api.tasks.start_image_inspections")
def start_image_inspections(images: list[list[str]]) -> None:
    """Start inspections; each image comes as ARN, AMI id and region."""
    start_inspections(InspectionRequest(*image) for image in images)


@task("api.tasks.inspect_pending_images", limit=LONG)
def inspect_pending_images() -> None:
    """Start inspections that wait for their turn, and those again that got stuck."""
    restart.inspect_pending_images()


@task("api.tasks.sweep_inspections", limit=LONG)
def sweep_inspections() -> int:
    """Remove what inspections left behind; gives how many things."""
    return cleanup.sweep()


@task("api.tasks.persist_inspection_cluster_results_task", limit=LONG)
@translated
def persist_inspection_cluster_results_task() -> list[list[dict[str, str]]]:
    """Store inspectors' results; gives the messages done with, and the others."""
    outcome = read.persist_results()
    return [
        [message.shown() for message in messages]
        for messages in (outcome.successes, outcome.failures)
    ]


@task("api.clouds.aws.tasks.copy_ami_snapshot", retry=STANDARD)
@translated
def copy_ami_snapshot(
    arn: str, ami_id: str, snapshot_region: str, reference_ami_id: str | None = None
) -> None:
    """Copy an AMI's root disk into our account."""
    copy.copy_ami_snapshot(
        arn=arn, ami_id=ami_id, region=snapshot_region, reference_ami_id=reference_ami_id
    )


@task("api.clouds.aws.tasks.copy_ami_to_customer_account", retry=STANDARD)
@translated
def copy_ami_to_customer_account(arn: str, reference_ami_id: str, snapshot_region: str) -> None:
    """Copy somebody else's AMI within the customer's account."""
    copy.copy_ami_to_customer_account(
        arn=arn, reference_ami_id=reference_ami_id, region=snapshot_region
    )


@task("api.clouds.aws.tasks.remove_snapshot_ownership", retry=STANDARD)
@translated
def remove_snapshot_ownership(
    arn: str, customer_snapshot_id: str, customer_snapshot_region: str, snapshot_copy_id: str
) -> None:
    """Take our right to the customer's snapshot away."""
    release.remove_snapshot_ownership(
        arn=arn,
        customer_snapshot_id=customer_snapshot_id,
        region=customer_snapshot_region,
        snapshot_copy_id=snapshot_copy_id,
    )


@task("api.clouds.aws.tasks.launch_inspection_instance", retry=STANDARD)
@translated
def launch_inspection_instance(ami_id: str, snapshot_copy_id: str) -> None:
    """Launch the instance that looks into a copied disk."""
    launch.launch_inspection_instance(ami_id=ami_id, snapshot_copy_id=snapshot_copy_id)


@task("api.clouds.aws.tasks.inspect_snapshot", retry=STANDARD, limit=LONG, bind=True)
@translated
def inspect_snapshot(self: Any, ami_id: str, snapshot_copy_id: str) -> None:
    """Look into a copied disk without an instance."""
    with outbox.run(self.request, final=direct.FINAL) as wanted:
        if wanted:
            direct.inspect_snapshot(ami_id=ami_id, snapshot_copy_id=snapshot_copy_id)


@task("api.clouds.aws.tasks.delete_snapshot", retry=STANDARD, bind=True)
@translated
def delete_snapshot(self: Any, snapshot_copy_id: str, ami_id: str, snapshot_region: str) -> None:
    """Delete the copied disk once it is needed no more."""
    with outbox.run(self.request) as wanted:
        if wanted:
            release.delete_snapshot(
                snapshot_copy_id=snapshot_copy_id, ami_id=ami_id, region=snapshot_region
            )
