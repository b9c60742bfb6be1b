"""All checks, one after the other."""

import logging
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from api.doctor import clouds, processes, queues, work
from api.doctor.findings import Finding

logger = logging.getLogger(__name__)

Check = Callable[[], Iterable[Finding]]

CHECKS: Mapping[str, Check] = {
    "scheduler": processes.scheduler,
    "listener": processes.listener,
    "clocks": processes.clocks,
    "migrations": processes.migrations,
    "dead letters": queues.dead_letter_queues,
    "inbox": work.inbox,
    "outbox": work.outbox,
    "stale usage": work.stale_usage,
    "tasks set aside": work.set_aside_tasks,
    "inspections": work.inspections,
    "AWS accounts": clouds.aws_accounts,
    "Azure subscriptions": clouds.azure_subscriptions,
}


@dataclass(frozen=True)
class Result:
    """What one check found; nothing if all is well."""

    check: str
    findings: tuple[Finding, ...]


def examine(checks: Mapping[str, Check] = CHECKS) -> Iterable[Result]:
    """Yield the result of each check.

    One that cannot be made, since a store is away, is a finding and keeps no other from being made.
    """
    for name, check in checks.items():
        try:
            yield Result(name, tuple(check()))
        except Exception as error:
            logger.debug("The check %r cannot be made", name, exc_info=True)
            text = f"This cannot be checked: {type(error).__name__}."
            yield Result(name, (Finding(text, "If something else is down"),))
