"""Request bodies: JSON or forms, and no body that makes a view fail (spec 02 §2, §12.7)."""

import json
import math
from typing import IO, Any

from django.core.exceptions import SuspiciousOperation
from rest_framework import parsers
from rest_framework.exceptions import ParseError


class StrictJSONParser(parsers.JSONParser):
    """JSON that can be stored and sent back: finite numbers, whole characters, bounded nesting."""

    def parse(
        self,
        stream: IO[bytes],
        media_type: str | None = None,
        parser_context: Any = None,
    ) -> Any:
        """Read the body. Raises ParseError, whose text begins with ``JSON parse error``."""
        try:
            data = json.loads(
                stream.read(), parse_constant=_refuse_constant, parse_float=_finite_number
            )
            # Half of a surrogate pair is legal in JSON, but is no text.
            json.dumps(data, ensure_ascii=False).encode()
        except RecursionError as error:
            raise ParseError("JSON parse error - too deeply nested") from error
        except ValueError as error:
            raise ParseError(f"JSON parse error - {_reason(error)}") from error
        return data


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


def _finite_number(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError("a number is out of range")
    return number


def _reason(error: ValueError) -> str:
    return "not a valid text" if isinstance(error, UnicodeError) else str(error)


class _BoundedForm:
    """A form with too many or too large fields is the client's fault."""

    def parse(self, *args: Any, **kwargs: Any) -> Any:
        """Read the body. Raises ParseError."""
        try:
            return super().parse(*args, **kwargs)  # type: ignore[misc]
        except SuspiciousOperation as error:
            raise ParseError(f"Form parse error - {error}") from error


class BoundedFormParser(_BoundedForm, parsers.FormParser):
    """URL-encoded forms."""


class BoundedMultiPartParser(_BoundedForm, parsers.MultiPartParser):
    """Multipart forms."""
