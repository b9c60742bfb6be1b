"""The fake AWS under control: make it refuse calls, and ask which calls it got.

``GET /_control/calls``       every call so far, in order: service, action, account, region, dry_run
``POST /_control/faults``     ``{"service": "ec2", "action": "DescribeRegions", "code": "...",
                              "message": "...", "account": "...", "times": n}``; all but service,
                              action and code are optional
``POST /_control/holds``      ``{"service": "ebs", "action": "GetSnapshotBlock", "after": n}``: let
                              n calls through, and those after wait until holds are forgotten
``DELETE /_control/faults``   forget faults and holds alone
``GET /_control/refused``     how many calls were refused, by code
``POST /_control/corruptions``  damage answers about a block of a snapshot: see ``blocks``
``POST /_control/reset``      forget faults, holds, corruptions and calls

Calls of S3 are neither recorded nor refused: moto treats them in a way of their own.
"""

import json
import threading
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import partial
from http import HTTPStatus
from typing import Any, NoReturn

from moto.core.responses import BaseResponse
from moto.core.utils import camelcase_to_underscores
from moto.moto_server.werkzeug_app import DomainDispatcherApplication
from werkzeug import Request, Response

from deployment.local.fake_aws.blocks import corrupt, forget_corruptions
from deployment.local.fake_aws.extend import replaces
from deployment.local.fake_aws.refusal import Refusal

_PREFIX = "/_control/"

Fault = dict[str, Any]
Call = dict[str, Any]


@dataclass
class _Hold:
    """Calls that wait, once so many of them have been let through."""

    concerns: Fault
    let_through: int
    ended: threading.Event = field(default_factory=threading.Event)


_lock = threading.Lock()
_faults: list[Fault] = []
_holds: list[_Hold] = []
_calls: list[Call] = []
_refused: Counter[str] = Counter()


@replaces(BaseResponse, "call_action")
def call_action(original: Any, self: Any) -> Any:
    """Record the call, then hold it, refuse it or let moto answer it."""
    call = {
        "service": self.service_name,
        "action": self._get_action(),
        "account": self.current_account,
        "region": self.region,
        "dry_run": self.querystring.get("DryRun", ["false"])[0] == "true",
    }
    fault, hold = _take_fault(call), _take_hold(call)
    if hold is not None:
        hold.ended.wait()
    if fault is not None:
        # The object lives for this one request, and its own attribute hides the class's method.
        setattr(self, camelcase_to_underscores(call["action"]), partial(_refuse, fault))
    return original(self)


def _refuse(fault: Fault) -> NoReturn:
    raise Refusal(fault["code"], fault.get("message", "refused by the fake AWS"))


def _take_fault(call: Call) -> Fault | None:
    """Remember the call; return the first fault that holds for it, counting down its times."""
    with _lock:
        _calls.append(call)
        for fault in _faults:
            if _concerns(fault, call) and fault.get("times", 1) > 0:
                if "times" in fault:
                    fault["times"] -= 1
                _refused[fault["code"]] += 1
                return fault
    return None


def _take_hold(call: Call) -> _Hold | None:
    """Return the hold that stops this call, counting those that it lets through."""
    with _lock:
        for hold in _holds:
            if _concerns(hold.concerns, call):
                if hold.let_through <= 0:
                    return hold
                hold.let_through -= 1
    return None


def _forget_holds() -> None:
    for hold in _holds:
        hold.ended.set()
    _holds.clear()


def _concerns(fault: Fault, call: Call) -> bool:
    return all(fault.get(key, call[key]) == call[key] for key in ("service", "action", "account"))


@replaces(DomainDispatcherApplication, "__call__")
def dispatch(
    original: Any, self: Any, environ: dict[str, Any], start_response: Any
) -> Iterable[bytes]:
    """Serve the control requests in front of all hosts and services."""
    if environ["PATH_INFO"].startswith(_PREFIX):
        return _control(Request(environ))(environ, start_response)
    answer: Iterable[bytes] = original(self, environ, start_response)
    return answer


def _control(request: Request) -> Response:
    with _lock:
        match request.method, request.path.removeprefix(_PREFIX):
            case "GET", "calls":
                return Response(json.dumps(_calls), mimetype="application/json")
            case "GET", "refused":
                return Response(json.dumps(_refused), mimetype="application/json")
            case "POST", "faults":
                _faults.append(json.loads(request.get_data()))
            case "POST", "holds":
                concerns = json.loads(request.get_data())
                _holds.append(_Hold(concerns, concerns.pop("after", 0)))
            case "DELETE", "faults":
                _faults.clear()
                _forget_holds()
            case "POST", "corruptions":
                corrupt(json.loads(request.get_data()))
            case "POST", "reset":
                forget_corruptions()
                _faults.clear()
                _forget_holds()
                _calls.clear()
                _refused.clear()
            case _:
                return Response(status=HTTPStatus.NOT_FOUND)
    return Response(status=HTTPStatus.NO_CONTENT)
