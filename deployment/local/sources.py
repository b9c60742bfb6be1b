"""The fake sources service and the remote control for it."""

import sys

from deployment.local.fake_sources import Record
from deployment.local.http import RemoteControl
from deployment.local.ports import LOOPBACK, is_listening
from deployment.local.service import Service

APPLICATION_TYPE_NAME = "/insights/platform/cloud-meter"

_SECONDS_TO_START = 20.0


class Sources(Service):
    """The fake sources service."""

    name = "sources"
    title = "Sources API"
    configured_by = ("SOURCES_API_BASE_URL",)

    @property
    def env(self) -> dict[str, str]:
        """The product's environment variables that point to this service."""
        return {"SOURCES_API_BASE_URL": self.address, "SOURCES_PSK": "local-sources-psk"}

    @property
    def address(self) -> str:
        """The base URL."""
        return f"http://{LOOPBACK}:{self.port}"

    def launch(self) -> None:
        """Start the service."""
        self.run([sys.executable, "-m", "deployment.local.fake_sources", str(self.port)])

    def wait_until_ready(self) -> None:
        """Wait until the service accepts connections."""
        assert self.process is not None
        self.process.wait_until(lambda: is_listening(self.port), timeout=_SECONDS_TO_START)


class SourcesControl(RemoteControl):
    """Hands records and faults to a fake sources service, and asks what it was asked."""

    def reset(self) -> None:
        """Forget all records, faults and recorded requests."""
        self.call("DELETE", "/_control")

    def require_psk(self, psk: str) -> None:
        """Answer 401 to every request with another pre-shared key."""
        self.call("POST", "/_control", {"psk": psk})

    def add(self, kind: str, *records: Record) -> None:
        """Add records of one kind: ``authentications``, ``applications``, ``sources`` and so on."""
        self.call("POST", "/_control", {"records": {kind: list(records)}})

    def remove(self, kind: str, *identifiers: int | str) -> None:
        """Remove records of one kind."""
        self.call("POST", "/_control", {"remove": {kind: list(identifiers)}})

    def add_customer_application(
        self,
        *,
        authentication_id: int,
        application_id: int,
        source_id: int,
        username: str,
        authtype: str = "cloud-meter-arn",
        application_type_id: int = 5,
        tenant: Record | None = None,
    ) -> None:
        """Add everything that belongs to one customer's source with our application.

        ``username`` holds the ARN of an AWS role or an Azure subscription id, by ``authtype``.
        ``tenant`` (``account_number`` and ``org_id``) restricts who may see it.
        """
        own: Record = {"_tenant": tenant} if tenant else {}
        application_type = {"id": str(application_type_id), "name": APPLICATION_TYPE_NAME}
        authentication = {
            "id": str(authentication_id),
            "authtype": authtype,
            "resource_type": "Application",
            "resource_id": str(application_id),
            "username": username,
        }
        application = {
            "id": str(application_id),
            "application_type_id": str(application_type_id),
            "source_id": str(source_id),
        }
        link = {
            "id": str(authentication_id),
            "application_id": str(application_id),
            "authentication_id": str(authentication_id),
        }
        records = {
            "application_types": [application_type],
            "sources": [{"id": str(source_id), "name": f"source {source_id}", **own}],
            "applications": [application | own],
            "authentications": [authentication | own],
            "application_authentications": [link | own],
        }
        self.call("POST", "/_control", {"records": records})

    def fail(
        self,
        path: str,
        *,
        status: int = 200,
        body: str = "",
        hang: float = 0.0,
        times: int | None = None,
    ) -> None:
        """Misbehave for requests whose path begins with ``path``.

        ``hang`` is in seconds; without ``times`` the fault holds until the next reset.
        """
        fault: Record = {"path": path, "status": status, "body": body, "hang": hang}
        if times is not None:
            fault["times"] = times
        self.call("POST", "/_control", {"faults": [fault]})

    def received(self) -> list[Record]:
        """Return the requests of the product so far, in order: path, query, telling headers."""
        recorded: list[Record] = self.call("GET", "/_requests")
        return recorded
