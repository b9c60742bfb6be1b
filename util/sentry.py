"""Sentry: what is sent, and how often (spec 08 §6.7, §9)."""

import logging
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from importlib import import_module
from typing import TYPE_CHECKING, Any

from django.urls import NoReverseMatch, reverse

from util.redaction import MASK, redact_all

if TYPE_CHECKING:
    from sentry_sdk.integrations import Integration
    from sentry_sdk.transport import Transport

logger = logging.getLogger(__name__)

SECRET_HEADERS = frozenset(
    {"x-rh-identity", "x-rh-internal-fake-identity", "x-rh-cloudigrade-psk", "authorization"}
)

Sampler = Callable[[dict[str, Any]], float]


def parse_rates(variable: str, rates: Mapping[str, Any]) -> dict[str, float]:
    """Return sampling rates as numbers; numeric text is taken too.

    Raises ValueError, naming the variable and the entry, for anything that is not between 0 and 1.
    """
    parsed = {}
    for name, rate in rates.items():
        try:
            parsed[name] = float(rate)
        except (TypeError, ValueError):
            parsed[name] = -1.0
        if isinstance(rate, bool) or not 0 <= parsed[name] <= 1:
            raise ValueError(f"{variable}: the rate of {name} is not a number between 0 and 1")
    return parsed


def task_sampler(rates: Mapping[str, float], default: float) -> Sampler:
    """Return a sampler that goes by the exact name of the Celery task."""

    def sample(context: dict[str, Any]) -> float:
        job = context.get("celery_job") or {}
        return rates.get(job.get("task", ""), default)

    return sample


def view_sampler(rates: Mapping[str, float], default: float) -> Sampler:
    """Return a sampler that goes by the request's path, a trailing slash ignored.

    The named views' paths are looked up at the first request; unknown names are ignored with one
    warning.
    """

    @cache
    def rate_by_path() -> dict[str, float]:
        paths: dict[str, float] = {}
        for name, rate in rates.items():
            try:
                paths.setdefault(reverse(name).rstrip("/"), rate)
            except NoReverseMatch:
                logger.warning("Sentry's sampling rates name an unknown view: %s", name)
        return paths

    def sample(context: dict[str, Any]) -> float:
        path = (context.get("wsgi_environ") or {}).get("PATH_INFO") or ""
        return rate_by_path().get(path.rstrip("/"), default) if path else default

    return sample


def without_secrets(event: dict[str, Any], _hint: dict[str, Any]) -> dict[str, Any]:
    """Return an event without local variables, a request's body, cookies, and secrets.

    Headers that hold identities and keys are masked by their names, everything else by what it
    looks like (``util.redaction``).
    """
    request = event.get("request") or {}
    request.pop("data", None)
    request.pop("cookies", None)
    headers = request.get("headers") or {}
    for name in headers:
        if name.lower() in SECRET_HEADERS:
            headers[name] = MASK
    for frame in _frames(event):
        frame.pop("vars", None)
    return redact_all(event)


def _frames(event: dict[str, Any]) -> Iterator[dict[str, Any]]:
    stacks = [event.get("stacktrace")]
    for container in ("exception", "threads"):
        values = (event.get(container) or {}).get("values") or []
        stacks += [value.get("stacktrace") for value in values]
    for stack in stacks:
        yield from (stack or {}).get("frames") or []


def set_up(
    *,
    dsn: str,
    environment: str,
    release: str | None,
    sampler: Sampler,
    integrations: "list[Integration]",
    transport: "Transport | None" = None,
) -> None:
    """Start reporting errors and traces, without personal data.

    ``transport`` takes the place of sending over HTTP. The SDK is loaded only where it is used.
    """
    import_module("sentry_sdk").init(
        dsn=dsn,
        environment=environment,
        release=release,
        traces_sampler=sampler,
        integrations=integrations,
        before_send=without_secrets,
        before_send_transaction=without_secrets,
        send_default_pii=False,
        # Local variables hold identities, keys, and answers of clouds.
        include_local_variables=False,
        max_request_body_size="never",
        transport=transport,
    )
