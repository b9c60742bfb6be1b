"""Disables all cloud accounts (spec 03 §12)."""

import logging
from typing import Any

from django.conf import settings
from django.core.management.base import CommandParser

from api.accounts.lifecycle import disable_account
from api.accounts.states import OPERATOR
from api.management.base import OperatorCommand, add_dry_run
from api.models import CloudAccount
from util.progress import progress
from util.tasks import publishing_must_succeed

logger = logging.getLogger(__name__)

QUESTION = (
    "This will DISABLE all enabled {count} CloudAccount objects. Are you SURE you want to proceed?"
)


class Command(OperatorCommand):
    """Never runs in production. The exit code is 0 always, as 03 §12 demands."""

    help = "Disable all enabled cloud accounts, without power-off events; not for production."

    def add_arguments(self, parser: CommandParser) -> None:
        """Let the question be answered beforehand."""
        parser.add_argument("--confirm", action="store_true", help="do not ask, disable")
        add_dry_run(parser)

    def handle(self, *args: Any, confirm: bool, dry_run: bool, **options: Any) -> None:
        """Ask, then disable one account after the other."""
        if settings.IS_PRODUCTION:
            self._end(0, 0, "You cannot run this command in production.")
            return
        enabled = CloudAccount.objects.filter(is_enabled=True)
        account_ids = list(enabled.order_by("id").values_list("id", flat=True))
        if not account_ids:
            self._end(0, 0, "No enabled CloudAccount objects exist.")
            return
        if dry_run:
            for account_id in account_ids:
                self.tell_change(f"account {account_id}", "enabled", "disabled", id=account_id)
            return
        self.say(f"Found {len(account_ids)} CloudAccount objects to disable.")
        if not confirm and not self.agrees(QUESTION.format(count=len(account_ids))):
            self._end(len(account_ids), 0, "Aborting.")
            return
        disabled = sum(map(_disable, progress(account_ids, "Disabling accounts")))
        self._end(len(account_ids), disabled, f"Successfully disabled {disabled} accounts.")

    def _end(self, found: int, disabled: int, text: str) -> None:
        self.tell({"enabled_before": found, "disabled": disabled, "outcome": text}, text)


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
