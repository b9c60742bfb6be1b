"""Times from one moment to another, and what they share. Pure."""

from collections.abc import Iterable
from datetime import datetime
from typing import NamedTuple


class MeteredSpan(NamedTuple):
    """A time from one moment to another, the latter excluded."""

    start: datetime
    end: datetime


def merge(spans: Iterable[MeteredSpan]) -> list[MeteredSpan]:
    """Return the same times as few spans, in their order."""
    merged: list[MeteredSpan] = []
    for span in sorted(spans):
        if merged and span.start <= merged[-1].end:
            merged[-1] = MeteredSpan(merged[-1].start, max(merged[-1].end, span.end))
        else:
            merged.append(span)
    return merged


def clip(span: MeteredSpan, within: MeteredSpan) -> MeteredSpan:
    """Return what of a span lies within another; its end is not after its start if nothing does."""
    return MeteredSpan(max(span.start, within.start), min(span.end, within.end))


def overlap(span: MeteredSpan, others: Iterable[MeteredSpan]) -> bool:
    """Check whether a span shares any time with one of the others."""
    clipped = (clip(span, other) for other in others)
    return any(one.start < one.end for one in clipped)


def contain(spans: Iterable[MeteredSpan], moment: datetime) -> bool:
    """Check whether a moment lies within one of the spans."""
    return any(span.start <= moment < span.end for span in spans)
