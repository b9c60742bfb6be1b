"""Times from one moment to another, and what they share. Pure."""

from collections.abc import Iterable
from datetime import datetime
from typing import NamedTuple


class Span(NamedTuple):
    """A time from one moment to another, the latter excluded."""

    start: datetime
    end: datetime


def merge(spans: Iterable[Span]) -> list[Span]:
    """Return the same times as few spans, in their order."""
    merged: list[Span] = []
    for span in sorted(spans):
        if merged and span.start <= merged[-1].end:
            merged[-1] = Span(merged[-1].start, max(merged[-1].end, span.end))
        else:
            merged.append(span)
    return merged


def clip(span: Span, within: Span) -> Span:
    """Return what of a span lies within another; its end is not after its start if nothing does."""
    return Span(max(span.start, within.start), min(span.end, within.end))


def overlap(span: Span, others: Iterable[Span]) -> bool:
    """Check whether a span shares any time with one of the others."""
    clipped = (clip(span, other) for other in others)
    return any(one.start < one.end for one in clipped)


def contain(spans: Iterable[Span], moment: datetime) -> bool:
    """Check whether a moment lies within one of the spans."""
    return any(span.start <= moment < span.end for span in spans)
