"""Showing how far a long loop has come."""

import logging
import sys
import time
from collections.abc import Iterable, Iterator, Sized
from typing import TypeVar

from tqdm import tqdm

logger = logging.getLogger(__name__)

Item = TypeVar("Item")

SECONDS_BETWEEN_LINES = 10


def progress(items: Iterable[Item], label: str, total: int | None = None) -> Iterator[Item]:
    """Go through items with a bar on a terminal, or with a log line now and then elsewhere.

    ``total`` is how many there are, where ``items`` cannot tell.
    """
    if total is None and isinstance(items, Sized):
        total = len(items)
    if sys.stderr.isatty():
        yield from tqdm(items, desc=label, total=total)
        return
    known = f"{total:,}" if total is not None else "?"
    done, spoken = 0, time.monotonic()
    for item in items:
        yield item
        done += 1
        if time.monotonic() - spoken >= SECONDS_BETWEEN_LINES:
            spoken = time.monotonic()
            logger.info("%s: %s of %s", label, f"{done:,}", known)
    logger.info("%s: %s done", label, f"{done:,}")
