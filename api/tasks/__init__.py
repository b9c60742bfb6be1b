"""Celery tasks: thin doors to the services. Importing this package registers all of them."""

from api.tasks import accounts, metering, sources, synthetic

__all__ = ["accounts", "metering", "sources", "synthetic"]
