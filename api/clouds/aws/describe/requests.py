"""Have an account described at once, because of something that its logs do not say."""

from collections.abc import Iterable

from api import outbox

DESCRIBE = "api.clouds.aws.tasks.initial_aws_describe_instances"


def discovery_key(account_id: int) -> str:
    """Return the key of the entry to describe an account."""
    return f"discovery of account {account_id}"


def request_describes(account_ids: Iterable[int]) -> int:
    """Queue a description of each account, unless one waits to be begun; returns how many.

    For launches whose instances no log names (decision 46). They are queued when the current
    transaction commits, and done even if Redis loses them. One that has begun before is followed by
    another, since it may have missed the launch. What it finds is dated as exactly as EC2 tells
    (decision 31).
    """
    wanted = {discovery_key(account_id): (account_id,) for account_id in set(account_ids)}
    return outbox.send_unless_waiting(DESCRIBE, wanted)
