"""The way to Azure's resource manager: the SDK's clients, with limits that suit a task.

What to ask, paging, authentication, redirects, retries and long-running operations are the SDK's
own. The pipeline that its clients share has limits of ours: no request goes to another host than
``AZURE_ARM_BASE_URL``'s, whoever names it; none waits for long; no answer is larger than we can
hold; and none is believed that is not one of what was asked for. The clients are loaded by the
first process of Azure's that needs them: no other has to hold them in memory (decision record 160).
"""

import enum
from collections.abc import Callable, Iterator
from functools import cache
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from azure.core.paging import ItemPaged
from azure.core.pipeline import Pipeline, PipelineRequest, PipelineResponse
from azure.core.pipeline.policies import (
    ContentDecodePolicy,
    HeadersPolicy,
    HTTPPolicy,
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
from azure.mgmt.core.policies import ARMChallengeAuthenticationPolicy, ARMHttpLoggingPolicy
from django.conf import settings
from django.utils.module_loading import import_string

from api.clouds.azure import errors
from api.clouds.azure.bounded import bounded_session
from api.clouds.azure.credentials import connection_options, credential, scope
from api.clouds.azure.links import own_url
from api.clouds.azure.retry_after import is_long, seconds_to_wait

if TYPE_CHECKING:
    from azure.mgmt.compute import ComputeManagementClient
    from azure.mgmt.managedservices import ManagedServicesClient
    from azure.mgmt.resource.subscriptions import SubscriptionClient

RETRIES = 3
BACKOFF_SECONDS = 0.8

MALFORMED_LINK = "malformed:"
"""Stands in the place of a link that is no text: no client takes it for the end of a list."""

MOST_REDIRECTS = 3
MOST_PAGES = 1000
"""Of one list. Azure's pages have some hundred entries, and a subscription has thousands."""
ENDLESS_LIST_SECONDS = 3600
"""When a list may be asked for again that has more pages, or links to itself."""

POLL_SECONDS = 10
"""How often a deletion is asked about, unless Azure says something else."""

OPERATION_SECONDS = 600
"""How long a deletion is waited for."""


class Answer(enum.Enum):
    """What is asked for; the option ``answer`` of each of the SDK's operations takes one."""

    PAGE = "page"
    """A page of a list. An operation that says nothing asks for this."""
    ARRAY = "array"
    """A list that comes in one piece."""
    OPERATION = "operation"
    """The beginning or the state of an operation that takes long."""


class AnswerPolicy(HTTPPolicy[HttpRequest, HttpResponse]):
    """Raises ``AzureBusyError`` or ``AzureRefusedError`` where an answer is none (decision 51).

    The SDK's clients take a page without ``value`` for an empty list, of whose machines it would be
    concluded that they are gone (decision 33).
    """

    def send(
        self, request: PipelineRequest[HttpRequest]
    ) -> PipelineResponse[HttpRequest, HttpResponse]:
        """Send a request; return the answer."""
        expected = request.context.options.pop("answer", Answer.PAGE)
        answer = self.next.send(request)
        response = answer.http_response
        status = response.status_code
        if not 200 <= status < 300 or (expected != Answer.OPERATION and status != HTTPStatus.OK):
            response.read()
            raise errors.of_response(response)
        if expected != Answer.OPERATION:
            content = _json_of(response)
            _check(content, expected)
            # The clients of an older make look for it here.
            answer.context[ContentDecodePolicy.CONTEXT_NAME] = content
        return answer


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


class RenewalPolicy(ARMChallengeAuthenticationPolicy):
    """Azure's authentication, which repeats once with a new token what was refused for its token.

    The SDK's credential keeps a token until that expires, even if it was revoked: a request would
    be refused for an hour, and a customer be told that we have no access.
    """

    def __init__(self) -> None:
        super().__init__(credential(), scope())

    def send(self, request: PipelineRequest) -> PipelineResponse:
        """Send a request with the token that we have, or with another one; return the answer."""
        answer = super().send(request)
        if answer.http_response.status_code != HTTPStatus.UNAUTHORIZED:
            return answer
        answer.http_response.close()
        self._renew()
        return super().send(request)

    def _renew(self) -> None:
        """Use a new credential, unless another thread has made one since."""
        if self._credential is credential():
            credential.cache_clear()
        self._credential, self._token = credential(), None


@cache
def resource_manager() -> Pipeline[HttpRequest, HttpResponse]:
    """Return the process's one pipeline, which keeps its connections open."""
    retries = BoundedRetryPolicy(
        retry_total=RETRIES,
        # A server that does not answer has cost the time of a whole request already.
        retry_read=1,
        retry_backoff_factor=BACKOFF_SECONDS,
    )
    policies: list[Any] = [
        AnswerPolicy(),
        RequestIdPolicy(),
        HeadersPolicy(),
        UserAgentPolicy(sdk_moniker="cloudigrade"),
        ProxyPolicy(),
        OwnHostPolicy(redirect_max=MOST_REDIRECTS),
        retries,
        RenewalPolicy(),
        SensitiveHeaderCleanupPolicy(),
        ARMHttpLoggingPolicy(),
    ]
    transport = RequestsTransport(session=bounded_session(), **connection_options())
    return Pipeline(transport, policies)


def compute(subscription_id: str) -> "ComputeManagementClient":
    """Return the client for virtual machines, scale sets, images and sizes of a subscription."""
    return _client("azure.mgmt.compute.ComputeManagementClient", subscription_id)


def delegations(version: str) -> "ManagedServicesClient":
    """Return the client for the assignments of Lighthouse offers."""
    return _client("azure.mgmt.managedservices.ManagedServicesClient", api_version=version)


def listed(path: str, **query: str) -> ItemPaged[Any]:
    """Return the list at a path of the resource manager, entry by entry as Azure sent it.

    For lists whose client of the SDK is of an older make: its models refuse a whole page for one
    value of another type.
    """

    def get(link: str | None = None) -> PipelineResponse[HttpRequest, HttpResponse]:
        base = settings.AZURE_ARM_BASE_URL
        url = own_url(link, base=base) if link else f"{base}{path}"
        parameters = None if link else query
        headers = {"Accept": "application/json"}
        return resource_manager().run(HttpRequest("GET", url, params=parameters, headers=headers))

    def read(answer: PipelineResponse[HttpRequest, HttpResponse]) -> tuple[Any, Iterator[Any]]:
        page = answer.http_response.json()
        return page.get("nextLink") or None, iter(page["value"])

    return ItemPaged(get, read)


def visible(version: str) -> "SubscriptionClient":
    """Return the client for the list of subscriptions."""
    return _client("azure.mgmt.resource.subscriptions.SubscriptionClient", api_version=version)


def _client(path: str, *arguments: str, **options: str) -> Any:
    return import_string(path)(
        credential(),
        *arguments,
        base_url=settings.AZURE_ARM_BASE_URL,
        pipeline=resource_manager(),
        policies=[],
        **options,
    )


def entries(listing: Callable[[], ItemPaged[Any]]) -> Iterator[Any]:
    """Return the entries of a list one by one, page for page as they come.

    Only its first page can be missing (``NotFoundError``): a later one that is not found is
    a broken list, of whose subject it says nothing. Raises ``AzureBusyError`` or
    ``AzureRefusedError``.
    """
    with errors.translated():
        pages = listing().by_page()
    links: set[str] = set()
    while (page := _next_page(pages, is_first=not links)) is not None:
        yield from page
        link: str | None = pages.continuation_token  # type: ignore[attr-defined]
        if link is None:
            return
        if link == MALFORMED_LINK:
            raise errors.AzureBusyError("MalformedLink", "a page leads to what is no text")
        following = own_url(link, base=settings.AZURE_ARM_BASE_URL)
        if following in links or len(links) + 1 >= MOST_PAGES:
            raise errors.AzureBusyError(
                "EndlessList",
                f"a list does not end: {link[:200]}",
                retry_after=ENDLESS_LIST_SECONDS,
            )
        links.add(following)


def _next_page(pages: Iterator[Iterator[Any]], *, is_first: bool) -> Iterator[Any] | None:
    try:
        with errors.translated():
            return next(pages, None)
    except errors.NotFoundError as error:
        if is_first:
            raise
        raise errors.AzureRefusedError(*error.args, status=error.status) from error


def has_finished(begin: Callable[..., LROPoller[None]]) -> bool:
    """Begin an operation that takes long; tell whether Azure has finished it in the time given.

    Raises ``AzureBusyError`` or ``AzureRefusedError``.
    """
    with errors.translated():
        poller = begin(polling_interval=POLL_SECONDS, answer=Answer.OPERATION)
        poller.wait(OPERATION_SECONDS)
        if poller.done():
            poller.result()
        return poller.done()


def _json_of(response: HttpResponse) -> Any:
    # Whatever an answer says of itself: JSON is UTF-8, with a byte order mark or without.
    response.encoding = "utf-8-sig"
    try:
        return response.json()
    except (ValueError, RecursionError) as error:
        raise errors.AzureBusyError("NoJson", f"{response.url} answered with no JSON") from error


def _check(content: Any, expected: Answer) -> None:
    """Raise unless this is what was asked for. What is no list is never taken for an empty one."""
    if expected == Answer.ARRAY:
        if not isinstance(content, list):
            raise errors.AzureRefusedError("NoList", "what should be a list is none")
        return
    if not isinstance(content, dict) or not isinstance(content.get("value"), list):
        raise errors.AzureBusyError("NoList", "a page of a list has no entries")
    link = content.get("nextLink")
    if link is not None and not isinstance(link, str):
        # What the page has counts all the same; then ``entries`` finds that the list breaks off.
        content["nextLink"] = MALFORMED_LINK
