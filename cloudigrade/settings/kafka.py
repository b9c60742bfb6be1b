"""Kafka and the sources service (spec 08 §4 J, §5; spec 03 §1.2-1.3)."""

from cloudigrade.settings.environment import clowder, env
from util.clowder import KafkaPlace, certificate_file

_EVENT_STREAM = "platform.sources.event-stream"
_STATUS = "platform.sources.status"
_USAGE = "platform.cloudigrade.usage"
_SWATCH = "platform.rhsm-subscriptions.service-instance-ingress"


def _place() -> KafkaPlace:
    if clowder is not None:
        return env.attempt(clowder.kafka, KafkaPlace(servers=()))
    servers = env("KAFKA_BOOTSTRAP_SERVERS") or [
        f"{env('KAFKA_SERVER_HOST')}:{env('KAFKA_SERVER_PORT')}"
    ]
    return KafkaPlace(
        servers=tuple(servers),
        security_protocol=env("KAFKA_SERVER_SECURITY_PROTOCOL"),
        sasl_mechanism=env("KAFKA_SERVER_SASL_MECHANISM"),
        sasl_username=env("KAFKA_SERVER_SASL_USERNAME"),
        sasl_password=env("KAFKA_SERVER_SASL_PASSWORD"),
    )


def _topic(requested: str, variable: str) -> str:
    return clowder.topic(requested, env(variable)) if clowder is not None else env(variable)


def _sources_api() -> tuple[str, str | None]:
    found = clowder.endpoint_url("sources-api") if clowder is not None else None
    return found or (env("SOURCES_API_BASE_URL"), None)


_kafka = _place()

KAFKA_BOOTSTRAP_SERVERS = ",".join(_kafka.servers)
KAFKA_SERVER_SECURITY_PROTOCOL = _kafka.security_protocol
KAFKA_SERVER_SASL_MECHANISM = _kafka.sasl_mechanism
KAFKA_SERVER_SASL_USERNAME = _kafka.sasl_username
KAFKA_SERVER_SASL_PASSWORD = _kafka.sasl_password
KAFKA_SERVER_CA_LOCATION = (
    certificate_file(_kafka.ca)
    if _kafka.ca
    else (env("KAFKA_SERVER_CA_LOCATION") if clowder is None else None)
)
KAFKA_SESSION_TIMEOUT_MS = env("KAFKA_SESSION_TIMEOUT_MS")
KAFKA_LISTENER_ADDRESS_FAMILY = env("KAFKA_LISTENER_ADDRESS_FAMILY")
LISTENER_TOPIC = _topic(_EVENT_STREAM, "LISTENER_TOPIC")
LISTENER_GROUP_ID = env("LISTENER_GROUP_ID")
LISTENER_HEARTBEAT_FILE = env("LISTENER_HEARTBEAT_FILE")
LISTENER_METRICS_PORT = env("LISTENER_METRICS_PORT")
INBOX_LEASE_SECONDS = env("INBOX_LEASE_SECONDS")
INBOX_REQUEUE_SECONDS = env("INBOX_REQUEUE_SECONDS")
SOURCES_MISSING_RETRY_SECONDS = env("SOURCES_MISSING_RETRY_SECONDS")

_base_url, _sources_ca = _sources_api()
SOURCES_API_BASE_URL = _base_url.rstrip("/")
SOURCES_INTERNAL_API_BASE_URL = f"{SOURCES_API_BASE_URL}/internal/v1.0"
SOURCES_API_EXTERNAL_BASE_URL = f"{SOURCES_API_BASE_URL}/api/sources/v3.0"
# What requests takes as "verify": a CA file, or True for the usual ones.
SOURCES_API_VERIFY: str | bool = _sources_ca or True
SOURCES_API_CONNECT_TIMEOUT = env("SOURCES_API_CONNECT_TIMEOUT")
SOURCES_API_READ_TIMEOUT = env("SOURCES_API_READ_TIMEOUT")
SOURCES_STATUS_TOPIC = _topic(_STATUS, "SOURCES_STATUS_TOPIC")
SOURCES_AVAILABILITY_EVENT_TYPE = env("SOURCES_AVAILABILITY_EVENT_TYPE")
SOURCES_PSK = env("SOURCES_PSK")
SOURCES_ENABLE_DATA_MANAGEMENT = env("SOURCES_ENABLE_DATA_MANAGEMENT")
SOURCES_ENABLE_DATA_MANAGEMENT_FROM_KAFKA = env("SOURCES_ENABLE_DATA_MANAGEMENT_FROM_KAFKA")
SOURCES_RESOURCE_TYPE = "Application"
SOURCES_AUTH_TYPES = ("cloud-meter-arn", "lighthouse_subscription_id")
VERBOSE_SOURCES_NOTIFICATION_LOGGING = env("VERBOSE_SOURCES_NOTIFICATION_LOGGING")
CACHE_TTL_SOURCES_APPLICATION_TYPE_ID = env("CACHE_TTL_SOURCES_APPLICATION_TYPE_ID")

USAGE_PUSH = env("USAGE_PUSH")
USAGE_PUSH_TODAY = env("USAGE_PUSH_TODAY")
USAGE_PUSH_SWATCH = env("USAGE_PUSH_SWATCH")
USAGE_PUSH_API_BASE_URL = (env("USAGE_PUSH_API_BASE_URL") or "").rstrip("/")
KAFKA_USAGE_TOPIC = _topic(_USAGE, "KAFKA_USAGE_TOPIC")
KAFKA_SWATCH_TOPIC = _topic(_SWATCH, "KAFKA_SWATCH_TOPIC")

TENANT_TRANSLATOR_BASE_URL = (
    f"{env('TENANT_TRANSLATOR_SCHEME')}://"
    f"{env('TENANT_TRANSLATOR_HOST')}:{env('TENANT_TRANSLATOR_PORT')}"
)
