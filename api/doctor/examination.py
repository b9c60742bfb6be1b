"""All checks, one after the other."""

import logging
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from api.doctor import clouds, numbers, processes, queues, work
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
    "explained numbers": numbers.explained_numbers,
    "tasks set aside": work.set_aside_tasks,
    "inspections": work.inspections,
    "AWS accounts": clouds.aws_accounts,
    "Azure subscriptions": clouds.azure_subscriptions,
}


PROCESSES = ("scheduler", "listener")
"""Checks of what may keep all others from being made regularly; they ask Redis alone."""


@dataclass(frozen=True)
class CheckResult:
    """What one check found; nothing if all is well."""

    check: str
    findings: tuple[Finding, ...]


def examine(checks: Mapping[str, Check] = CHECKS) -> Iterable[CheckResult]:
    """Yield the result of each check.

    One that cannot be made, since a store is away, is a finding and keeps no other from being made.
    """
    for name, check in checks.items():
        try:
            yield CheckResult(name, tuple(check()))
        except Exception as error:
            logger.debug("The check %r cannot be made", name, exc_info=True)
            text = f"This cannot be checked: {type(error).__name__}."
            yield CheckResult(name, (Finding(text, "If something else is down"),))


def found_now(names: Iterable[str]) -> list[dict[str, str]]:
    """Return what these checks find, as JSON: check, text and runbook of each finding."""
    results = examine({name: CHECKS[name] for name in names})
    return [
        {"check": result.check, "text": finding.text, "runbook": finding.runbook}
        for result in results
        for finding in result.findings
    ]
