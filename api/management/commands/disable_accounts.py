"""Disables all cloud accounts (spec 03 §12)."""

import logging
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandParser

from api.accounts.lifecycle import disable_account
from api.accounts.states import OPERATOR
from api.models import CloudAccount
from util.progress import progress
from util.tasks import publishing_must_succeed

logger = logging.getLogger(__name__)

QUESTION = (
    "This will DISABLE all enabled {count} CloudAccount objects. "
    "Are you SURE you want to proceed? [Y/n] "
)


class Command(BaseCommand):
    """Never runs in production."""

    help = "Disable all enabled cloud accounts, without power-off events; not for production."

    def add_arguments(self, parser: CommandParser) -> None:
        """Let the question be answered beforehand."""
        parser.add_argument("--confirm", action="store_true", help="do not ask, disable")

    def handle(self, *args: Any, **options: Any) -> None:
        """Ask, then disable one account after the other."""
        if settings.IS_PRODUCTION:
            self.stdout.write("You cannot run this command in production.")
            return
        enabled = CloudAccount.objects.filter(is_enabled=True)
        account_ids = list(enabled.order_by("id").values_list("id", flat=True))
        if not account_ids:
            self.stdout.write("No enabled CloudAccount objects exist.")
            return
        self.stdout.write(f"Found {len(account_ids)} CloudAccount objects to disable.")
        if not options["confirm"] and not self._is_sure(len(account_ids)):
            self.stdout.write("Aborting.")
            return
        disabled = sum(map(_disable, progress(account_ids, "Disabling accounts")))
        self.stdout.write(f"Successfully disabled {disabled} accounts.")

    def _is_sure(self, count: int) -> bool:
        self.stdout.write(QUESTION.format(count=count), ending="")
        self.stdout.flush()
        try:
            return input().strip().lower() == "y"
        except EOFError:
            return False


def _disable(account_id: int) -> bool:
    """Disable an account; if sources cannot be told, without telling it."""
    try:
        with publishing_must_succeed():
            return disable_account(account_id=account_id, trigger=OPERATOR, power_off=False)
    except Exception:
        logger.exception("Account %s is disabled without telling sources", account_id)
    try:
        return disable_account(
            account_id=account_id, trigger=OPERATOR, power_off=False, notify=False
        )
    except Exception:
        logger.exception("Account %s could not be disabled", account_id)
        return False
