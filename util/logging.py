"""Log lines: their form and where they go (spec 08 §8)."""

import io
import logging
import re
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from pythonjsonlogger.json import JsonFormatter

from util.redaction import redact, redact_all

LINE_FORMAT = (
    "%(asctime)s | %(levelname)s | %(process)d | %(filename)s:%(funcName)s:%(lineno)d"
    " | requestid:%(requestid)s | %(message)s"
)
OWN_LOGGERS = ("api", "cloudigrade", "util")

FLOORS = {
    **dict.fromkeys(("azure", "celery"), "INFO"),
    **dict.fromkeys(
        (
            "amqp",
            "boto3",
            "botocore",
            "kombu",
            "msal",
            "redis",
            "requests",
            "s3transfer",
            "urllib3",
        ),
        "WARNING",
    ),
}
"""The lowest levels of libraries. At DEBUG these log credentials, tokens, arguments of tasks."""

_ACCESS_LOGGER = "gunicorn.access"
_REQUEST_ID_ATOM = "{x-cloudigrade-request-id}o"

_LINE_BREAKS = re.compile(r"[\x00-\x08\x0a-\x1f\x7f-\x9f\u2028\u2029]")


def one_line(text: str) -> str:
    """Return a text with its control characters escaped, so that it cannot forge a log line."""
    return _LINE_BREAKS.sub(lambda found: repr(found[0])[1:-1], text)


class LogLines(io.TextIOBase):
    """A stream whose lines become log records: what is written for people, among lines of JSON."""

    def __init__(self, logger: logging.Logger, level: int = logging.INFO) -> None:
        self._logger = logger
        self._level = level
        self._rest = ""

    def write(self, text: str) -> int:
        """Log the lines that are complete."""
        *lines, self._rest = (self._rest + text).split("\n")
        for line in lines:
            self._log(line)
        return len(text)

    def close(self) -> None:
        """Log the last line, complete or not."""
        self._log(self._rest)
        self._rest = ""
        super().close()

    def _log(self, line: str) -> None:
        if line.strip():
            self._logger.log(self._level, "%s", line.strip())


class LineFormatter(logging.Formatter):
    """One line a record, but for tracebacks, and no secret in it."""

    def formatMessage(self, record: logging.LogRecord) -> str:
        """Return the line without a traceback."""
        record.message = one_line(record.message)
        return super().formatMessage(record)

    def format(self, record: logging.LogRecord) -> str:
        """Return the whole record."""
        return redact(super().format(record))


class JSONFormatter(JsonFormatter):
    """The same fields, one JSON object a line, without secrets."""

    def __init__(self) -> None:
        super().__init__(json_default=str)

    def add_fields(
        self, log_data: dict[str, Any], record: logging.LogRecord, message_dict: dict[str, Any]
    ) -> None:
        """Set the members of the line."""
        log_data |= {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(),
            "level": record.levelname,
            "process": record.process,
            "logger": record.name,
            "place": f"{record.filename}:{record.funcName}:{record.lineno}",
            "requestid": _request_id(record),
            "insights_requestid": getattr(record, "insights_requestid", None),
            "customer": getattr(record, "customer", None),
            "task": getattr(record, "task", None),
            "message": record.getMessage(),
        }
        if record.exc_info:
            log_data["exception"] = self.formatException(record.exc_info)

    def process_log_record(self, log_data: dict[str, Any]) -> dict[str, Any]:
        """Return the members without secrets."""
        return redact_all(log_data)


def _request_id(record: logging.LogRecord) -> str | None:
    if record.name == _ACCESS_LOGGER and isinstance(record.args, Mapping):
        # The request is over when gunicorn logs it.
        return record.args.get(_REQUEST_ID_ATOM)  # type: ignore[return-value]
    return getattr(record, "requestid", None)


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
        levels = {"gunicorn.error": "INFO", _ACCESS_LOGGER: "INFO", **levels}
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "filters": {"request_id": {"()": "util.request_id.RequestIdFilter"}},
        "formatters": {"line": formatter},
        "handlers": handlers,
        "loggers": {
            **{name: {"level": _floored(name, root_level)} for name in FLOORS},
            **{
                name: {"handlers": names, "level": _floored(name, level), "propagate": False}
                for name, level in levels.items()
            },
        },
        "root": {"handlers": names, "level": root_level},
    }


def _floored(name: str, level: str) -> str:
    """Return the level that a logger gets where this one is asked for."""
    numbers = logging.getLevelNamesMapping()
    return max(level, FLOORS.get(name, level), key=lambda one: numbers[one])


def log_everything_as_json() -> None:
    """Have logging take what Python itself would print: warnings and what ends a process."""
    logging.captureWarnings(True)
    sys.excepthook = _log_exception


def _log_exception(kind: type[BaseException], error: BaseException, trace: Any) -> None:
    if issubclass(kind, KeyboardInterrupt):
        sys.__excepthook__(kind, error, trace)
        return
    logging.getLogger(__name__).critical(
        "The process ends: %s", error, exc_info=(kind, error, trace)
    )
