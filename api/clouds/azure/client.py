"""The way to Azure's resource manager: the SDK's pipeline, with limits that suit a task.

Authentication, redirects, retries and long-running operations are the SDK's own, with two limits:
no request goes to another host than ``AZURE_ARM_BASE_URL``'s, whoever names it, and none waits for
long. Its generated clients are left aside: to load them costs each process a second and a hundred
megabytes, for the few lists that we read.
"""

import json
from collections.abc import Iterator
from functools import cache
from http import HTTPStatus
from typing import Any

from azure.core.pipeline import Pipeline, PipelineRequest, PipelineResponse
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
from api.clouds.azure.links import own_url
from api.clouds.azure.retry_after import is_long, seconds_to_wait

RETRIES = 3
BACKOFF_SECONDS = 0.8

MOST_REDIRECTS = 3
MOST_PAGES = 1000
"""Of one list. Azure's pages have some hundred entries, and a subscription has thousands."""
ENDLESS_LIST_SECONDS = 3600
"""When a list may be asked for again that has more pages, or links to itself."""

POLL_SECONDS = 10
"""How often a deletion is asked about, unless Azure says something else."""

OPERATION_SECONDS = 600
"""How long a deletion is waited for."""


class BoundedRetryPolicy(RetryPolicy):
    """Azure's retries, without the sleeps that ``Retry-After`` may make as long as it likes."""

    def get_retry_after(self, response: PipelineResponse) -> float | None:
        """Return the seconds that an answer asks us to wait, if it does so in a readable form."""
        return seconds_to_wait(response.http_response.headers)

    def is_retry(self, settings: dict[str, Any], response: PipelineResponse) -> bool:
        """Return whether to try again after this answer."""
        if not errors.is_passing(response.http_response.status_code):
            return False
        return not is_long(self.get_retry_after(response)) and super().is_retry(settings, response)


class OwnHostPolicy(RedirectPolicy):
    """Azure's redirects, as long as they stay on the resource manager's own host.

    A request to another host, whether a redirect or a link asked for it, is not sent: it raises
    ``AzureBusyError`` (decision 51).
    """

    def send(self, request: PipelineRequest) -> PipelineResponse:
        """Send a request and those that it is redirected to."""
        own_url(request.http_request.url, base=settings.AZURE_ARM_BASE_URL)
        return super().send(request)

    def get_redirect_location(self, response: PipelineResponse) -> Any:
        """Return where an answer redirects to, as an absolute URL; something false if nowhere."""
        location = super().get_redirect_location(response)
        return location and own_url(location, base=response.http_request.url)


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
            OwnHostPolicy(redirect_max=MOST_REDIRECTS),
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
        """Return the JSON found at a path below the base URL."""
        return self._get(settings.AZURE_ARM_BASE_URL + path, {**query, "api-version": version})

    def pages(self, path: str, *, version: str, **query: str) -> Iterator[list[Any]]:
        """Return the pages of a list one by one, each as it comes.

        Only its first page can be missing (``NotFoundError``): a later one that is not found is
        a broken list, of whose subject it says nothing.
        """
        url = settings.AZURE_ARM_BASE_URL + path
        content = self._get(url, {**query, "api-version": version})
        seen = {url}
        while True:
            yield _entries(content)
            following = _next_link(content, url)
            if following is None:
                return
            if following in seen or len(seen) >= MOST_PAGES:
                raise errors.AzureBusyError(
                    "EndlessList", f"{path} does not end", retry_after=ENDLESS_LIST_SECONDS
                )
            seen.add(following)
            url = following
            try:
                content = self._get(url, {})
            except errors.NotFoundError as error:
                raise errors.AzureRefusedError(*error.args, status=error.status) from error

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
        if response.status_code != HTTPStatus.OK:
            raise errors.of_response(response)
        try:
            return json.loads(response.content)
        except (ValueError, RecursionError) as error:
            raise errors.AzureBusyError("NoJson", f"{url} answered with no JSON") from error

    def _run(self, request: HttpRequest) -> PipelineResponse[HttpRequest, HttpResponse]:
        answer = self._pipeline.run(request)
        answer.http_response.read()
        if not 200 <= answer.http_response.status_code < 300:
            raise errors.of_response(answer.http_response)
        return answer


@cache
def resource_manager() -> ResourceManager:
    """Return the process's one client, which keeps its connections open."""
    return ResourceManager()


def _entries(content: Any) -> list[Any]:
    """Return the entries of a page. What is no list is never taken for an empty one."""
    entries = content.get("value") if isinstance(content, dict) else None
    if not isinstance(entries, list):
        raise errors.AzureBusyError("NoList", "a page of a list has no entries")
    return entries


def _next_link(content: dict[str, Any], url: str) -> str | None:
    """Return where the next page of a list is; None if the page is the last one."""
    link = content.get("nextLink")
    if link is None or link == "":
        return None
    if not isinstance(link, str):
        raise errors.AzureBusyError("MalformedLink", f"{url} leads to {str(link)[:200]!r}")
    return own_url(link, base=url)
