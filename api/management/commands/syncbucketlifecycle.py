"""Put the lifecycle of our S3 buckets in place."""

from typing import Any

from api.clouds.aws.provisioning.buckets import sync_lifecycle
from api.management.base import OperatorCommand


class Command(OperatorCommand):
    """Put our lifecycle rule on both buckets, in one process of many (spec 04 §10.3)."""

    help = "Put our lifecycle rule on the buckets of trails and of inspection results."

    def handle(self, *args: Any, **options: Any) -> None:
        """Do it, or wait for the process that does."""
        sync_lifecycle()
        if self.wants_json:
            self.tell({"done": True}, "")
