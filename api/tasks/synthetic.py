"""Tasks that make and delete make-believe customers (spec 07 §12.3, §12.5)."""

from api.metering import synthesize, synthetic_requests
from util.tasks import LONG, parse_date, task


@task("api.tasks.synthesize_user")
def synthesize_user(request_id: int | None) -> int | None:
    """Make the request's customer."""
    return synthesize.make_user(request_id=request_id)


@task("api.tasks.synthesize_cloud_accounts", limit=LONG)
def synthesize_cloud_accounts(request_id: int | None) -> int | None:
    """Make the request's accounts."""
    return synthesize.make_accounts(request_id=request_id)


@task("api.tasks.synthesize_images", limit=LONG)
def synthesize_images(request_id: int | None) -> int | None:
    """Make the request's images."""
    return synthesize.make_images(request_id=request_id)


@task("api.tasks.synthesize_instances", limit=LONG)
def synthesize_instances(request_id: int | None) -> int | None:
    """Make the request's instances."""
    return synthesize.make_instances(request_id=request_id)


@task("api.tasks.synthesize_instance_events", limit=LONG)
def synthesize_instance_events(request_id: int | None) -> int | None:
    """Switch the request's instances on and off."""
    return synthesize.make_events(request_id=request_id)


@task("api.tasks.synthesize_runs_and_usage", limit=LONG)
def synthesize_runs_and_usage(request_id: int | None) -> int | None:
    """Calculate the runs and the usage of the request's customer."""
    return synthesize.make_runs_and_usage(request_id=request_id)


@task("api.tasks.synthesize_concurrent_usage", limit=LONG)
def synthesize_concurrent_usage(__: object, user_id: int, on_date: str) -> None:
    """Calculate one day of one customer; the first argument does not matter."""
    day = parse_date(on_date)
    if day is not None:
        synthesize.make_usage_on(user_id=user_id, day=day)


@task("api.tasks.delete_expired_synthetic_data", limit=LONG)
def delete_expired_synthetic_data() -> None:
    """Delete the requests whose time is over."""
    synthetic_requests.delete_expired_requests()
