"""Tasks that make and delete make-believe customers (spec 07 §12.3, §12.5)."""

from api.synthetic import requests, steps
from util.tasks import LONG, parse_date, task


@task("api.tasks.synthesize_user")
def synthesize_user(request_id: int | None) -> int | None:
    """Make the request's customer."""
    return steps.make_user(request_id=request_id)


@task("api.tasks.synthesize_cloud_accounts", limit=LONG)
def synthesize_cloud_accounts(request_id: int | None) -> int | None:
    """Make the request's accounts."""
    return steps.make_accounts(request_id=request_id)


@task("api.tasks.synthesize_images", limit=LONG)
def synthesize_images(request_id: int | None) -> int | None:
    """Make the request's images."""
    return steps.make_images(request_id=request_id)


@task("api.tasks.synthesize_instances", limit=LONG)
def synthesize_instances(request_id: int | None) -> int | None:
    """Make the request's instances."""
    return steps.make_instances(request_id=request_id)


@task("api.tasks.synthesize_instance_events", limit=LONG)
def synthesize_instance_events(request_id: int | None) -> int | None:
    """Switch the request's instances on and off."""
    return steps.make_events(request_id=request_id)


@task("api.tasks.synthesize_runs_and_usage", limit=LONG)
def synthesize_runs_and_usage(request_id: int | None) -> int | None:
    """Calculate the runs and the usage of the request's customer."""
    return steps.make_runs_and_usage(request_id=request_id)


@task("api.tasks.synthesize_concurrent_usage", limit=LONG)
def synthesize_concurrent_usage(__: object, user_id: int, on_date: str) -> None:
    """Calculate one day of one customer; the first argument does not matter."""
    day = parse_date(on_date)
    if day is not None:
        steps.make_usage_on(user_id=user_id, day=day)


@task("api.tasks.delete_expired_synthetic_data", limit=LONG)
def delete_expired_synthetic_data() -> None:
    """Delete the requests whose time is over."""
    requests.delete_expired_requests()
