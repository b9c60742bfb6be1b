"""What a process says of its configuration when it starts (spec 08 §5, §8). Never a secret."""

import logging

from django.conf import settings

from cloudigrade.settings.environment import DOTENV_LOADED, env
from util.env import Variable
from util.redis import without_credentials

logger = logging.getLogger(__name__)

GROUPS = ("Core", "Logging", "AWS", "Azure", "Inspection", "Sources and Kafka")


def log_configuration() -> None:
    """Log the settings in one block: secrets as present or absent, all else as it is."""
    database = settings.DATABASES["default"]
    lines = [
        f"dotenv file {'loaded' if DOTENV_LOADED else 'not found'},"
        f" Clowder {'on' if settings.CLOWDER_ENABLED else 'off'}",
        f"Database: {database['HOST']}:{database['PORT']}",
        f"Redis: {without_credentials(settings.REDIS_URL)}",
        f"Kafka: {settings.KAFKA_BOOTSTRAP_SERVERS}",
        f"Topics: {settings.LISTENER_TOPIC}, {settings.SOURCES_STATUS_TOPIC}",
        f"Sources: {settings.SOURCES_API_BASE_URL}",
    ]
    for group in GROUPS:
        shown = (_shown(variable) for variable in env.variables.values() if variable.group == group)
        lines.append(f"{group}: {', '.join(filter(None, shown))}")
    logger.info("Starting\n  %s", "\n  ".join(lines), extra={"block": True})
    if settings.IS_PRODUCTION and "*" in settings.ALLOWED_HOSTS:
        logger.warning("DJANGO_ALLOWED_HOSTS lets production answer to any host name")


def _shown(variable: Variable) -> str | None:
    if variable.secret:
        return f"{variable.name} {'present' if env.is_set(variable.name) else 'absent'}"
    value = getattr(settings, variable.name, env(variable.name))
    return None if value is None else f"{variable.name}={value}"
