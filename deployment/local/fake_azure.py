"""A programmable stand-in for Azure's login and its resource manager, as one HTTPS process.

Run as ``python -m deployment.local.fake_azure PORT CERTIFICATE KEY STATE TENANT CLIENT_ID SECRET``.
It answers the requests of spec 06 §3 for the holder of a token that it issued itself, from what is
handed in, and keeps that in the file STATE for whoever is started after it:

``POST /_control``    ``{"subscriptions": {id: {...}}, "images": [...], "sizes": [...],
                      "faults": [...], "page_size": n}``: each part is optional; a subscription
                      replaces the known one of this id (null removes it), the lists grow
``GET /_control``     the subscriptions as they are now
``DELETE /_control``  forget everything but the tokens issued
``DELETE /_control/faults``  forget the faults; answers with them as they are now
``GET /_requests``    the requests received so far, in order

A subscription has the members ``machines`` (virtual machines with their ``instanceView``),
``scale_sets`` (``{"resource_group", "name", "mode", "machines"}``), ``assignments`` (of Lighthouse)
and ``tenant``, all optional. With ``reverse_statuses`` the listing of states comes in another order
than that of the machines; a machine with a member ``_no_status`` is missing there, one with
``_only_status`` is missing in the other. Machines of a scale set of mode ``Flexible`` are refused,
as they are listed with all others. ``images`` are ``{"location", "publisher", "offer", "sku",
"versions"}``, ``sizes`` the entries of the own subscription's SKUs.

A fault is ``{"request": regular expression, "status": 500, "code": text, "retry_after": seconds or
date, "location": URL, "headers": more of them, "hang": seconds, "body": text or JSON, "times":
n}``; it is searched in ``METHOD /path?query``, and all else is optional: without ``status`` the
answer is the true one, without ``times`` the fault holds until the reset.
"""

import json
import re
import ssl
import sys
import threading
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlencode, urlsplit

from deployment.local.ports import LOOPBACK

Json = dict[str, Any]

_DEFAULT_PAGE_SIZE = 50
_TOKEN_PATH = "/oauth2/v2.0/token"  # noqa: S105 - no password
_TOKEN_SECONDS = 3600
_POLL_AFTER_SECONDS = "1"
_TENANT_OF_A_CUSTOMER = "c0ffee00-0000-4000-8000-000000000001"
_FLEXIBLE = "Flexible"
_KEPT = ("subscriptions", "images", "sizes", "faults", "page_size", "operations")


@dataclass(frozen=True)
class Application:
    """Who may log in."""

    tenant: str
    client_id: str
    secret: str


@dataclass
class Answer:
    """What a request is answered with."""

    status: int
    content: Any = None
    headers: tuple[tuple[str, str], ...] = ()

    @classmethod
    def error(cls, status: int, code: str, message: str, *headers: tuple[str, str]) -> "Answer":
        """Make an error as the resource manager words it."""
        return cls(status, {"error": {"code": code, "message": message}}, headers)


class State:
    """What Azure knows; shared by all threads, hence the lock."""

    def __init__(self, file: Path) -> None:
        self.lock = threading.RLock()
        self.tokens: set[str] = set()
        self.reset()
        self._file = file
        if file.exists():
            kept = json.loads(file.read_text())
            self.tokens = set(kept.pop("tokens"))
            vars(self).update(kept)

    def reset(self) -> None:
        """Forget everything but the tokens issued: who is logged in stays so."""
        with self.lock:
            self.subscriptions: dict[str, Json] = {}
            self.images: list[Json] = []
            self.sizes: list[Json] = []
            self.faults: list[Json] = []
            self.page_size = _DEFAULT_PAGE_SIZE
            self.requests: list[Json] = []
            self.operations: dict[str, int] = {}

    def keep(self) -> None:
        """Store what a process must know that is started after this one."""
        with self.lock:
            kept = {name: getattr(self, name) for name in _KEPT} | {"tokens": sorted(self.tokens)}
            written = self._file.with_suffix(".new")
            written.write_text(json.dumps(kept))
            written.replace(self._file)

    def recover(self) -> list[Json]:
        """Forget the faults, and return them with the times that they would still have held."""
        with self.lock:
            faults, self.faults = self.faults, []
        return faults

    def program(self, instructions: Json) -> None:
        """Add what a control request says."""
        with self.lock:
            for identifier, content in instructions.get("subscriptions", {}).items():
                if content is None:
                    self.subscriptions.pop(identifier.lower(), None)
                else:
                    self.subscriptions[identifier.lower()] = content
            self.images += instructions.get("images", [])
            self.sizes += instructions.get("sizes", [])
            self.faults += instructions.get("faults", [])
            self.page_size = instructions.get("page_size", self.page_size)

    def take_fault(self, request: str) -> Json | None:
        """Return the first fault that holds for the request, counting down its times."""
        with self.lock:
            for fault in self.faults:
                if re.search(fault["request"], request) and fault.get("times", 1) > 0:
                    if "times" in fault:
                        fault["times"] -= 1
                    return fault
        return None


