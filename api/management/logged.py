"""Output of commands that processes of the deployment run: log records where these are JSON."""

import logging
from typing import TextIO, cast

from django.conf import settings

from util.logging import LogLines


def logged(
    stream: TextIO | None, logger: logging.Logger, level: int = logging.INFO
) -> TextIO | None:
    """Return what to write to in place of a command's stream, None being that of the process."""
    if stream is None and settings.CLOUDIGRADE_LOG_FORMAT == "json":
        return cast("TextIO", LogLines(logger, level))
    return stream
