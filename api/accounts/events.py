"""What each message of the sources service makes us do (spec 03 §6, §9.1).

Every handler may be repeated for the same message: the end is the same.
"""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from api.accounts.deletion import delete_account
from api.accounts.foreign import remember_foreign, without_foreign
from api.accounts.lifecycle import pause_application, tenant_of_account, unpause_application
from api.accounts.missing import RetryWindow, no_retry_window, retry_window_of
from api.accounts.onboarding import APPLICATION_PAUSED_HEADER, CREATION_TASKS
from api.accounts.relocation import change_token
from api.accounts.states import KAFKA, Trigger
from api.accounts.users import UserConflictError, get_or_create_user
from api.accounts.verification import code_of
from api.models import CloudAccount, CloudType, InboxMessage
from api.sources import client, inbox
from api.sources.client import SourcesMissingError
from api.sources.codes import ErrorCode
from api.sources.messages import (
    CREATE,
    DESTROY,
    EVENT_TYPE_HEADER,
    PAUSE,
    TASKS,
    UNPAUSE,
    UPDATE,
    Headers,
    MalformedMessageError,
    Tenant,
    checked_headers,
    checked_tenant,
    first_header,
    objects_of,
    platform_id,
    tenant_of,
)
from api.sources.status import RESOURCE_TYPE, notify_code
from api.sources.work import ChildTask, MessageOutcome
from util.log_context import set_customer
from util.metrics import counter

logger = logging.getLogger(__name__)

CLOUDS: Mapping[str, str] = {
    "cloud-meter-arn": str(CloudType.AWS),
    "lighthouse_subscription_id": str(CloudType.AZURE),
}
"""The authentication types that we support, and the cloud of each (spec 03 §5)."""

SHOWN_CHARACTERS = 200

EVENTS = counter(
    "cloudigrade_sources_events_total",
    "Messages of the sources service that were worked on, by type and result.",
    ("event_type", "result"),
)


@dataclass(frozen=True, slots=True)
class SourcesEvent:
    """A message of the sources service, understood as far as all types have in common."""

    event_type: str
    value: Mapping[str, Any]
    headers: Headers
    tenant: Tenant
    trigger: Trigger
    retry_window: RetryWindow


def handle_message(message: InboxMessage, *, headers: Headers | None = None) -> MessageOutcome:
    """Do what a stored message asks for; ``headers`` are all it came with, if they are known.

    Of a message that was revived only its object counts, if later messages about the same object
    were processed: what sources says of it now is done, never what the message says (decision 40).
    """
    return handle(
        event_type=message.event_type,
        value=message.value,
        headers=message.headers if headers is None else headers,
        trigger=Trigger.of_message(message),
        retry_window=retry_window_of(message),
        later=_later_types(message),
    )


def _later_types(message: InboxMessage) -> list[str]:
    """Return the types of later processed messages about the same object, the newest first."""
    if message.revived_at is None:
        return []
    later = inbox.later_processed(message).order_by("-id")
    return list(later.values_list("event_type", flat=True))


def handle(
    *,
    event_type: str,
    value: object,
    headers: object,
    trigger: Trigger = KAFKA,
    retry_window: RetryWindow = no_retry_window,
    later: Sequence[str] = (),
) -> MessageOutcome:
    """Do what a message asks for, but for the tasks that its outcome names.

    A message that makes no sense is logged and has no effect. ``retry_window`` says for how long
    an application or authentication that sources does not know is expected: then this raises
    ``SourcesMissingError``. ``later`` are the types of later messages about the same object that
    were processed already, the newest first. Raises ``SourcesError`` and errors that are
    ``WORTH_REPEATING``.
    """
    try:
        event = _read(event_type, value, headers, trigger, retry_window)
        set_customer(event.tenant.org_id, event.tenant.account_number)
        outcome = _catch_up(event, later) if later else _HANDLERS[event_type](event)
    except MalformedMessageError as error:
        place = f"{trigger.topic}/{trigger.partition}/{trigger.offset}"
        logger.error("%s message %s has no effect: %s", event_type, place, error)
        EVENTS.labels(event_type, "malformed").inc()
        return MessageOutcome(f"malformed: {error}")
    EVENTS.labels(event_type, "done").inc()
    logger.info("%s of %s: %s", event_type, event.value.get("id"), outcome.summary)
    return outcome


def give_up(message: InboxMessage, error: Exception | None) -> None:
    """Report to the customer that something failed for good which he is waiting for."""
    tenant = tenant_of(message.headers)
    if not tenant:
        return
    for application_id in _waiting_applications(message):
        notify_code(
            tenant=tenant,
            application_id=application_id,
            code=code_of(error) if error else ErrorCode.CG3000,
            detail=f"message {message.id} is given up: {message.reason}",
        )


