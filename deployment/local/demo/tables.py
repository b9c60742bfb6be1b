"""What the story shows on the terminal."""

from collections.abc import Iterable, Mapping
from datetime import date
from typing import Any

from rich.table import Table

from deployment.local.demo.cast import Customer
from deployment.local.demo.oracle import ANY, TOTAL, Category

_BAR_WIDTH = 30


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


def history(usage: Mapping[date, Mapping[Category, int]]) -> Table:
    """Show the totals of many days, and each day's largest role and SLA."""
    table = _table("Usage per day", "day", "total", "", "x86_64", "by role", "by SLA")
    largest = max((counts.get(TOTAL, 0) for counts in usage.values()), default=0) or 1
    for day, counts in sorted(usage.items()):
        total = counts.get(TOTAL, 0)
        table.add_row(
            day.isoformat(),
            str(total),
            "#" * round(_BAR_WIDTH * total / largest),
            str(counts.get(("x86_64", ANY, ANY, ANY, ANY), 0)),
            _by(counts, 1),
            _by(counts, 2),
        )
    return table


def _by(counts: Mapping[Category, int], facet: int) -> str:
    """Say the counts of one facet's values, over all others."""
    parts = []
    for category, count in sorted(counts.items()):
        others = category[:facet] + category[facet + 1 :]
        if category[facet] != ANY and set(others) == {ANY}:
            name = category[facet].removeprefix("Red Hat Enterprise Linux ") or "none"
            parts.append(f"{name} {count}")
    return ", ".join(parts)


def _table(title: str, *columns: str) -> Table:
    table = Table(title=title, title_justify="left")
    for column in columns:
        table.add_column(column, justify="right" if column in {"total", "instances"} else "left")
    return table
