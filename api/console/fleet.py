"""The fleet (spec 12 §1.1)."""

from urllib.parse import urlencode

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.urls import reverse

from api.console.tables import NOT_KNOWN, Cell, Table
from api.console.views import API, ConsoleView
from api.doctor.examination import PROCESSES, found_now
from api.overview.fleet import Fleet, fleet

EVENT_AGES = ("p50, s", "p95, s")
QUEUES = ("trail", "results", "celery")


class FleetView(ConsoleView):
    """All customers on one page."""

    def get(self, request: HttpRequest) -> HttpResponse:
        """Show the fleet."""
        found = fleet()
        context = {"fleet": found, "version": settings.CLOUDIGRADE_VERSION or "unknown"}
        tables = [_numbers(found), _freshness(found), _queues(found), _now(found), _troubles(found)]
        tables += [_findings(found), _coverage(found), _partial(found)]
        return self.page("fleet", context, tables=tables)


def _numbers(found: Fleet) -> Table:
    numbers = found.numbers
    running = found.sample.running_rhel
    stale = numbers.stale_seconds
    return Table(
        name="numbers",
        title="The fleet now",
        columns=("what", "number"),
        rows=[
            ("customers", Cell(numbers.customers, f"{API}/users/")),
            ("accounts", Cell(numbers.accounts, f"{API}/cloudaccounts/")),
            ("AWS accounts", Cell(numbers.aws_accounts, f"{API}/awscloudaccounts/")),
            ("Azure accounts", Cell(numbers.azure_accounts, f"{API}/azurecloudaccounts/")),
            ("running RHEL", _or_not_known(running, f"{API}/runs/")),
            ("oldest stale day", Cell("none" if stale is None else _duration(stale))),
        ],
    )


def _or_not_known(value: object, url: str = "") -> Cell:
    return Cell(NOT_KNOWN) if value is None else Cell(value, url)


def _duration(seconds: float) -> str:
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours:02}:{minutes:02}:{rest:02}"


def _freshness(found: Fleet) -> Table:
    return Table(
        name="freshness",
        title="Age of events when they are stored, 24 hours",
        columns=("time", *EVENT_AGES),
        rows=[(point.at, *point.values[:2]) for point in found.history],
        empty="Nothing was measured in the last 24 hours.",
        plot="line",
        series=EVENT_AGES,
    )


def _queues(found: Fleet) -> Table:
    return Table(
        name="queue-lengths",
        title="Messages and tasks that wait, 24 hours",
        columns=("time", *QUEUES),
        rows=[(point.at, *point.values[2:]) for point in found.history],
        empty="Nothing was measured in the last 24 hours.",
        plot="line",
        series=QUEUES,
    )


def _now(found: Fleet) -> Table:
    sample = found.sample
    queues = (
        ("trail", sample.queue_trail),
        ("trail, dead letters", sample.queue_trail_dlq),
        ("inspection results", sample.queue_results),
        ("inspection results, dead letters", sample.queue_results_dlq),
        ("celery", sample.queue_celery),
    )
    return Table(
        name="queues-now",
        title="Queues now",
        columns=("queue", "length"),
        rows=[(name, _or_not_known(length, "/internal/metrics")) for name, length in queues],
    )


def _coverage(found: Fleet) -> Table:
    day = found.coverage.day
    url = f"{API}/coverage/?date={day}"
    return Table(
        name="coverage",
        title=f"Coverage of {day}",
        columns=("state", "accounts"),
        rows=[
            (
                Cell(state, mark="bad" if state == "partial" else ""),
                Cell(number, f"{url}&state={state}"),
            )
            for state, number in found.coverage.states.items()
        ],
        empty=NOT_KNOWN,
    )


def _partial(found: Fleet) -> Table:
    return Table(
        name="partial",
        title="Accounts that are partial",
        columns=("account", "customer", "first reason"),
        rows=[
            (
                one.number,
                Cell(one.user_id, reverse("console-customer", args=[one.user_id])),
                one.reason or "not proved",
            )
            for one in found.coverage.partial
        ],
        empty="None.",
    )


def _troubles(found: Fleet) -> Table:
    search = reverse("console-search")
    rows = [
        (Cell(text, f"{search}?{urlencode({'q': key})}" if key else ""),)
        for text, key in found.troubles or ()
    ]
    return Table(
        name="needs-a-look",
        title="Needs a look",
        columns=("what",),
        rows=rows,
        empty=NOT_KNOWN if found.troubles is None else "Nothing needs a look.",
    )


def _findings(found: Fleet) -> Table:
    """Return what ``manage.py doctor`` found; a silent scheduler takes no samples to tell of it."""
    sampled = [one for one in found.findings or () if one["check"] not in PROCESSES]
    rows = [
        (one["check"], Cell(one["text"], mark="bad"), one["runbook"])
        for one in (*found_now(PROCESSES), *sampled)
    ]
    return Table(
        name="findings",
        title="What doctor finds",
        columns=("check", "what", "runbook"),
        rows=rows,
        empty=NOT_KNOWN if found.findings is None else "All is well.",
        more="Runbooks are sections of docs/operations.rst." * bool(rows),
    )
