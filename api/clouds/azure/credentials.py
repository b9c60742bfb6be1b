"""Who we are to Azure: one credential for everything, made once in a process (spec 06 §1.2)."""

import os
from functools import cache
from typing import TYPE_CHECKING, Any

from azure.core.pipeline import PipelineResponse
from azure.core.pipeline.policies import RetryPolicy
from django.conf import settings
from django.utils.module_loading import import_string

from api.clouds.azure.errors import LoginServerBusyError, is_passing
from api.clouds.azure.retry_after import seconds_to_wait

if TYPE_CHECKING:
    from azure.identity import EnvironmentCredential

CONNECT_SECONDS = 5
READ_SECONDS = 30


def connection_options() -> dict[str, Any]:
    """Return the SDK's options for every connection to Azure: its limits, and whom to trust."""
    return {
        "connection_timeout": CONNECT_SECONDS,
        "read_timeout": READ_SECONDS,
        # True leaves the choice to the environment, that is to REQUESTS_CA_BUNDLE.
        "connection_verify": settings.AZURE_CA_BUNDLE or True,
    }


class LoginRetryPolicy(RetryPolicy):
    """Azure's retries, but not before the time that the login server asks for."""

    def increment(self, settings: Any, response: Any = None, error: Any = None) -> bool:
        """Count a try; tell whether there is another one. What has to wait is the task's to do."""
        if isinstance(error, LoginServerBusyError) and error.retry_after:
            return False
        return super().increment(settings, response, error)


@cache
def credential() -> "EnvironmentCredential":
    """Return the credential of the process environment; it keeps its token until that expires.

    Of a login server that the environment names (``AZURE_AUTHORITY_HOST``) Azure's public cloud
    knows nothing, so that one is not asked about it. Its package, ten megabytes with what that
    needs, is loaded only by processes that talk to Azure.
    """
    return import_string("azure.identity.EnvironmentCredential")(
        disable_instance_discovery="AZURE_AUTHORITY_HOST" in os.environ,
        raw_response_hook=_tell_outage_from_refusal,
        retry_policy_class=LoginRetryPolicy,
        retry_total=2,
        **connection_options(),
    )


def scope() -> str:
    """Return what a token is for: the resource manager."""
    return f"{settings.AZURE_ARM_BASE_URL}/.default"


def _tell_outage_from_refusal(answer: PipelineResponse) -> None:
    """Raise on an answer that may pass: the SDK words it like a wrong secret, and remembers it."""
    status = answer.http_response.status_code
    if is_passing(status):
        raise LoginServerBusyError(status, seconds_to_wait(answer.http_response.headers))
