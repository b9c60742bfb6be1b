"""The only place that tells the time. All of it is UTC."""

import datetime


def now() -> datetime.datetime:
    """Return the current instant, aware, in UTC."""
    return datetime.datetime.now(datetime.UTC)


def today() -> datetime.date:
    """Return the current date in UTC."""
    return now().date()