def _waiting_applications(message: InboxMessage) -> list[object]:
    """List the applications of which the message was to make something that can be metered."""
    value = message.value
    if message.event_type == UPDATE:
        authentication_id = platform_id(value.get("id"))
        if authentication_id is None:
            return []
        accounts = CloudAccount.objects.filter(platform_authentication_id=authentication_id)
        return list(accounts.values_list("platform_application_id", flat=True))
    name = {CREATE: "application_id", UNPAUSE: "id"}.get(message.event_type, "")
    return [value[name]] if platform_id(value.get(name)) else []


def _read(
    event_type: str, value: object, headers: object, trigger: Trigger, retry_window: RetryWindow
) -> SourcesEvent:
    if not isinstance(value, Mapping):
        raise MalformedMessageError("the body is not a JSON object")
    pairs = checked_headers(headers)
    tenant = checked_tenant(pairs)
    if not tenant:
        raise MalformedMessageError("it names neither account number nor org id")
    return SourcesEvent(event_type, value, pairs, tenant, trigger, retry_window)


def _id(event: SourcesEvent, name: str) -> int:
    """Read one of the body's ids. Raises ``MalformedMessageError``."""
    number = platform_id(event.value.get(name))
    if number is None:
        shown = repr(event.value.get(name))[:SHOWN_CHARACTERS]
        raise MalformedMessageError(f"its {name} is {shown}")
    return number


def _create(event: SourcesEvent) -> MessageOutcome:
    """Look at a new authentication of an application, and have its account created (§6.1)."""
    _id(event, "authentication_id"), _id(event, "application_id")
    authentication_id = event.value["authentication_id"]
    application_id = event.value["application_id"]
    application = client.get_application(application_id, tenant=event.tenant)
    if application is None:
        _expect(event, f"application {application_id}")
        return MessageOutcome("sources does not know the application")
    our_type = client.application_type_id(tenant=event.tenant)
    if str(application.get("application_type_id")) != our_type:
        if first_header(event.headers, EVENT_TYPE_HEADER) == UPDATE:
            remember_foreign(authentication_id, application_id)
        return MessageOutcome("the application is none of ours")
    authentication = client.get_authentication(authentication_id, tenant=event.tenant)
    if authentication is None:
        _expect(event, f"authentication {authentication_id}")
        return _tell(event, application_id, ErrorCode.CG2000)
    code = _problem(authentication)
    cloud_type = _cloud_of(authentication)
    if code is not None or cloud_type is None:
        return _tell(event, application_id, code or ErrorCode.CG2001)
    try:
        user = get_or_create_user(**event.tenant._asdict())
    except UserConflictError as conflict:
        return _tell(event, application_id, ErrorCode.CG1000, str(conflict))
    child_task = ChildTask(
        name=f"configure {application_id}/{authentication_id}",
        task=CREATION_TASKS[cloud_type],
        args=(
            user.account_number,
            user.org_id,
            _token(authentication),
            authentication_id,
            application_id,
            application.get("source_id"),
        ),
        headers={APPLICATION_PAUSED_HEADER: "true"} if application.get("paused_at") else {},
    )
    return MessageOutcome(f"user {user.id} has an account to be created", [child_task])


def _expect(event: SourcesEvent, what: str) -> None:
    """Raise ``SourcesMissingError`` if sources may still come to know what the event names."""
    seconds = event.retry_window(objects_of(CREATE, event.value))
    if seconds > 0:
        raise SourcesMissingError(what, seconds)


def _problem(authentication: client.Record) -> ErrorCode | None:
    """Name the first thing that is wrong with an authentication."""
    if _cloud_of(authentication) is None:
        return ErrorCode.CG2001
    if authentication.get("resource_type") != RESOURCE_TYPE:
        return ErrorCode.CG2002
    return None if _token(authentication) else ErrorCode.CG2004


def _cloud_of(authentication: client.Record) -> str | None:
    """Return the cloud that an authentication is for; None if we do not support its type."""
    kind = authentication.get("authtype")
    return CLOUDS.get(kind) if isinstance(kind, str) else None


def _token(authentication: client.Record) -> str | None:
    """Return the ARN or subscription id, in whichever of its two places it is."""
    return authentication.get("username") or authentication.get("password") or None


def _tell(
    event: SourcesEvent, application_id: object, code: ErrorCode, detail: str = ""
) -> MessageOutcome:
    notify_code(tenant=event.tenant, application_id=application_id, code=code, detail=detail)
    return MessageOutcome(f"{code.name} {detail}".strip())


