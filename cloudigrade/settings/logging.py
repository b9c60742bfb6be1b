"""Logging (spec 08 §4 F, §8)."""

from typing import Any

from cloudigrade.settings.environment import clowder, env
from util.logging import OWN_LOGGERS, log_everything_as_json, logging_config

CLOUDIGRADE_ENABLE_CLOUDWATCH = env("CLOUDIGRADE_ENABLE_CLOUDWATCH")


def _cloudwatch() -> dict[str, Any] | None:
    if not CLOUDIGRADE_ENABLE_CLOUDWATCH:
        return None
    place = clowder.cloudwatch() if clowder is not None else None
    if place is None:
        env.require("CW_AWS_ACCESS_KEY_ID", "CW_AWS_SECRET_ACCESS_KEY", "CW_AWS_REGION_NAME")
    if place is None or not place.log_group:
        env.require("CLOUDIGRADE_CW_LOG_GROUP")
    env.require("CLOUDIGRADE_CW_STREAM_NAME")
    return {
        "access_key_id": env("CW_AWS_ACCESS_KEY_ID") or (place and place.access_key_id),
        "secret_access_key": env("CW_AWS_SECRET_ACCESS_KEY") or (place and place.secret_access_key),
        "region": env("CW_AWS_REGION_NAME") or (place and place.region),
        "log_group_name": env("CLOUDIGRADE_CW_LOG_GROUP") or (place and place.log_group),
        "log_stream_name": env("CLOUDIGRADE_CW_STREAM_NAME"),
        "log_group_retention_days": env("CLOUDIGRADE_CW_RETENTION_DAYS"),
        "use_queues": env("WATCHTOWER_USE_QUEUES"),
        "send_interval": env("WATCHTOWER_SEND_INTERVAL"),
        "max_batch_count": env("WATCHTOWER_MAX_BATCH_COUNT"),
        "level": env("CLOUDIGRADE_CW_LEVEL"),
    }


# Read even where CloudWatch is off, so that a malformed value is told in any case.
CLOUDIGRADE_CW_RETENTION_DAYS = env("CLOUDIGRADE_CW_RETENTION_DAYS")

CLOUDIGRADE_LOG_FORMAT = env("CLOUDIGRADE_LOG_FORMAT")
if CLOUDIGRADE_LOG_FORMAT == "json":
    log_everything_as_json()

LOGGING = logging_config(
    levels={
        **dict.fromkeys(OWN_LOGGERS, env("CLOUDIGRADE_LOG_LEVEL")),
        "api.sources.listener": env("LISTENER_LOG_LEVEL"),
        "django": env("DJANGO_LOG_LEVEL"),
        "azure": env("AZURE_LOG_LEVEL"),
    },
    root_level=env("DJANGO_ALL_LOG_LEVEL"),
    console_level=env("DJANGO_CONSOLE_LOG_LEVEL"),
    line_format=CLOUDIGRADE_LOG_FORMAT,
    cloudwatch=_cloudwatch(),
)
