"""Showing how far a long loop has come."""

import logging
import sys
from collections.abc import Iterable, Iterator, Sized
from datetime import timedelta
from typing import TypeVar

from tqdm import tqdm

from util.clock import now

logger = logging.getLogger(__name__)

Item = TypeVar("Item")

BETWEEN_LINES = timedelta(seconds=10)


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
    done, spoken = 0, now()
    for item in items:
        yield item
        done += 1
        if now() - spoken >= BETWEEN_LINES:
            spoken = now()
            logger.info("%s: %s of %s", label, f"{done:,}", known)
    logger.info("%s: %s done", label, f"{done:,}")
