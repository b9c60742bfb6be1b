"""One day of a customer (spec 12 §1.3)."""

import datetime
from collections.abc import Mapping
from typing import Any

from django.http import Http404, HttpRequest, HttpResponse, QueryDict
from django.urls import reverse

from api.console.tables import Cell, Table
from api.console.views import (
    API,
    ROWS,
    ConsoleView,
    Refusal,
    known_customer,
    page_number,
    pager,
)
from api.metering.facets import ANY, Key
from api.overview.day import Day, explained_day
from api.public.trust import read_key
from api.trust.explain import NotCalculatedError
from util import clock


class DayView(ConsoleView):
    """Why a day's number is what it is, as ``explain/`` says it."""

    def get(self, request: HttpRequest, user_id: int, day: str) -> HttpResponse:
        """Show the day. Raises Refusal with 425 for one that is not calculated."""
        user = known_customer(user_id)
        date = _date(day)
        key = read_key(request.GET)
        offset = (page_number(request) - 1) * ROWS
        try:
            found = explained_day(user_id=user.id, day=date, key=key, limit=ROWS, offset=offset)
        except NotCalculatedError as error:
            text = f"The number of {date} is not calculated, or is being calculated again."
            raise Refusal(425, text) from error
        context = {
            "customer": user,
            "day": found,
            "key": [(name, value) for name, value in key._asdict().items() if value != ANY],
            "api_url": f"{API}/explain/?{_query(user.id, date, key)}",
            "pager": pager(request, len(found.explanation.run_ids)),
            "previous": date - datetime.timedelta(days=1),
            "next": date + datetime.timedelta(days=1) if date < clock.today() else None,
        }
        return self.page("day", context, tables=[_course(found), _runs(found)])


def _date(text: str) -> datetime.date:
    """Return the date of the URL. Raises Http404 for what is none, or lies in the future."""
    try:
        date = datetime.date.fromisoformat(text)
    except ValueError as error:
        raise Http404 from error
    if date.isoformat() != text or date > clock.today():
        raise Http404
    return date


def _query(user_id: int, date: datetime.date, key: Key) -> str:
    query = QueryDict(mutable=True)
    query["user_id"] = str(user_id)
    query["date"] = date.isoformat()
    for name, value in key._asdict().items():
        if value != ANY:
            query[name] = value
    return query.urlencode()


def _course(found: Day) -> Table:
    return Table(
        name="course",
        title="Number on, by the second",
        columns=("from", "on"),
        rows=[(step.at, step.on) for step in found.course],
        plot="steps",
        series=("on",),
        more="Of each stretch of time only the largest number is listed." * found.is_thinned,
    )


def _runs(found: Day) -> Table:
    return Table(
        name="runs",
        title="Instances that make the maximum",
        columns=("instance", "type", "image", "why RHEL", "on since", "by event", "off at"),
        rows=[_run(run) for run in found.runs],
        empty="Nothing was on.",
    )


def _run(run: dict[str, Any]) -> tuple[Any, ...]:
    instance, image, opened = run["instance"], run["image"], run["opened_by"]
    reasons = ", ".join(reason["reason"] for reason in image["rhel_reasons"])
    return (
        Cell(instance["cloud_id"], reverse("console-instance", args=[instance["instance_id"]])),
        run["instance_type"],
        Cell(image["cloud_id"], reverse("console-image", args=[image["image_id"]])),
        reasons,
        run["start_time"],
        event_cell(opened),
        run["end_time"],
    )


def event_cell(event: Mapping[str, Any] | None) -> Cell:
    """Return what an event is called, with a link to its log record where it has one."""
    if event is None:
        return Cell(None)
    name = event["name"] or event["origin"]
    has_record = "source" in event
    url = f"{API}/instanceevents/{event['event_id']}/record/" if has_record else ""
    source = f"{event['origin']} {event['source_id']}".strip()
    return Cell(name if name == source else f"{name} ({source})", url)
