"""Shows where inspections of images stand, and starts them again."""

from collections.abc import Iterable
from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from api.inspection.overview import images_to_show, slots_now, states
from api.inspection.reinspection import reinspect_images
from api.models import MachineImage
from util import clock

COLUMNS = "{:<22}  {:<11}  {:>10}  {:>8}  {:<12}  {}"


class Command(BaseCommand):
    """For operators."""

    help = "List AMIs whose inspection waits, is in progress or failed; or inspect them again."

    def add_arguments(self, parser: CommandParser) -> None:
        """Let images be chosen."""
        parser.add_argument("ami_ids", nargs="*", metavar="AMI", help="only these images")
        parser.add_argument(
            "--status",
            action="append",
            choices=MachineImage.Status.values,
            help="only images in this status; may be repeated",
        )
        parser.add_argument(
            "--outcome",
            default="",
            help="only images whose last attempt ended so: inconclusive, ...",
        )
        parser.add_argument("--limit", type=int, default=100, help="show so many (default 100)")
        parser.add_argument(
            "--retry",
            action="store_true",
            help="inspect the images again, without regard to earlier attempts; by default those "
            "in status error",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        """List or retry."""
        ami_ids, statuses = options["ami_ids"], options["status"] or []
        outcome = options["outcome"]
        if options["retry"]:
            if not (ami_ids or statuses or outcome):
                statuses = [MachineImage.Status.ERROR]
            images = images_to_show(statuses=statuses, ami_ids=ami_ids, outcome=outcome)
            count = reinspect_images(image_ids=images.values_list("id", flat=True))
            self.stdout.write(f"{count} images are inspected again.")
        else:
            images = images_to_show(statuses=statuses, ami_ids=ami_ids, outcome=outcome)
            self._list(images[: options["limit"]])

    def _list(self, images: Iterable[Any]) -> None:
        shown = list(images)
        if shown:
            head = ("image", "status", "age (s)", "attempts", "last outcome", "last error")
            self.stdout.write(COLUMNS.format(*head))
        now = clock.now()
        for image in shown:
            self.stdout.write(
                COLUMNS.format(
                    image.cloud_image_id,
                    image.status,
                    f"{(now - image.updated_at).total_seconds():.0f}",
                    image.attempts or 0,
                    image.last_outcome or "",
                    image.last_error or "",
                ).rstrip()
            )
        counts = ", ".join(f"{state.images} {state.status}" for state in states())
        waiting, room = slots_now()
        self.stdout.write(f"{counts}.")
        self.stdout.write(f"{waiting} wait for their turn, {room} more may begin now.")