def _update(event: SourcesEvent) -> MessageOutcome:
    """Take over what has changed about an authentication (§6.4)."""
    authentication_id = _id(event, "id")
    accounts = list(
        CloudAccount.objects.filter(platform_authentication_id=authentication_id).order_by("id")
    )
    if not accounts:
        return _create_from_update(event)
    authentication = client.get_authentication(event.value["id"], tenant=event.tenant)
    if authentication is None:
        return MessageOutcome("sources does not know the authentication")
    if authentication.get("resource_type") != RESOURCE_TYPE:
        return MessageOutcome("the authentication is not an application's")
    application_id = authentication.get("resource_id")
    if client.get_application(application_id, tenant=event.tenant) is None:
        return MessageOutcome("sources does not know the application")
    token = _token(authentication)
    if token is None:
        return _tell(event, application_id, ErrorCode.CG2004)
    cloud_type = _cloud_of(authentication)
    results = [
        change_token(account_id=account.id, token=token, tenant=event.tenant, trigger=event.trigger)
        for account in accounts
        if account.cloud_type == cloud_type
    ]
    return MessageOutcome(f"{sum(results)} of {len(accounts)} accounts can be metered")


def _create_from_update(event: SourcesEvent) -> MessageOutcome:
    """Try once more to create the accounts of an authentication that we refused before."""
    found = client.list_application_authentications(event.value["id"], tenant=event.tenant)
    links = without_foreign(found)
    child_tasks = [
        ChildTask(
            name=f"create {link.get('application_id')}/{link.get('authentication_id')}",
            task=TASKS[CREATE],
            args=(link, event.headers),
        )
        for link in links
    ]
    return MessageOutcome(f"{len(child_tasks)} accounts may have to be created", child_tasks)


def _destroy(event: SourcesEvent) -> MessageOutcome:
    """Delete the account of an authentication and application (§9.1)."""
    _id(event, "id")
    accounts = CloudAccount.objects.select_related("user").filter(
        platform_application_id=_id(event, "application_id"),
        platform_authentication_id=_id(event, "authentication_id"),
    )
    deleted = 0
    for account in accounts:
        owner = tenant_of_account(account)
        if not set(filter(None, owner)) & set(filter(None, event.tenant)):
            logger.warning("Account %s of %s is deleted by %s", account.id, owner, event.tenant)
        deleted += delete_account(account_id=account.id, trigger=event.trigger)
    return MessageOutcome(f"{deleted} accounts were deleted")


def _pause(event: SourcesEvent) -> MessageOutcome:
    found = pause_application(application_id=_id(event, "id"), trigger=event.trigger)
    return MessageOutcome(f"{found} accounts are paused")


def _unpause(event: SourcesEvent) -> MessageOutcome:
    found = unpause_application(application_id=_id(event, "id"), trigger=event.trigger)
    return MessageOutcome(f"{found} accounts are not paused")


def _catch_up(event: SourcesEvent, later: Sequence[str]) -> MessageOutcome:
    """Bring what a message is about into the state that sources tells of now."""
    if event.event_type in (CREATE, DESTROY):
        return _catch_up_account(event, later)
    if event.event_type in (PAUSE, UNPAUSE):
        return _catch_up_pause(event)
    # An update asks sources for everything anyway.
    return _update(event)


def _catch_up_account(event: SourcesEvent, later: Sequence[str]) -> MessageOutcome:
    application_id = _id(event, "application_id")
    authentication_id = _id(event, "authentication_id")
    application = client.get_application(application_id, tenant=event.tenant)
    authentication = client.get_authentication(authentication_id, tenant=event.tenant)
    if application is None or authentication is None or _is_taken_apart(event, later):
        # Without a destroy event it is for the daily clean-up to say what is gone.
        return (
            _destroy(event)
            if event.event_type == DESTROY
            else MessageOutcome("it is gone meanwhile")
        )
    _adopt_pause(event, application_id, application)
    return _create(event)


def _is_taken_apart(event: SourcesEvent, later: Sequence[str]) -> bool:
    """Check whether sources has an application and an authentication, but not one for the other."""
    last = next((kind for kind in later if kind in (CREATE, DESTROY)), event.event_type)
    if last != DESTROY:
        return False
    objects = objects_of(CREATE, event.value)
    links = client.list_application_authentications(
        event.value["authentication_id"], tenant=event.tenant
    )
    return all(objects_of(CREATE, link) != objects for link in links)


def _catch_up_pause(event: SourcesEvent) -> MessageOutcome:
    application_id = _id(event, "id")
    application = client.get_application(application_id, tenant=event.tenant)
    if application is None:
        return MessageOutcome("its application is gone meanwhile")
    return MessageOutcome(
        f"{_adopt_pause(event, application_id, application)} accounts were changed"
    )


def _adopt_pause(event: SourcesEvent, application_id: int, application: client.Record) -> int:
    """Pause an application's accounts, or end their pause, as sources has it; return how many."""
    paused = bool(application.get("paused_at"))
    others = CloudAccount.objects.filter(
        platform_application_id=application_id, platform_application_is_paused=not paused
    )
    if not others.exists():
        return 0
    change = pause_application if paused else unpause_application
    return change(application_id=application_id, trigger=event.trigger)


_HANDLERS: Mapping[str, Callable[[SourcesEvent], MessageOutcome]] = {
    CREATE: _create,
    DESTROY: _destroy,
    UPDATE: _update,
    PAUSE: _pause,
    UNPAUSE: _unpause,
}
