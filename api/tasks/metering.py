"""Tasks that keep runs and usage right (spec 07 §2). Dates are ISO text; none retries by itself."""

from api.metering import problems, recalculate
from util.tasks import LONG, parse_date, parse_datetime, task


@task("api.tasks.recalculate_runs_for_all_cloud_accounts", limit=LONG)
def recalculate_runs_for_all_cloud_accounts(since: str | None = None) -> None:
    """Make the runs of all accounts right that are not synthetic."""
    recalculate.recalculate_runs_of_all_accounts(since=parse_datetime(since))


@task("api.tasks.recalculate_runs_for_cloud_account_id", limit=LONG)
def recalculate_runs_for_cloud_account_id(cloud_account_id: int, since: str | None = None) -> None:
    """Make the runs of one account right."""
    recalculate.recalculate_runs_of_account(
        account_id=cloud_account_id, since=parse_datetime(since)
    )


@task("api.tasks.recalculate_runs_for_instance_id")
def recalculate_runs_for_instance_id(instance_id: int) -> None:
    """Make the runs of one instance right."""
    recalculate.recalculate_runs_of_instance(instance_id=instance_id)


@task("api.tasks.recalculate_concurrent_usage_for_all_users", limit=LONG)
def recalculate_concurrent_usage_for_all_users(since: str | None = None) -> None:
    """Calculate the days of all customers that are missing or stale."""
    recalculate.recalculate_usage_of_all_users(since=parse_date(since))


@task("api.tasks.recalculate_concurrent_usage_for_user_id", limit=LONG)
def recalculate_concurrent_usage_for_user_id(user_id: int, since: str | None = None) -> None:
    """Calculate the days of one customer that are missing or stale."""
    recalculate.recalculate_usage_of_user(user_id=user_id, since=parse_date(since))


@task("api.tasks.recalculate_concurrent_usage_for_user_id_on_date", limit=LONG)
def recalculate_concurrent_usage_for_user_id_on_date(user_id: int, date: str) -> None:
    """Calculate one day of one customer if it is missing or stale."""
    day = parse_date(date)
    if day is not None:
        recalculate.recalculate_usage_of_user_on(user_id=user_id, day=day)


@task("api.tasks.recalculate_stale_usage", limit=LONG)
def recalculate_stale_usage() -> None:
    """Calculate the stale days of all customers."""
    recalculate.recalculate_stale_usage()


@task("api.tasks.fix_problematic_runs")
def fix_problematic_runs(run_ids: list[int]) -> None:
    """End the runs that should have ended at a power-off."""
    problems.fix_problematic_runs(run_ids=run_ids)
