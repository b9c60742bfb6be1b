"""Celery tasks: thin entry points to the services. Importing this package registers all of them."""

from api.tasks import (
    accounts,
    aws,
    azure,
    billing,
    clouds,
    coverage,
    export,
    inspection,
    metering,
    operators,
    push,
    sources,
    synthetic,
)

__all__ = [
    "accounts",
    "aws",
    "azure",
    "billing",
    "clouds",
    "coverage",
    "export",
    "inspection",
    "metering",
    "operators",
    "push",
    "sources",
    "synthetic",
]
