"""Makes or removes what is ours in our own AWS account (spec 08 §17)."""

import dataclasses
import json
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from api.clouds.aws.provisioning.resources import Outcome, dismantle, provision


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
            "--dry-run", action="store_true", help="only look and tell what would be done"
        )
        parser.add_argument(
            "--json",
            action="store_true",
            dest="as_json",
            help="tell of each thing by an object on its own line",
        )

    def handle(
        self, *, absent: bool, confirm: bool, dry_run: bool, as_json: bool, **options: Any
    ) -> None:
        """Do it, with one line for each thing."""
        if absent and not (confirm or dry_run):
            raise CommandError("This deletes customers' logs for good; repeat with --confirm.")
        act = dismantle if absent else provision
        for outcome in act(dry_run=dry_run):
            self.stdout.write(_as_json(outcome) if as_json else _as_text(outcome, dry_run))
            self.stdout.flush()


def _as_json(outcome: Outcome) -> str:
    return json.dumps(dataclasses.asdict(outcome))


def _as_text(outcome: Outcome, dry_run: bool) -> str:
    would_be = "would be " if dry_run and outcome.changed else ""
    return f"{outcome.title}: {would_be}{outcome.verdict}"
