"""Writes the OpenAPI documents that are kept in the repository (spec 08 §18)."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import CommandError, CommandParser

from api.internal import openapi as internal_document
from api.management.base import OperatorCommand
from api.public import schema as public_schema

DOCUMENTS: dict[str, Callable[[], dict[str, Any]]] = {
    "openapi.json": public_schema.document_to_keep,
    "openapi-internal.json": internal_document.document_to_keep,
}
"""What makes each file at the root of the repository."""


class Command(OperatorCommand):
    """Write the OpenAPI documents, or check that they are current."""

    help = "Write the OpenAPI documents of the APIs to files, or check that those are current."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare the options."""
        parser.add_argument(
            "--check", action="store_true", help="write nothing; fail if a file is stale"
        )
        parser.add_argument(
            "--folder", type=Path, default=settings.BASE_DIR, help="where the files are"
        )

    def handle(self, *, check: bool, folder: Path, **options: Any) -> None:
        """Write or compare. Raises CommandError that names the stale files."""
        stale = []
        for name, make in DOCUMENTS.items():
            file = folder / name
            text = json.dumps(make(), indent=2, ensure_ascii=False) + "\n"
            current = file.exists() and file.read_text(encoding="utf-8") == text
            if not check:
                file.write_text(text, encoding="utf-8")
            elif not current:
                stale.append(name)
        if self.wants_json:
            self.tell({"files": list(DOCUMENTS), "written": not check, "stale": stale}, "")
        if stale:
            raise CommandError(f"Stale, write anew with `make openapi`: {', '.join(stale)}")
