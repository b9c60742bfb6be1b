"""Log lines: their form and where they go (spec 08 §8)."""

import json
import logging
import re
from datetime import UTC, datetime
from typing import Any

from util.redaction import redact, redact_all

LINE_FORMAT = (
    "%(asctime)s | %(levelname)s | %(process)d | %(filename)s:%(funcName)s:%(lineno)d"
    " | requestid:%(requestid)s | %(message)s"
)
OWN_LOGGERS = ("api", "cloudigrade", "util")

CHATTY_LOGGERS = (
    "amqp",
    "azure",
    "boto3",
    "botocore",
    "celery",
    "kombu",
    "msal",
    "redis",
    "requests",
    "s3transfer",
    "urllib3",
)
"""At DEBUG these log credentials, tokens, and arguments of tasks; they stay at INFO or above."""

_LINE_BREAKS = re.compile(r"[\x00-\x08\x0a-\x1f\x7f-\x9f\u2028\u2029]")


def one_line(text: str) -> str:
    """Return a text with its control characters escaped, so that it cannot forge a log line."""
    return _LINE_BREAKS.sub(lambda found: repr(found[0])[1:-1], text)


class LineFormatter(logging.Formatter):
    """One line a record, but for tracebacks, and no secret in it.

    A record whose attribute ``block`` is true may have several lines: those of our own making.
    """

    def formatMessage(self, record: logging.LogRecord) -> str:
        """Return the line without a traceback."""
        if not getattr(record, "block", False):
            record.message = one_line(record.message)
        return super().formatMessage(record)

    def format(self, record: logging.LogRecord) -> str:
        """Return the whole record."""
        return redact(super().format(record))


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
        return json.dumps(redact_all(fields), default=str)


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
    formatter: dict[str, Any] = {"()": LineFormatter, "fmt": LINE_FORMAT}
    if line_format == "json":
        formatter = {"()": JSONFormatter}
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "filters": {"request_id": {"()": "util.request_id.RequestIdFilter"}},
        "formatters": {"line": formatter},
        "handlers": handlers,
        "loggers": {
            **{name: {"level": _at_least_info(root_level)} for name in CHATTY_LOGGERS},
            **{
                name: {
                    "handlers": names,
                    "level": _at_least_info(level) if name in CHATTY_LOGGERS else level,
                    "propagate": False,
                }
                for name, level in levels.items()
            },
        },
        "root": {"handlers": names, "level": root_level},
    }


def _at_least_info(level: str) -> str:
    numbers = logging.getLevelNamesMapping()
    return level if numbers[level] >= logging.INFO else "INFO"
