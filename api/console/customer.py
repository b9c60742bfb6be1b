"""One customer (spec 12 §1.2)."""

from collections.abc import Sequence
from typing import Any

from django.http import Http404, HttpRequest, HttpResponse
from django.urls import reverse

from api.console.progress import actions_table
from api.console.tables import ActionButton, Cell, Table
from api.console.views import API, ConsoleView, known_id
from api.coverage.quality import Quality
from api.overview.customer import AccountSummary, Customer, UsageDay, customer

FACETS = ("arch", "role", "sla", "usage")
"""By which the usage can be drawn (spec 12 §1.2)."""

COVERAGE_LETTERS = {
    "complete": ".",
    "corrected": "c",
    "partial": "x",
    "open": "o",
    "off": "-",
}
COVERAGE_LEGEND = ". complete, c corrected, x partial, o open, - off, ? not known."
COVERAGE_MARKS = {"partial": "bad"}


class CustomerPageView(ConsoleView):
    """Usage, accounts, images, changes and findings of one customer."""

    def get(self, request: HttpRequest, user_id: int) -> HttpResponse:
        """Show the customer."""
        by = request.GET.get("by", "")
        facet = by if by in FACETS else None
        found = customer(user_id=known_id(user_id), facet=facet)
        if found is None:
            raise Http404
        context = {"customer": found, "facets": FACETS, "by": facet}
        tables = [
            usage_table(found, facet),
            _accounts(found),
            _findings(found),
            _images(found),
            _changes(found),
            actions_table(found.actions),
        ]
        return self.page("customer", context, tables=tables)


def day_url(user_id: int, day: Any) -> str:
    """Return the URL of a day's page."""
    return reverse("console-day", args=[user_id, day])


def usage_table(found: Customer, facet: str | None) -> Table:
    """Return the days of a customer with their numbers, the oldest first."""
    user_id = found.user.id
    values = [f"{facet} {value or '(none)'}" for value in found.series]
    return Table(
        name="usage",
        title="Daily maximum of running RHEL, 90 days",
        columns=("day", "peak", *values, "at least", "at most", "coverage", "state"),
        rows=[
            (
                Cell(day.day, day_url(user_id, day.day)),
                Cell(day.peak, f"{API}/explain/?user_id={user_id}&date={day.day}"),
                *(day.series.get(value) for value in found.series),
                *_trust(found.quality[day.day]),
                _state(day),
            )
            for day in found.usage
        ],
        plot="days",
        series=("peak", *values),
        band=("at least", "at most"),
        marks="coverage",
        more="Days whose coverage is partial have a tick at the foot of the plot.",
    )


def _trust(quality: Quality) -> tuple[Any, ...]:
    mark = COVERAGE_MARKS.get(quality.state, "")
    return quality.count_min, quality.count_max, Cell(quality.state, mark=mark)


def _state(day: UsageDay) -> Cell:
    if day.is_stale:
        return Cell("stale", mark="warn")
    return Cell("calculated") if day.peak is not None else Cell("not calculated", mark="warn")


def _accounts(found: Customer) -> Table:
    hidden = found.number_of_accounts - len(found.accounts)
    return Table(
        name="accounts",
        title="Accounts",
        columns=(
            "id",
            "cloud",
            "cloud no.",
            "state",
            "since",
            "last event",
            "last describe",
            "outcome",
            "instances on",
            "coverage, 14 days",
        ),
        rows=[_account(one, found.coverage[one.id]) for one in found.accounts],
        empty="The customer has no account.",
        more=" ".join(
            [f"{hidden} more accounts are not listed." if hidden > 0 else "", COVERAGE_LEGEND]
        ),
    )


def _account(one: AccountSummary, coverage: Sequence[str | None]) -> tuple[Any, ...]:
    return (
        Cell(one.id, f"{API}/accounts/{one.id}/"),
        one.cloud_type,
        one.number,
        Cell(one.state, mark="" if one.state == "enabled" else "warn"),
        one.since,
        one.last_event_at,
        one.last_describe_at,
        Cell(one.last_describe, mark="" if one.last_describe in ("ok", None) else "bad"),
        Cell(one.instances_on, f"{API}/runs/?cloud_account={one.id}"),
        Cell(
            "".join(COVERAGE_LETTERS.get(state or "", "?") for state in coverage),
            f"{API}/coverage/?cloud_account={one.id}",
            mark="bad mono" if "partial" in coverage else "mono",
        ),
    )


def _findings(found: Customer) -> Table:
    url = f"{API}/billing-findings/?user_id={found.user.id}"
    return Table(
        name="findings",
        title="Billing findings, yesterday and today",
        columns=("kind", "confidence", "instances", "hours"),
        rows=[
            (
                one.kind,
                one.confidence,
                Cell(one.instances, f"{url}&filter[kind]={one.kind}"),
                one.seconds / 3600,
            )
            for one in found.findings
        ],
        empty="Nothing was found.",
    )


def _images(found: Customer) -> Table:
    hidden = sum(found.images_by_status.values()) - len(found.images)
    return Table(
        name="images",
        title="Images that are not inspected",
        columns=("image", "name", "status", "age, h", "attempts", "last error", "action"),
        rows=[
            (
                Cell(one.cloud_id, reverse("console-image", args=[one.id])),
                one.name,
                Cell(one.status, mark="bad" if one.status == "error" else ""),
                one.age_seconds / 3600,
                one.attempts,
                one.last_error,
                ActionButton(
                    "Reinspect", reverse("console-reinspect", args=[one.id]), one.cloud_id
                ),
            )
            for one in found.images
        ],
        empty="All images of the customer are inspected.",
        more=f"{hidden} more images are not listed." if hidden > 0 else "",
    )


def _changes(found: Customer) -> Table:
    user_id = found.user.id
    hidden = found.number_of_changes - len(found.changes)
    return Table(
        name="changes",
        title="Changes of usage",
        columns=("when", "day", "revision", "before", "after", "keys changed", "causes"),
        rows=[
            (
                change["computed_at"],
                Cell(change["date"], day_url(user_id, change["date"])),
                change["revision"],
                change["before"],
                change["after"],
                change["changed_keys"],
                causes_text(change["causes"]),
            )
            for change in found.changes
        ],
        empty="No day has been calculated.",
        more=f"{hidden} older changes are not listed." if hidden > 0 else "",
    )


def causes_text(causes: Any) -> str:
    """Return what made numbers change, in words."""
    return ", ".join(
        str(one.get("cause", one)) if isinstance(one, dict) else str(one) for one in causes
    )
