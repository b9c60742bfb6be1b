"""Django's command, which leaves a database of the original service alone."""

import logging
from typing import Any, TextIO

from django.core.management.base import CommandError
from django.core.management.commands import migrate
from django.db import connections

from api.management.logged import logged
from api.original.recognition import ADVICE, is_original

logger = logging.getLogger(__name__)

ORIGINAL_EXIT_CODE = 2


class Command(migrate.Command):
    """Migrates the database; exit code 2 if it is the original's."""

    def __init__(
        self, stdout: TextIO | None = None, stderr: TextIO | None = None, **options: Any
    ) -> None:
        super().__init__(logged(stdout, logger), logged(stderr, logger, logging.ERROR), **options)

    def handle(self, *args: Any, **options: Any) -> None:
        """Apply migrations. Raises CommandError for a database of the original."""
        if is_original(connections[options["database"]]):
            raise CommandError(ADVICE, returncode=ORIGINAL_EXIT_CODE)
        super().handle(*args, **options)
