"""Learn the org ids of users whom we know by account number alone (spec 03 §10.3)."""

import logging

import requests
from django.conf import settings

from api.accounts.users import UserConflictError, get_or_create_user
from api.models import User
from api.sources.messages import TENANT_ID_LENGTH

logger = logging.getLogger(__name__)

TIMEOUT = (5, 60)
"""Seconds to connect and to read."""


def migrate_account_numbers_to_org_ids() -> int:
    """Ask the tenant translator for missing org ids and store them; returns how many were stored.

    Whatever goes wrong is logged: the users that it concerns stay as they are. A user who turns out
    to be another one is merged with him, if only one of them owns accounts.
    """
    numbers = User.objects.filter(org_id__isnull=True, account_number__isnull=False)
    wanted = list(numbers.order_by("id").values_list("account_number", flat=True))
    if not wanted:
        logger.info("All users have an org id")
        return 0
    try:
        found = _translate(wanted)
    except (requests.exceptions.RequestException, ValueError) as error:
        logger.error("The tenant translator gave no org ids: %s", error)
        return 0
    learnt = {number: found[number] for number in wanted if _is_org_id(found.get(number))}
    migrated = sum(_store(number, org_id) for number, org_id in learnt.items())
    logger.info("Found org ids for %s of %s users, stored %s", len(learnt), len(wanted), migrated)
    return migrated


def _translate(account_numbers: list[str | None]) -> dict[str | None, object]:
    reply = requests.post(
        f"{settings.TENANT_TRANSLATOR_BASE_URL}/internal/orgIds",
        json=account_numbers,
        timeout=TIMEOUT,
    )
    reply.raise_for_status()
    content = reply.json()
    if not isinstance(content, dict):
        raise ValueError("the reply is not a JSON object")
    return content


def _is_org_id(value: object) -> bool:
    return isinstance(value, str) and 0 < len(value) <= TENANT_ID_LENGTH


def _store(account_number: str | None, org_id: object) -> bool:
    try:
        user = get_or_create_user(account_number=account_number, org_id=str(org_id))
    except UserConflictError as conflict:
        logger.error("The org id of account %s is not stored: %s", account_number, conflict)
        return False
    return user.org_id == org_id