class Handler(BaseHTTPRequestHandler):
    """Answers one connection."""

    protocol_version = "HTTP/1.1"
    # Both a long list in one write and no waiting for the acknowledgement of the one before.
    wbufsize = -1
    disable_nagle_algorithm = True

    state: State
    application: Application

    def do_GET(self) -> None:
        """Serve the lists, the record of requests, and what was handed in."""
        if self.path == "/_requests":
            self._send(Answer(HTTPStatus.OK, self.state.requests))
        elif self.path == "/_control":
            self._send(Answer(HTTPStatus.OK, self.state.subscriptions))
        else:
            self._serve()

    def do_POST(self) -> None:
        """Serve the login, and the control requests that add something."""
        if self.path == "/_control":
            self.state.program(json.loads(self._body()))
            self.state.keep()
            self._send(Answer(HTTPStatus.OK, {}))
        else:
            self._serve()

    def do_DELETE(self) -> None:
        """Serve deletions, and the reset."""
        if self.path == "/_control":
            self.state.reset()
            self.state.keep()
            self._send(Answer(HTTPStatus.OK, {}))
        elif self.path == "/_control/faults":
            left = self.state.recover()
            self.state.keep()
            self._send(Answer(HTTPStatus.OK, left))
        else:
            self._serve()

    def _serve(self) -> None:
        body = self._body()
        url = urlsplit(self.path)
        query = {name: values[0] for name, values in parse_qs(url.query).items()}
        with self.state.lock:
            self.state.requests.append(
                {
                    "method": self.command,
                    "host": self.headers["Host"],
                    "path": url.path,
                    "query": query,
                }
            )
        fault = self.state.take_fault(f"{self.command} {unquote(self.path)}")
        if fault is not None:
            time.sleep(fault.get("hang", 0))
            if "status" in fault:
                self._send(_misbehaviour(url.path, fault))
                return
        self._send(self._answer(url.path, query, body))

    def _body(self) -> bytes:
        return self.rfile.read(int(self.headers.get("Content-Length", 0)))

    def _answer(self, path: str, query: dict[str, str], body: bytes) -> Answer:
        if path.endswith("/v2.0/.well-known/openid-configuration"):
            return Answer(HTTPStatus.OK, self._login_endpoints(path.split("/")[1]))
        if path.endswith(_TOKEN_PATH):
            return self._login(path.split("/")[1], parse_qs(body.decode()))
        if self._token() not in self.state.tokens:
            challenge = ("WWW-Authenticate", f'Bearer authorization_uri="{self._origin}"')
            return Answer.error(401, "InvalidAuthenticationToken", "No valid token.", challenge)
        with self.state.lock:
            for method, pattern, serve in _ROUTES:
                match = pattern.fullmatch(unquote(path))
                if match and method == self.command:
                    return serve(Request(self.state, self._origin, path, query), *match.groups())
        return Answer.error(404, "NotFound", f"Nothing is at {path}.")

    @property
    def _origin(self) -> str:
        return f"https://{self.headers['Host']}"

    def _token(self) -> str:
        return self.headers.get("Authorization", "").removeprefix("Bearer ")

    def _login_endpoints(self, tenant: str) -> Json:
        base = f"{self._origin}/{tenant}"
        return {
            "issuer": f"{base}/v2.0",
            "authorization_endpoint": f"{base}/oauth2/v2.0/authorize",
            "token_endpoint": f"{base}/oauth2/v2.0/token",
        }

    def _login(self, tenant: str, form: dict[str, list[str]]) -> Answer:
        presented = Application(
            tenant, form.get("client_id", [""])[0], form.get("client_secret", [""])[0]
        )
        if presented != self.application:
            reason = "AADSTS7000215: Invalid client secret provided."
            return Answer(401, {"error": "invalid_client", "error_description": reason})
        token = uuid.uuid4().hex
        with self.state.lock:
            self.state.tokens.add(token)
            self.state.keep()
        content = {"token_type": "Bearer", "expires_in": _TOKEN_SECONDS, "access_token": token}
        return Answer(HTTPStatus.OK, content)

    def _send(self, answer: Answer) -> None:
        body = _body(answer.content)
        self.send_response(answer.status)
        for name, value in answer.headers:
            self.send_header(name, value)
        self.send_header("Content-Type", "application/json; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
        self.wfile.flush()


def _body(content: Any) -> bytes:
    """Return JSON, but nothing as nothing and a text as it is."""
    if content is None:
        return b""
    return (content if isinstance(content, str) else json.dumps(content)).encode()


def _misbehaviour(path: str, fault: Json) -> Answer:
    named = {"retry_after": "Retry-After", "location": "Location"}
    headers = [(name, str(fault[member])) for member, name in named.items() if member in fault]
    headers += fault.get("headers", {}).items()
    status, code = fault["status"], fault.get("code", "Fault")
    if "body" in fault:
        return Answer(status, fault["body"], tuple(headers))
    if path.endswith(_TOKEN_PATH):
        content = {"error": code, "error_description": "A fault."}
        return Answer(status, content, tuple(headers))
    return Answer.error(status, code, "A fault.", *headers)


@dataclass(frozen=True)
class Request:
    """An authenticated request."""

    state: State
    origin: str
    path: str
    query: dict[str, str]

    def page(self, entries: list[Any], show: Callable[[Json], Json] | None = None) -> Answer:
        """Answer with one page of a list, in the form to be shown, and the link to the next."""
        start = int(self.query.get("$skiptoken", "0"))
        end = start + self.state.page_size
        shown = entries[start:end]
        content: Json = {"value": [show(entry) for entry in shown] if show else shown}
        if end < len(entries):
            following = urlencode(self.query | {"$skiptoken": str(end)})
            content["nextLink"] = f"{self.origin}{self.path}?{following}"
        return Answer(HTTPStatus.OK, content)

    def subscription(self, identifier: str) -> Json | None:
        """Find a subscription that is delegated to us."""
        return self.state.subscriptions.get(identifier.lower())


def _unknown_subscription(identifier: str) -> Answer:
    message = f"The subscription '{identifier}' could not be found."
    return Answer.error(404, "SubscriptionNotFound", message)


def _list_subscriptions(request: Request) -> Answer:
    return request.page(
        [
            {
                "id": f"/subscriptions/{identifier}",
                "subscriptionId": identifier,
                "tenantId": subscription.get("tenant", _TENANT_OF_A_CUSTOMER),
                "state": "Enabled",
            }
            for identifier, subscription in request.state.subscriptions.items()
        ]
    )


def _list_machines(request: Request, identifier: str) -> Answer:
    subscription = request.subscription(identifier)
    if subscription is None:
        return _unknown_subscription(identifier)
    machines = subscription.get("machines", [])
    if request.query.get("statusOnly") != "true":
        listed = [machine for machine in machines if not machine.get("_only_status")]
        return request.page(listed, _without_status)
    telling = [machine for machine in machines if not machine.get("_no_status")]
    if subscription.get("reverse_statuses"):
        telling.reverse()
    return request.page(telling, _only_status)


def _without_status(machine: Json) -> Json:
    properties = machine.get("properties", {})
    shown = {name: value for name, value in properties.items() if name != "instanceView"}
    public = {name: value for name, value in machine.items() if not name.startswith("_")}
    return public | {"properties": shown}


def _only_status(machine: Json) -> Json:
    view = machine.get("properties", {}).get("instanceView", {})
    shown = {name: machine[name] for name in ("id", "name", "location") if name in machine}
    return shown | {"properties": {"instanceView": view}}


def _list_scale_sets(request: Request, identifier: str) -> Answer:
    subscription = request.subscription(identifier)
    if subscription is None:
        return _unknown_subscription(identifier)
    entries = [
        {
            "id": f"/subscriptions/{identifier}/resourceGroups/{scale_set['resource_group']}"
            f"/providers/Microsoft.Compute/virtualMachineScaleSets/{scale_set['name']}",
            "name": scale_set["name"],
            "properties": {"orchestrationMode": scale_set.get("mode", "Uniform")},
        }
        for scale_set in subscription.get("scale_sets", [])
    ]
    return request.page(entries)


def _list_scale_set_machines(request: Request, identifier: str, group: str, name: str) -> Answer:
    wanted = (group.lower(), name.lower())
    for scale_set in (request.subscription(identifier) or {}).get("scale_sets", []):
        if (scale_set["resource_group"].lower(), scale_set["name"].lower()) == wanted:
            if scale_set.get("mode") == _FLEXIBLE:
                message = f"The list of machines is not allowed on scale set '{name}'."
                return Answer.error(400, "BadRequest", message)
            expanded = request.query.get("$expand") == "instanceView"
            return request.page(scale_set["machines"], None if expanded else _without_status)
    return Answer.error(404, "ResourceNotFound", f"There is no scale set {name}.")


def _list_image_versions(request: Request, identifier: str, *wanted: str) -> Answer:
    if request.subscription(identifier) is None:
        return _unknown_subscription(identifier)
    for image in request.state.images:
        own = (image["location"], image["publisher"], image["offer"], image["sku"])
        if [part.lower() for part in own] == [part.lower() for part in wanted]:
            return Answer(HTTPStatus.OK, image["versions"])
    return Answer.error(404, "NotFound", "There is no such image.")


def _list_sizes(request: Request, identifier: str) -> Answer:
    return request.page(request.state.sizes)


def _list_assignments(request: Request, identifier: str) -> Answer:
    subscription = request.subscription(identifier)
    if subscription is None:
        return _unknown_subscription(identifier)
    return request.page(subscription.get("assignments", []))


def _delete_assignment(request: Request, identifier: str, name: str) -> Answer:
    subscription = request.subscription(identifier)
    if subscription is None:
        return _unknown_subscription(identifier)
    assignments = subscription.get("assignments", [])
    subscription["assignments"] = [one for one in assignments if one["name"] != name]
    operation = uuid.uuid4().hex
    request.state.operations[operation] = 1
    request.state.keep()
    location = f"{request.origin}/subscriptions/{identifier}/operations/{operation}?api-version=1"
    return Answer(202, None, (("Location", location), ("Retry-After", _POLL_AFTER_SECONDS)))


def _poll_operation(request: Request, identifier: str, operation: str) -> Answer:
    """Say that the operation goes on, then that it is done."""
    if request.state.operations.get(operation, 0) > 0:
        request.state.operations[operation] -= 1
        return Answer(202, None, (("Retry-After", _POLL_AFTER_SECONDS),))
    return Answer(204)


def _route(method: str, path: str, serve: Callable[..., Answer]) -> tuple[str, Any, Any]:
    pattern = re.sub(r"\{\w+\}", "([^/]+)", path.replace(".", r"\."))
    return method, re.compile(pattern, re.IGNORECASE), serve


_COMPUTE = "/subscriptions/{sub}/providers/Microsoft.Compute"
_ASSIGNMENTS = "/subscriptions/{sub}/providers/Microsoft.ManagedServices/registrationAssignments"
_ROUTES = (
    _route("GET", "/subscriptions", _list_subscriptions),
    _route("GET", f"{_COMPUTE}/virtualMachines", _list_machines),
    _route("GET", f"{_COMPUTE}/virtualMachineScaleSets", _list_scale_sets),
    _route(
        "GET",
        "/subscriptions/{sub}/resourceGroups/{group}/providers/Microsoft.Compute"
        "/virtualMachineScaleSets/{name}/virtualMachines",
        _list_scale_set_machines,
    ),
    _route(
        "GET",
        f"{_COMPUTE}/locations/{{location}}/publishers/{{publisher}}/artifacttypes/vmimage"
        "/offers/{offer}/skus/{sku}/versions",
        _list_image_versions,
    ),
    _route("GET", f"{_COMPUTE}/skus", _list_sizes),
    _route("GET", _ASSIGNMENTS, _list_assignments),
    _route("DELETE", f"{_ASSIGNMENTS}/{{name}}", _delete_assignment),
    _route("GET", "/subscriptions/{sub}/operations/{id}", _poll_operation),
)


def serve(port: int, certificate: str, key: str, file: Path, application: Application) -> None:
    """Serve until the process is stopped."""
    members = {"state": State(file), "application": application}
    handler = type("BoundHandler", (Handler,), members)
    server = ThreadingHTTPServer((LOOPBACK, port), handler)
    server.daemon_threads = True
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    # The handshake is left to each connection's own thread, so that a client which does not
    # finish it keeps nobody waiting.
    server.socket = context.wrap_socket(
        server.socket, server_side=True, do_handshake_on_connect=False
    )
    server.serve_forever()


if __name__ == "__main__":
    application = Application(*sys.argv[5:8])
    serve(int(sys.argv[1]), sys.argv[2], sys.argv[3], Path(sys.argv[4]), application)
