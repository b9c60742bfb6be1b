"""The only place that tells the time. All of it is UTC."""

import datetime

LONG_AGO = datetime.datetime.min.replace(tzinfo=datetime.UTC)
"""Stands for a moment that never was: it is before all others."""


def now() -> datetime.datetime:
    """Return the current instant, aware, in UTC."""
    return datetime.datetime.now(datetime.UTC)


def today() -> datetime.date:
    """Return the current date in UTC."""
    return now().date()
