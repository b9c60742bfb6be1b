"""What a process says of its configuration when it starts (spec 08 §5, §8). Never a secret."""

import logging
from collections.abc import Iterator

from django.conf import settings

from cloudigrade.settings.environment import DOTENV_LOADED, env
from util.env import Variable
from util.redis import without_credentials

logger = logging.getLogger(__name__)

GROUPS = ("Core", "Logging", "AWS", "Azure", "Inspection", "Sources and Kafka")


def log_configuration() -> None:
    """Log in one line what the process talks to, and the settings that are no defaults.

    Secrets are told as present or absent; ``manage.py show_config`` shows the rest.
    """
    database = settings.DATABASES["default"]
    told = {
        "dotenv file": "loaded" if DOTENV_LOADED else "not found",
        "Clowder": "on" if settings.CLOWDER_ENABLED else "off",
        "database": f"{database['HOST']}:{database['PORT']}",
        "Redis": without_credentials(settings.REDIS_URL),
        "Kafka": settings.KAFKA_BOOTSTRAP_SERVERS,
        "topics": f"{settings.LISTENER_TOPIC} {settings.SOURCES_STATUS_TOPIC}",
        "sources": settings.SOURCES_API_BASE_URL,
    }
    logger.info(
        "Starting: %s; %s",
        ", ".join(f"{name} {value}" for name, value in told.items()),
        ", ".join(_settings()),
    )
    if settings.IS_PRODUCTION and "*" in settings.ALLOWED_HOSTS:
        logger.warning("DJANGO_ALLOWED_HOSTS lets production answer to any host name")


def _settings() -> Iterator[str]:
    for variable in env.variables.values():
        if variable.group not in GROUPS:
            continue
        if variable.secret:
            yield f"{variable.name} {'present' if env.is_set(variable.name) else 'absent'}"
        elif (value := _value(variable)) != variable.default:
            yield f"{variable.name}={value}"


def _value(variable: Variable) -> object:
    return getattr(settings, variable.name, env(variable.name))
