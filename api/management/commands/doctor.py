"""Says what is late, stuck, failing or missing (spec 12 §2)."""

import dataclasses
import sys
from typing import Any

from api.doctor.examination import CheckResult, examine
from api.management.base import OperatorCommand

RUNBOOKS = "docs/operations.rst"


class Command(OperatorCommand):
    """One page; exit code 1 if anything is to be looked at."""

    help = "Show what is late, stuck, failing or missing, with the section of the runbook for each."
    requires_system_checks: list[str] = []

    def handle(self, *args: Any, **options: Any) -> None:
        """Make all checks."""
        results = []
        for result in examine():
            results.append(result)
            for line in _lines(result):
                self.say(line)
        findings = [
            {"check": result.check, **dataclasses.asdict(finding)}
            for result in results
            for finding in result.findings
        ]
        checks = [result.check for result in results]
        summary = f"{len(findings)} findings. Runbooks: {RUNBOOKS}" if findings else "All is well."
        self.tell({"healthy": not findings, "findings": findings, "checks": checks}, summary)
        if findings:
            sys.exit(1)


def _lines(result: CheckResult) -> list[str]:
    if not result.findings:
        return [f"ok    {result.check}"]
    return [
        f"LOOK  {result.check}: {finding.text} -> {finding.runbook}" for finding in result.findings
    ]
