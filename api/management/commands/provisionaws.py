"""Makes or removes what is ours in our own AWS account (spec 08 §17)."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from api.clouds.aws.provisioning import dismantle, provision, resources


class Command(BaseCommand):
    """May be repeated: what is in order is left alone."""

    help = "Make the buckets, queues, roles and the launch template that cloudigrade needs in AWS."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare the options."""
        parser.add_argument(
            "--absent", action="store_true", help="remove everything, filled buckets too"
        )
        parser.add_argument(
            "--confirm", action="store_true", help="with --absent: yes, and all that was stored"
        )
        parser.add_argument(
            "--dry-run", action="store_true", help="say what it is about, ask AWS nothing"
        )

    def handle(self, *, absent: bool, confirm: bool, dry_run: bool, **options: Any) -> None:
        """Do it, with one line for each thing."""
        if dry_run:
            for resource in resources():
                self.stdout.write(
                    f"{resource.title}: would be {'removed' if absent else 'ensured'}"
                )
        elif absent:
            if not confirm:
                raise CommandError("This deletes customers' logs for good; repeat with --confirm.")
            for title in dismantle():
                self.stdout.write(f"{title}: removed")
        else:
            for title, changed in provision():
                self.stdout.write(f"{title}: {'made or mended' if changed else 'in order'}")
