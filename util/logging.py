"""Log lines: their form and where they go (spec 08 §8)."""

import json
import logging
from datetime import UTC, datetime
from typing import Any

LINE_FORMAT = (
    "%(asctime)s | %(levelname)s | %(process)d | %(filename)s:%(funcName)s:%(lineno)d"
    " | requestid:%(requestid)s | %(message)s"
)
OWN_LOGGERS = ("api", "cloudigrade", "util")


class JSONFormatter(logging.Formatter):
    """The same fields, one JSON object a line."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the record as JSON."""
        fields = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(),
            "level": record.levelname,
            "process": record.process,
            "logger": record.name,
            "place": f"{record.filename}:{record.funcName}:{record.lineno}",
            "requestid": getattr(record, "requestid", None),
            "insights_requestid": getattr(record, "insights_requestid", None),
            "message": record.getMessage(),
        }
        if record.exc_info:
            fields["exception"] = self.formatException(record.exc_info)
        return json.dumps(fields, default=str)


def logging_config(
    *,
    levels: dict[str, str],
    root_level: str,
    console_level: str,
    line_format: str = "text",
    cloudwatch: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """Return the configuration for ``logging.config.dictConfig``.

    ``levels`` maps the loggers that do not propagate to their levels. Every handler filters for
    itself, so that a line has its request id whatever the other handlers' thresholds are.
    """
    common = {"formatter": "line", "filters": ["request_id"]}
    handlers: dict[str, dict[str, Any]] = {
        "console": {"class": "logging.StreamHandler", "level": console_level, **common}
    }
    if cloudwatch:
        # Named, not imported: the AWS SDK is loaded only where it is wanted.
        factory = "util.cloudwatch.cloudwatch_handler"
        handlers["cloudwatch"] = {"()": factory, **cloudwatch, **common}
    names = list(handlers)
    formatter: dict[str, Any] = {"format": LINE_FORMAT}
    if line_format == "json":
        formatter = {"()": JSONFormatter}
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "filters": {"request_id": {"()": "util.request_id.RequestIdFilter"}},
        "formatters": {"line": formatter},
        "handlers": handlers,
        "loggers": {
            name: {"handlers": names, "level": level, "propagate": False}
            for name, level in levels.items()
        },
        "root": {"handlers": names, "level": root_level},
    }
