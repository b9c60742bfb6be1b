"""Shows where inspections of images stand, and starts them again."""

from typing import Any

from django.core.management.base import CommandParser
from django.db.models import QuerySet

from api.inspection.overview import images_to_show, slots_now, states
from api.inspection.reinspection import reinspect_images
from api.management.base import (
    OperatorCommand,
    add_dry_run,
    add_limit,
    refusal,
    require_known,
)
from api.management.tables import Column
from api.management.values import text
from api.models import CloudType, InspectionAttempt, MachineImage
from util import clock

COLUMNS = (
    Column("image", "image", 22),
    Column("status", "status", 11),
    Column("age_seconds", "age (s)", 10),
    Column("attempts", "attempts", 8),
    Column("last_outcome", "last outcome", 12),
    Column("last_error", "last error"),
)


class Command(OperatorCommand):
    """For operators."""

    help = "List AMIs whose inspection waits, is in progress or failed; or inspect them again."

    def add_arguments(self, parser: CommandParser) -> None:
        """Let images be chosen."""
        parser.add_argument(
            "ami_ids", nargs="*", type=text, metavar="AMI", help="only these images"
        )
        parser.add_argument(
            "--status",
            action="append",
            choices=MachineImage.Status.values,
            help="only images in this status; may be repeated",
        )
        parser.add_argument(
            "--outcome",
            type=text,
            default="",
            help="only images whose last attempt ended so: inconclusive, ...",
        )
        add_limit(parser)
        parser.add_argument(
            "--retry",
            action="store_true",
            help="inspect the images again, without regard to earlier attempts; by default those "
            "in status error",
        )
        add_dry_run(parser)

    def handle(self, *args: Any, **options: Any) -> None:
        """List or retry. Raises CommandError, exit code 2, for unknown images and outcomes."""
        ami_ids, statuses = options["ami_ids"], options["status"] or []
        outcome = options["outcome"]
        _require_images(ami_ids)
        _require_outcome(outcome)
        if options["retry"] and not (ami_ids or statuses or outcome):
            statuses = [MachineImage.Status.ERROR]
        images = images_to_show(statuses=statuses, ami_ids=ami_ids, outcome=outcome)
        if not options["retry"]:
            self._list(images[: options["limit"]])
        elif options["dry_run"]:
            self._show_changes(images)
        else:
            count = reinspect_images(image_ids=images.values_list("id", flat=True))
            self.tell({"reinspected": count}, f"{count} images are inspected again.")

    def _show_changes(self, images: QuerySet[Any]) -> None:
        for image in images:
            self.tell_change(
                f"image {image.cloud_image_id}",
                f"{image.status} after {image.attempts or 0} attempts",
                f"{MachineImage.Status.PENDING} after 0 attempts",
                image=image.cloud_image_id,
            )

    def _list(self, images: QuerySet[MachineImage]) -> None:
        self.tell_rows(map(_columns, images), COLUMNS)
        counts = ", ".join(f"{state.images} {state.status}" for state in states())
        waiting, room = slots_now()
        self.say(f"{counts}.")
        self.say(f"{waiting} wait for their turn, {room} more may begin now.")


def _columns(image: Any) -> dict[str, Any]:
    return {
        "image": image.cloud_image_id,
        "status": image.status,
        "age_seconds": round((clock.now() - image.updated_at).total_seconds()),
        "attempts": image.attempts or 0,
        "last_outcome": image.last_outcome,
        "last_error": image.last_error,
    }


def _require_images(ami_ids: list[str]) -> None:
    if ami_ids:
        known = MachineImage.objects.filter(cloud_type=CloudType.AWS, cloud_image_id__in=ami_ids)
        require_known(ami_ids, known.values_list("cloud_image_id", flat=True), "image")


def _require_outcome(outcome: str) -> None:
    if outcome and not InspectionAttempt.objects.filter(outcome=outcome).exists():
        raise refusal(f"No inspection ended as {outcome!r}.")
