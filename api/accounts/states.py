"""The log of what became of each account, and who made it happen (09 P9, spec 03 §13.12)."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass

from api.clouds.provider import AccountRef
from api.models import AccountState, CloudAccount, InboxMessage
from api.sources.codes import ErrorCode

logger = logging.getLogger(__name__)

Change = AccountState.Change
Cause = AccountState.Cause


@dataclass(frozen=True, slots=True)
class Trigger:
    """Who made something happen to an account; for a Kafka message also which one."""

    cause: str
    topic: str = ""
    partition: int | None = None
    offset: int | None = None

    @classmethod
    def of_message(cls, message: InboxMessage) -> "Trigger":
        """Name a stored message as the trigger."""
        return cls(Cause.KAFKA, message.topic, message.partition, message.offset)

    @classmethod
    def of_task(cls, headers: Mapping[str, str] | None) -> "Trigger":
        """Name who queued a task, as its message's headers tell; by default the API."""
        return cls((headers or {}).get(CAUSE_HEADER, Cause.API))


CAUSE_HEADER = "trigger_cause"

KAFKA = Trigger(Cause.KAFKA)
SCHEDULE = Trigger(Cause.SCHEDULE)
OPERATOR = Trigger(Cause.OPERATOR)
API = Trigger(Cause.API)


def state_of(account: CloudAccount) -> str:
    """Name the state that an account is in now."""
    if account.platform_application_is_paused:
        return Change.PAUSED
    return Change.ENABLED if account.is_enabled else Change.DISABLED


def record(
    account: CloudAccount,
    change: str,
    *,
    trigger: Trigger,
    from_state: str = "",
    code: ErrorCode | None = None,
) -> None:
    """Write down a change, in the transaction that makes it, or a verification's outcome."""
    _write(
        AccountRef.of(account),
        account.user_id,
        change,
        trigger=trigger,
        from_state=from_state,
        code=code,
        application_id=account.platform_application_id,
    )


def record_refusal(
    ref: AccountRef, user_id: int, *, trigger: Trigger, code: ErrorCode, application_id: object
) -> None:
    """Write down that an account was not even created; its id in the log is 0."""
    _write(
        ref,
        user_id,
        Change.FAILED,
        trigger=trigger,
        from_state="",
        code=code,
        application_id=application_id,
    )


def _write(
    ref: AccountRef,
    user_id: int,
    change: str,
    *,
    trigger: Trigger,
    from_state: str,
    code: ErrorCode | None,
    application_id: object,
) -> None:
    number = ref.cloud_account_number
    AccountState.objects.create(
        account_id=ref.id,
        cloud_type=ref.cloud_type,
        cloud_account_number=number,
        user_id=user_id,
        from_state=from_state,
        to_state=change,
        code=code.name if code else "",
        cause=trigger.cause,
        topic=trigger.topic,
        partition=trigger.partition,
        offset=trigger.offset,
    )
    logger.info(
        "%s account %s (%s) of application %s: %s -> %s, code %s, cause %s %s/%s/%s",
        ref.cloud_type,
        ref.id,
        number,
        application_id,
        from_state or None,
        change,
        code.name if code else None,
        trigger.cause,
        trigger.topic,
        trigger.partition,
        trigger.offset,
    )
