"""The fake Azure and its remote control."""

import sys
from typing import Any

import requests

from deployment.local.certificate import write_certificate
from deployment.local.http import RemoteControl, local_session
from deployment.local.ports import LOOPBACK
from deployment.local.service import Service, Surroundings

TENANT_ID = "2f7a5b8e-6c1d-4e0f-9a3b-7d8c9e0f1a2b"
CLIENT_ID = "local-client-id"
CLIENT_SECRET = "local-client-secret"  # noqa: S105 - known to the fake alone
SP_OBJECT_ID = "local-sp-object-id"
OWN_SUBSCRIPTION_ID = "00000000-0000-4000-8000-000000000001"

_SECONDS_TO_START = 20.0

Json = dict[str, Any]


class Azure(Service):
    """The fake login and resource manager of Azure.

    Azure's SDK sends its tokens over HTTPS only; so the server has a certificate of its own. Its
    place is known from the beginning; it exists while the server does.
    """

    name = "azure"
    title = "Azure"
    configured_by = ("AZURE_ARM_BASE_URL", "AZURE_AUTHORITY_HOST")

    def __init__(self, surroundings: Surroundings) -> None:
        super().__init__(surroundings)
        self.certificate = surroundings.scratch / self.name / "certificate.pem"

    @property
    def env(self) -> dict[str, str]:
        """The product's environment variables that point to this service."""
        return {
            "AZURE_ARM_BASE_URL": self.address,
            "AZURE_AUTHORITY_HOST": self.address,
            "AZURE_CA_BUNDLE": str(self.certificate),
            "AZURE_TENANT_ID": TENANT_ID,
            "AZURE_CLIENT_ID": CLIENT_ID,
            "AZURE_CLIENT_SECRET": CLIENT_SECRET,
            "AZURE_SP_OBJECT_ID": SP_OBJECT_ID,
            "AZURE_SUBSCRIPTION_ID": OWN_SUBSCRIPTION_ID,
        }

    @property
    def address(self) -> str:
        """The base URL of login and resource manager."""
        return f"https://{LOOPBACK}:{self.port}"

    def launch(self) -> None:
        """Start the server."""
        folder = self.surroundings.folder(self.name)
        key, state = folder / "key.pem", folder / "state.json"
        write_certificate(self.certificate, key)
        command = [sys.executable, "-m", "deployment.local.fake_azure", str(self.port)]
        self.run([*command, self.certificate, key, state, TENANT_ID, CLIENT_ID, CLIENT_SECRET])

    def wait_until_ready(self) -> None:
        """Wait until the server answers."""
        assert self.process is not None
        self.process.wait_until(self._answers, timeout=_SECONDS_TO_START)

    def _answers(self) -> bool:
        try:
            url = f"{self.address}/_requests"
            with local_session() as session:
                return session.get(url, verify=str(self.certificate), timeout=5).ok
        except requests.RequestException:
            return False


class AzureControl(RemoteControl):
    """Hands resources and faults to a fake Azure, and asks what it was asked.

    ``deployment.local.azure_resources`` makes the resources.
    """

    def reset(self) -> None:
        """Forget all resources, faults and recorded requests."""
        self.call("DELETE", "/_control")

    def delegate(self, subscription_id: object, **resources: Any) -> None:
        """Let us see this subscription with these resources, in place of the former ones.

        ``resources`` are ``machines``, ``scale_sets``, ``assignments``, ``tenant`` and
        ``reverse_statuses``.
        """
        self.call("POST", "/_control", {"subscriptions": {str(subscription_id): resources}})

    def withdraw(self, subscription_id: object) -> None:
        """Hide this subscription from us."""
        self.call("POST", "/_control", {"subscriptions": {str(subscription_id): None}})

    def delegated(self) -> dict[str, Json]:
        """Return the subscriptions that we see, with their resources as they are now."""
        subscriptions: dict[str, Json] = self.call("GET", "/_control")
        return subscriptions

    def add_images(self, *images: Json) -> None:
        """Publish images of the marketplace."""
        self.call("POST", "/_control", {"images": list(images)})

    def add_sizes(self, *sizes: Json) -> None:
        """Offer sizes of machines, and other SKUs, to our own subscription."""
        self.call("POST", "/_control", {"sizes": list(sizes)})

    def set_page_size(self, entries: int) -> None:
        """Answer lists with this many entries a page."""
        self.call("POST", "/_control", {"page_size": entries})

    def fail(self, request: str, **fault: Any) -> None:
        """Misbehave for requests whose ``METHOD /path?query`` this regular expression is found in.

        ``fault`` may have ``status``, ``code``, ``body``, ``retry_after``, ``location``,
        ``headers``, ``hang`` (in seconds) and ``times``; without the latter it holds until the
        next reset.
        """
        self.call("POST", "/_control", {"faults": [{"request": request, **fault}]})

    def recover(self) -> list[Json]:
        """Misbehave no more; return the faults with the ``times`` that they still had."""
        left: list[Json] = self.call("DELETE", "/_control/faults")
        return left

    def requests(self) -> list[Json]:
        """Return the product's requests so far, in order: method, host, path and query."""
        recorded: list[Json] = self.call("GET", "/_requests")
        return recorded
