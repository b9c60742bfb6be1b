"""A programmable stand-in for the platform's sources service, as one process.

Run as ``python -m deployment.local.fake_sources PORT``. It answers the five requests that the
product makes (spec 03 §4) from records that a test or the demo hands in:

``POST /_control``    ``{"psk": ..., "records": {kind: [record, ...]}, "faults": [...]}``; each part
                      is optional, records and faults are added to those known, by id
``DELETE /_control``  forget all records, faults and recorded requests
``GET /_requests``    the requests received, in order

A record with a member ``_tenant`` is found only by requests with these tenant headers. A fault is
``{"path": prefix, "status": 500, "hang": seconds, "body": text, "times": n}``: all but the path is
optional, without ``times`` it holds until the next reset, without ``status`` the answer is a 200.
"""

import json
import re
import sys
import threading
import time
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

from deployment.local.ports import LOOPBACK

Record = dict[str, Any]

_INTERNAL_PREFIX = "/internal/v1.0/"
_PUBLIC_PREFIX = "/api/sources/v3.0/"
_DEFAULT_PAGE_SIZE = 100

_PSK_HEADER = "x-rh-sources-psk"
_TENANT_HEADERS = {
    "account_number": "x-rh-sources-account-number",
    "org_id": "x-rh-sources-org-id",
}
_RECORDED_HEADERS = (*_TENANT_HEADERS.values(), _PSK_HEADER, "x-rh-identity")


class State:
    """What the service knows; shared by all its threads, hence the lock."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.reset()

    def reset(self) -> None:
        """Forget everything."""
        with self._lock:
            self.psk: str | None = None
            self.requests: list[Record] = []
            self._records: dict[str, dict[str, Record]] = {}
            self._faults: list[Record] = []

    def program(self, instructions: Record) -> None:
        """Add what a control request says."""
        with self._lock:
            self.psk = instructions.get("psk", self.psk)
            for kind, records in instructions.get("records", {}).items():
                known = self._records.setdefault(kind, {})
                for record in records:
                    known[str(record["id"])] = record
            for kind, identifiers in instructions.get("remove", {}).items():
                for identifier in identifiers:
                    self._records.get(kind, {}).pop(str(identifier), None)
            self._faults += [dict(fault) for fault in instructions.get("faults", [])]

    def record_request(self, request: Record) -> None:
        """Remember a request of the product."""
        with self._lock:
            self.requests.append(request)

    def take_fault(self, path: str) -> Record | None:
        """Return the first fault that holds for the path, counting down its times."""
        with self._lock:
            for fault in self._faults:
                if path.startswith(fault["path"]) and fault.get("times", 1) > 0:
                    if "times" in fault:
                        fault["times"] -= 1
                    return fault
        return None

    def find(self, kind: str, tenant: Record) -> list[Record]:
        """Return the records of a kind that the tenant may see, in the order of their coming."""
        with self._lock:
            return [
                {name: value for name, value in record.items() if name != "_tenant"}
                for record in self._records.get(kind, {}).values()
                if _belongs_to(record, tenant)
            ]


def _belongs_to(record: Record, tenant: Record) -> bool:
    return all(tenant.get(name) == value for name, value in record.get("_tenant", {}).items())


class Handler(BaseHTTPRequestHandler):
    """Answers one connection."""

    protocol_version = "HTTP/1.1"
    # Headers and body are written apart: without this each answer waits 40 ms for the client.
    disable_nagle_algorithm = True
    state: State

    def do_POST(self) -> None:
        """Serve the control requests that add something."""
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if self.path != "/_control":
            self._answer(HTTPStatus.NOT_FOUND, _not_found(self.path))
            return
        self.state.program(json.loads(body))
        self._answer(HTTPStatus.OK, {})

    def do_DELETE(self) -> None:
        """Serve the reset."""
        self.state.reset()
        self._answer(HTTPStatus.OK, {})

    def do_GET(self) -> None:
        """Serve the product's requests, and the list of those."""
        if self.path == "/_requests":
            self._answer(HTTPStatus.OK, self.state.requests)
            return
        url = urlsplit(self.path)
        query = parse_qs(url.query)
        self.state.record_request(
            {
                "path": url.path,
                "query": query,
                "headers": {
                    name: self.headers[name] for name in _RECORDED_HEADERS if name in self.headers
                },
            }
        )
        if (fault := self.state.take_fault(url.path)) is not None:
            self._misbehave(fault)
        elif self.state.psk is not None and self.headers.get(_PSK_HEADER) != self.state.psk:
            self._answer(HTTPStatus.UNAUTHORIZED, _errors(401, "Unauthorized"))
        else:
            self._answer(*self._look_up(url.path, query))

    def _misbehave(self, fault: Record) -> None:
        time.sleep(fault.get("hang", 0))
        self._send(fault.get("status", HTTPStatus.OK), fault.get("body", "").encode())

    def _look_up(self, path: str, query: dict[str, list[str]]) -> tuple[int, Any]:
        tenant = {name: self.headers.get(header) for name, header in _TENANT_HEADERS.items()}
        if match := re.fullmatch(f"{_INTERNAL_PREFIX}(authentications)/([^/]+)", path):
            exposed = query.get("expose_encrypted_attribute[]", [])
            return self._one(tenant, *match.groups(), hidden={"password"} - set(exposed))
        if match := re.fullmatch(f"{_PUBLIC_PREFIX}([a-z_]+)/([^/]+)", path):
            return self._one(tenant, *match.groups(), hidden={"password"})
        if match := re.fullmatch(f"{_PUBLIC_PREFIX}([a-z_]+)", path):
            return HTTPStatus.OK, _page(self.state.find(match[1], tenant), path, query)
        return HTTPStatus.NOT_FOUND, _not_found(path)

    def _one(
        self, tenant: Record, kind: str, identifier: str, *, hidden: set[str]
    ) -> tuple[int, Any]:
        for record in self.state.find(kind, tenant):
            if str(record["id"]) == identifier:
                return HTTPStatus.OK, {k: v for k, v in record.items() if k not in hidden}
        return HTTPStatus.NOT_FOUND, _not_found(kind)

    def _answer(self, status: int, content: Any) -> None:
        self._send(status, json.dumps(content).encode())

    def _send(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


def _page(records: list[Record], path: str, query: dict[str, list[str]]) -> Record:
    """Filter records and cut out one page, as the sources service renders its lists."""
    for name, values in query.items():
        if match := re.fullmatch(r"filter\[(\w+)\]", name):
            records = [item for item in records if str(item.get(match[1])) == values[0]]
    limit = int(query.get("limit", [str(_DEFAULT_PAGE_SIZE)])[0])
    offset = int(query.get("offset", ["0"])[0])
    links = {"first": f"{path}?limit={limit}&offset=0"}
    if offset + limit < len(records):
        links["next"] = f"{path}?limit={limit}&offset={offset + limit}"
    return {
        "meta": {"count": len(records), "limit": limit, "offset": offset},
        "links": links,
        "data": records[offset : offset + limit],
    }


def _not_found(what: str) -> Record:
    return _errors(404, f"Record not found: {what}")


def _errors(status: int, detail: str) -> Record:
    return {"errors": [{"detail": detail, "status": str(status)}]}


def serve(port: int) -> None:
    """Serve until the process is stopped."""
    handler = type("BoundHandler", (Handler,), {"state": State()})
    server = ThreadingHTTPServer((LOOPBACK, port), handler)
    server.daemon_threads = True
    server.serve_forever()


if __name__ == "__main__":
    serve(int(sys.argv[1]))
