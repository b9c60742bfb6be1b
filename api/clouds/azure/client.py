"""The way to Azure's resource manager: the SDK's pipeline, with limits that suit a task.

Authentication, redirects, retries and long-running operations are the SDK's own. Its generated
clients are left aside: to load them costs each process a second and a hundred megabytes, for the
few lists that we read.
"""

from collections.abc import Iterator
from functools import cache
from typing import Any

from azure.core.pipeline import Pipeline, PipelineResponse
from azure.core.pipeline.policies import (
    HeadersPolicy,
    ProxyPolicy,
    RedirectPolicy,
    RequestIdPolicy,
    RetryPolicy,
    SensitiveHeaderCleanupPolicy,
    UserAgentPolicy,
)
from azure.core.pipeline.transport import RequestsTransport
from azure.core.polling import LROPoller
from azure.core.rest import HttpRequest, HttpResponse
from azure.mgmt.core import ARMPipelineClient
from azure.mgmt.core.policies import ARMChallengeAuthenticationPolicy, ARMHttpLoggingPolicy
from azure.mgmt.core.polling.arm_polling import ARMPolling
from django.conf import settings

from api.clouds.azure import errors
from api.clouds.azure.credentials import connection_options, credential, scope

RETRIES = 3
BACKOFF_SECONDS = 0.8
LONGEST_WAIT_SECONDS = 20
"""A longer wait than this, if Azure asks for it, is left to the task, which comes back later."""

POLL_SECONDS = 10
"""How often a deletion is asked about, unless Azure says something else."""

OPERATION_SECONDS = 600
"""How long a deletion is waited for."""


class BoundedRetryPolicy(RetryPolicy):
    """Azure's retries, without the sleeps that ``Retry-After`` may make as long as it likes."""

    def is_retry(self, settings: dict[str, Any], response: PipelineResponse) -> bool:
        """Tell whether to try again after this answer."""
        wait = self.get_retry_after(response) or 0
        return wait <= LONGEST_WAIT_SECONDS and super().is_retry(settings, response)


class ResourceManager:
    """Sends authenticated requests. Raises ``AzureBusyError`` or ``AzureRefusedError``."""

    def __init__(self) -> None:
        retries = BoundedRetryPolicy(
            retry_total=RETRIES,
            # A server that does not answer has cost the time of a whole request already.
            retry_read=1,
            retry_backoff_factor=BACKOFF_SECONDS,
        )
        policies: list[Any] = [
            RequestIdPolicy(),
            HeadersPolicy(),
            UserAgentPolicy(sdk_moniker="cloudigrade"),
            ProxyPolicy(),
            RedirectPolicy(),
            retries,
            ARMChallengeAuthenticationPolicy(credential(), scope()),
            SensitiveHeaderCleanupPolicy(),
            ARMHttpLoggingPolicy(),
        ]
        self._pipeline: Pipeline[HttpRequest, HttpResponse] = Pipeline(
            RequestsTransport(**connection_options()), policies
        )
        self._client: ARMPipelineClient[HttpRequest, HttpResponse] = ARMPipelineClient(
            settings.AZURE_ARM_BASE_URL, pipeline=self._pipeline, policies=policies
        )

    def get(self, path: str, *, version: str, **query: str) -> Any:
        """Give the JSON found at a path below the base URL."""
        return self._get(settings.AZURE_ARM_BASE_URL + path, {**query, "api-version": version})

    def pages(self, path: str, *, version: str, **query: str) -> Iterator[list[Any]]:
        """Give the pages of a list one by one, each as it comes."""
        content = self.get(path, version=version, **query)
        seen = set()
        while True:
            yield _entries(content)
            following = content.get("nextLink")
            if not following:
                return
            if following in seen:
                raise errors.AzureBusyError("EndlessList", f"{path} links to itself")
            seen.add(following)
            content = self._get(following, {})

    def delete(self, path: str, *, version: str) -> bool:
        """Delete a resource; tell whether Azure has finished to do so in the time given."""
        url = settings.AZURE_ARM_BASE_URL + path
        with errors.translated():
            first = self._run(HttpRequest("DELETE", url, params={"api-version": version}))
            polling = ARMPolling(timeout=POLL_SECONDS)
            poller: LROPoller[None] = LROPoller(self._client, first, lambda _: None, polling)
            poller.wait(OPERATION_SECONDS)
            if poller.done():
                poller.result()
            return poller.done()

    def _get(self, url: str, query: dict[str, str]) -> Any:
        with errors.translated():
            response = self._run(HttpRequest("GET", url, params=query)).http_response
        try:
            return response.json()
        except ValueError as error:
            raise errors.AzureBusyError("NoJson", f"{url} answered with no JSON") from error

    def _run(self, request: HttpRequest) -> PipelineResponse[HttpRequest, HttpResponse]:
        answer = self._pipeline.run(request)
        answer.http_response.read()
        if answer.http_response.status_code >= 400:
            raise errors.of_response(answer.http_response)
        return answer


@cache
def resource_manager() -> ResourceManager:
    """Give the process's one client, which keeps its connections open."""
    return ResourceManager()


def _entries(content: Any) -> list[Any]:
    """Give the entries of a page. What is no list is never taken for an empty one."""
    entries = content.get("value") if isinstance(content, dict) else None
    if not isinstance(entries, list):
        raise errors.AzureBusyError("NoList", "a page of a list has no entries")
    return entries
