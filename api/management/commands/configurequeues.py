"""Make our SQS queues what they have to be."""

from typing import Any

from api.clouds.aws.provisioning.queues import configure_queues
from api.management.base import OperatorCommand


class Command(OperatorCommand):
    """Configure the SQS queues, with their dead letter queues (spec 04 §10.2)."""

    help = "Make sure that our SQS queues and their dead letter queues exist and are set up."

    def handle(self, *args: Any, **options: Any) -> None:
        """Configure both queues; an error of AWS ends the command."""
        for name in configure_queues():
            self.tell({"queue": name}, f'Configuring SQS queue "{name}"')
