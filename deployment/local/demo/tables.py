"""What the story shows on the terminal."""

from collections.abc import Iterable, Mapping
from datetime import date
from typing import Any

from rich.console import JustifyMethod
from rich.table import Table

from deployment.local.demo.customers import Customer
from deployment.local.demo.expected_usage import ANY, TOTAL, Category

_BAR_WIDTH = 14
_ROLE_PREFIX = "Red Hat Enterprise Linux "
_NUMBERS = frozenset({"total", "instances", "before", "after", "times"})
_SHOWN_FACETS = (0, 1, 2)
"""Architecture, role and SLA."""


def accounts(rows: Iterable[tuple[Customer, dict[str, Any]]]) -> Table:
    """Show the customers' accounts."""
    table = _table("Accounts", "customer", "account", "AWS account", "enabled", "source")
    for customer, account in rows:
        table.add_row(
            customer.name,
            str(account["account_id"]),
            account["content_object"]["aws_account_id"],
            "yes" if account["is_enabled"] else "no",
            str(account["platform_source_id"]),
        )
    return table


def instances(rows: Iterable[tuple[Customer, dict[str, Any], Mapping[int, Any]]]) -> Table:
    """Show running instances with their images."""
    table = _table("Running instances", "customer", "instance", "region", "image", "arch", "RHEL")
    for customer, instance, images in rows:
        image = images.get(instance["machine_image_id"], {})
        content = instance["content_object"]
        table.add_row(
            customer.name,
            content["ec2_instance_id"],
            content["region"],
            str(image.get("name")),
            str(image.get("architecture")),
            "yes" if image.get("rhel_detected") else "no",
        )
    return table


def usage_today(rows: Mapping[str, Mapping[date, Mapping[Category, int]]]) -> Table:
    """Show today's peaks by architecture, for each customer."""
    table = _table("Concurrent RHEL usage today", "customer", "day", "arch", "instances")
    for name, days in rows.items():
        for day, counts in days.items():
            for category, count in counts.items():
                if category[1:] == TOTAL[1:]:
                    arch = "all" if category[0] == ANY else category[0]
                    table.add_row(name, day.isoformat(), arch, str(count))
    return table


def calls(trace: Iterable[tuple[str, int]]) -> Table:
    """Show calls to AWS in order."""
    table = _table("Calls to AWS of the inspection", "action", "times")
    for action, number in trace:
        table.add_row(action, str(number))
    return table


def change(
    before: Mapping[date, Mapping[Category, int]], after: Mapping[date, Mapping[Category, int]]
) -> Table:
    """Show the totals of the same days at two times."""
    table = _table("Usage of past days", "day", "before", "after", "")
    for day, counts in sorted(after.items()):
        total = counts.get(TOTAL, 0)
        earlier = str(before[day].get(TOTAL, 0))
        table.add_row(day.isoformat(), earlier, str(total), "#" * total)
    return table


def history(usage: Mapping[date, Mapping[Category, int]]) -> Table:
    """Show the totals of many days, and their counts by architecture, role and SLA."""
    facets = [
        (facet, value)
        for facet in _SHOWN_FACETS
        for value in sorted({c[facet] for counts in usage.values() for c in counts} - {ANY})
    ]
    names = [value.removeprefix(_ROLE_PREFIX) or "none" for _, value in facets]
    table = _table("Usage per day", "day", "total", "", *names)
    largest = max((counts.get(TOTAL, 0) for counts in usage.values()), default=0) or 1
    for day, counts in sorted(usage.items()):
        total = counts.get(TOTAL, 0)
        bar = "#" * round(_BAR_WIDTH * total / largest)
        by_facet = [str(counts.get(_only(facet, value), 0)) for facet, value in facets]
        table.add_row(f"{day:%m-%d}", str(total), bar, *by_facet)
    return table


def _only(facet: int, value: str) -> Category:
    """Return the category of one facet's value, over all others."""
    arch, role, sla, usage, service_type = (value if n == facet else ANY for n in range(len(TOTAL)))
    return arch, role, sla, usage, service_type


def _table(title: str, *columns: str) -> Table:
    table = Table(title=title, title_justify="left")
    for column in columns:
        justify: JustifyMethod = "right" if column in _NUMBERS else "left"
        table.add_column(column, justify=justify, no_wrap=True)
    return table
