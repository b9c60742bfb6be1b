"""Makes or removes what is ours in our own AWS account (spec 08 §17)."""

import dataclasses
from typing import Any

from django.core.management.base import CommandError, CommandParser

from api.clouds.aws.provisioning.resources import ResourceOutcome, dismantle, provision
from api.management.base import OperatorCommand, add_dry_run


class Command(OperatorCommand):
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
        add_dry_run(parser)

    def handle(self, *, absent: bool, confirm: bool, dry_run: bool, **options: Any) -> None:
        """Do it, with one line for each thing."""
        if absent and not (confirm or dry_run):
            raise CommandError("This deletes customers' logs for good; repeat with --confirm.")
        act = dismantle if absent else provision
        for outcome in act(dry_run=dry_run):
            self.tell(dataclasses.asdict(outcome), _as_text(outcome, dry_run))
            self.stdout.flush()


def _as_text(outcome: ResourceOutcome, dry_run: bool) -> str:
    would_be = "would be " if dry_run and outcome.changed else ""
    return f"{outcome.title}: {would_be}{outcome.verdict}"
