"""One instance (spec 12 §1.4)."""

from collections.abc import Mapping
from typing import Any

from django.http import Http404, HttpRequest, HttpResponse
from django.urls import reverse

from api.console.day import event_cell
from api.console.lanes import drawing_of
from api.console.tables import Cell, Table, shown
from api.console.views import ROWS, ConsoleView, known_id, page_number, pager
from api.overview.instance import InstanceHistory, instance_history


class InstancePageView(ConsoleView):
    """Events, runs, corrections and facts of an instance by time."""

    def get(self, request: HttpRequest, instance_id: int) -> HttpResponse:
        """Show the instance."""
        found = instance_history(
            instance_id=known_id(instance_id),
            limit=ROWS,
            offset=(page_number(request) - 1) * ROWS,
        )
        if found is None:
            raise Http404
        context = {
            "history": found,
            "drawing": drawing_of(found),
            "pager": pager(request, found.number_of_items),
        }
        return self.page("instance", context, tables=[_timeline(found)])


def _timeline(found: InstanceHistory) -> Table:
    return Table(
        name="timeline",
        title="Timeline, newest first",
        columns=("when", "what", "id", "details"),
        rows=[_row(item) for item in found.items],
        empty="Nothing is known of the instance.",
    )


def _row(item: Mapping[str, Any]) -> tuple[Any, ...]:
    kind = item["kind"]
    if kind == "event":
        # The link to the record fails where the event comes from no log; the origin says so.
        source = event_cell({**item, "source": True} if item["origin"] == "cloudtrail" else item)
        return item["at"], f"event {item['event_type']}", item["event_id"], source
    identity = {
        "run_started": "run_id",
        "run_ended": "run_id",
        "image_fact": "image_id",
        "correction": "event_id",
        "inspection": "attempt_id",
    }[kind]
    rest = {
        name: value
        for name, value in item.items()
        if name not in ("at", "kind", identity) and value not in (None, "", {}, [])
    }
    url = reverse("console-image", args=[item[identity]]) if kind == "image_fact" else ""
    details = ", ".join(f"{name} {shown(value)}" for name, value in rest.items())
    return item["at"], kind.replace("_", " "), Cell(item.get(identity), url), details
