"""Holding an OpenAPI document against what is served."""

from collections.abc import Callable, Iterable
from typing import Any

import schemathesis
from hypothesis import HealthCheck, settings
from schemathesis import checks
from schemathesis.config import SchemathesisConfig
from schemathesis.schemas import BaseSchema

from cloudigrade.wsgi import application

BY_CONTRACT = [checks.negative_data_rejection, checks.positive_data_acceptance]
"""Checks that the contract does not pass.

No value of limit, offset and booleans is wrong, and numbers of any size may be asked for; what is
well-formed may still be refused: taken numbers, unknown rows, late dates.
"""


def served(document: dict[str, Any], *, base_url: str, seed: int) -> BaseSchema:
    """Return the operations of a document, to be tried on the application itself."""
    api = schemathesis.openapi.from_dict(
        document,
        config=SchemathesisConfig.from_dict(
            {"seed": seed, "generation": {"with-security-parameters": False}}
        ),
    )
    api.app = _uncompressed
    api.config.update(base_url=base_url)
    return api


def _uncompressed(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    """The application for clients that, unlike what they say, read no gzip over WSGI."""
    environ.pop("HTTP_ACCEPT_ENCODING", None)
    return application(environ, start_response)


def examples(number: int) -> settings:
    """Settings for so many examples of each operation, the same ones each time."""
    return settings(
        max_examples=number,
        deadline=None,
        derandomize=True,
        suppress_health_check=list(HealthCheck),
    )
