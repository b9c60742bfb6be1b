"""Makes a user who may enter the admin site (`make user`)."""

from typing import Any

from django.core.management import call_command
from django.core.management.base import CommandError
from django.db import OperationalError

from api.management.base import OperatorCommand
from api.models import User

NO_DATABASE = (
    "No database answers. Start one with `make up`, and source the file of variables that it names."
)


class Command(OperatorCommand):
    """Asks as Django's createsuperuser does, and says in one line why it cannot."""

    help = "Create a user who may enter the admin site, which is not there in production."

    def handle(self, *args: Any, **options: Any) -> None:
        """Ask and create. Raises CommandError if no user was created."""
        operators = User.objects.filter(is_superuser=True)
        try:
            before = operators.count()
            call_command("createsuperuser", stdout=self.stderr)
        except OperationalError as error:
            raise CommandError(NO_DATABASE) from error
        if operators.count() == before:
            raise CommandError("No user was created.")
        if self.wants_json:
            self.tell({"created": True}, "")
