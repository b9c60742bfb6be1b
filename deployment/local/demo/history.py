"""The part of the story that is history: a made-up customer with a month of usage."""

from datetime import UTC, date, datetime, timedelta
from typing import Any

from deployment.local.app import Product
from deployment.local.demo.entry_points import INTERNAL, PUBLIC, Api, identity_of, require, wait_for
from deployment.local.demo.expected_usage import Category, Span, expected_usage

DAYS = 30
INSTANCES = 40

_REQUESTS = f"{INTERNAL}/syntheticdatarequests/"
_SECONDS_TO_BE_READY = 120


def request_history(api: Api) -> int:
    """Ask for a synthetic customer; return the id of the request."""
    wishes = {
        "cloud_type": "aws",
        "since_days_ago": DAYS,
        "instance_count": INSTANCES,
        "run_count_per_instance_mean": 6,
        "hours_per_run_mean": 30,
        "hours_between_runs_mean": 40,
        "image_rhel_chance": 0.8,
    }
    return int(api.post(_REQUESTS, wishes)["id"])


def check_history(api: Api, product: Product, request_id: int) -> dict[date, dict[Category, int]]:
    """Wait for the history, check each day until yesterday against the runs; return its usage."""
    request = wait_for(
        "the history",
        lambda: next((r for r in [api.get(f"{_REQUESTS}{request_id}/")] if r["is_ready"]), None),
        product=product,
        seconds=_SECONDS_TO_BE_READY,
    )
    user = api.get(f"{INTERNAL}/users/{request['user']}/")
    first = datetime.fromisoformat(user["date_joined"]).date()
    yesterday = datetime.now(UTC).date() - timedelta(days=1)
    usage = api.usage(identity_of(org_id=user["org_id"]), first, yesterday)
    spans = _spans_of(api, user["org_id"])
    for day in sorted(usage):
        require(
            usage[day] == expected_usage(spans, day),
            f"the usage of {day} is not what the runs give",
        )
    require(len(usage) == (yesterday - first).days + 1, "days of the history are missing")
    return usage


def _spans_of(api: Api, org_id: str) -> list[Span]:
    images = {
        image["image_id"]: image
        for image in api.all(f"{PUBLIC}/images/", identity=identity_of(org_id=org_id)) or []
    }
    runs = api.all(f"{INTERNAL}/runs/", org_id=org_id) or []
    require(bool(runs), "the history has no runs")
    return [_span(run, images[run["machineimage"]]) for run in runs if _is_rhel(run, images)]


def _is_rhel(run: dict[str, Any], images: dict[int, Any]) -> bool:
    image = images.get(run["machineimage"])
    return image is not None and image["rhel_detected"]


def _span(run: dict[str, Any], image: dict[str, Any]) -> Span:
    purpose = image["syspurpose"] or {}
    return Span(
        start=datetime.fromisoformat(run["start_time"]),
        end=datetime.fromisoformat(run["end_time"]) if run["end_time"] else None,
        arch=image["architecture"] or "",
        role=purpose.get("role") or "",
        sla=purpose.get("service_level_agreement") or "",
        usage=purpose.get("usage") or "",
        service_type=purpose.get("service_type") or "",
    )
