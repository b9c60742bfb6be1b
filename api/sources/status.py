"""Messages to the sources service about whether an application can be used (spec 03 §7)."""

import json
import logging

from django.conf import settings

from api import outbox
from api.sources.codes import ErrorCode
from api.sources.messages import EVENT_TYPE_HEADER, Tenant
from util.identity import KAFKA_ACCOUNT_NUMBER_HEADER, KAFKA_ORG_ID_HEADER
from util.kafka import publish

logger = logging.getLogger(__name__)

TASK = "api.tasks.notify_application_availability_task"
AVAILABLE = "available"
UNAVAILABLE = "unavailable"
RESOURCE_TYPE = "Application"
KEY_LENGTH = 200


def notify_available(*, tenant: Tenant, application_id: object) -> None:
    """Queue the news, after commit, that an application can be used."""
    _queue(tenant, application_id, AVAILABLE, "")


def notify_unavailable(*, tenant: Tenant, application_id: object, error: str = "") -> None:
    """Queue the news, after commit, that an application cannot be used, and why."""
    _queue(tenant, application_id, UNAVAILABLE, error)


def notify_code(
    *, tenant: Tenant, application_id: object, code: ErrorCode, detail: str = ""
) -> None:
    """Queue an error code for the customer, after commit; ``detail`` is for our log alone."""
    logger.warning("%s for application %s: %s", code.name, application_id, detail or code.message)
    _queue(tenant, application_id, UNAVAILABLE, code.message)


def send_status(
    *, tenant: Tenant, application_id: object, availability_status: str, error: str = ""
) -> None:
    """Send a status to Kafka and wait until the broker has it. Raises ``KafkaProducerError``.

    Statuses of one customer stay in order. Does nothing if data management is switched off, or if
    there is no tenant to send it to.
    """
    if not (
        settings.SOURCES_ENABLE_DATA_MANAGEMENT
        and settings.SOURCES_ENABLE_DATA_MANAGEMENT_FROM_KAFKA
    ):
        logger.info("Status of application %s is not sent: switched off", application_id)
        return
    if not tenant:
        logger.error("Status of application %s is not sent: it has no tenant", application_id)
        return
    value = {
        "resource_type": RESOURCE_TYPE,
        "resource_id": application_id,
        "status": availability_status,
        "error": error,
    }
    tenant_headers = (
        (KAFKA_ACCOUNT_NUMBER_HEADER, tenant.account_number),
        (KAFKA_ORG_ID_HEADER, tenant.org_id),
    )
    headers = [(name, text) for name, text in tenant_headers if text]
    headers.append((EVENT_TYPE_HEADER, settings.SOURCES_AVAILABILITY_EVENT_TYPE))
    if settings.VERBOSE_SOURCES_NOTIFICATION_LOGGING:
        logger.info("Sending %s with headers %s", value, headers)
    publish(
        settings.SOURCES_STATUS_TOPIC,
        key=tenant.org_id or tenant.account_number,
        headers=headers,
        value=json.dumps(value).encode(),
    )


def _queue(tenant: Tenant, application_id: object, availability_status: str, error: str) -> None:
    outbox.send(
        f"status of application {application_id}"[:KEY_LENGTH],
        TASK,
        tenant.account_number,
        tenant.org_id,
        application_id,
        availability_status,
        error,
    )
