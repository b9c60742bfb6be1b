"""Search by any id (spec 12 §1.1, §3)."""

from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse

from api.console.tables import Cell, Table
from api.console.views import ConsoleView
from api.overview.search import Hit, search


class SearchView(ConsoleView):
    """Leads to the page about an id; where it may be several things it lists them."""

    def get(self, request: HttpRequest) -> HttpResponse:
        """Search for the parameter ``q``. What is nobody's id is a 404 that says so."""
        wanted = request.GET.get("q", "")
        hits = search(wanted)
        if len(hits) == 1 and "csv" not in request.GET:
            return HttpResponseRedirect(_url(hits[0]))
        table = Table(
            name="hits",
            title="What has this id",
            columns=("what", "row"),
            rows=[(hit.what, Cell(hit.id, _url(hit))) for hit in hits],
        )
        unknown = not hits and bool(wanted.strip())
        context = {"wanted": wanted[:200], "found": bool(hits), "unknown": unknown}
        return self.page("search", context, tables=[table], status=404 if unknown else 200)


def _url(hit: Hit) -> str:
    if hit.kind == "customer":
        return reverse("console-customer", args=[hit.id])
    if hit.kind == "account":
        return reverse("console-customer", args=[hit.owner_id]) + "#accounts"
    if hit.kind == "image":
        return reverse("console-image", args=[hit.id])
    if hit.kind == "event":
        return reverse("console-instance", args=[hit.owner_id]) + "#timeline"
    return reverse("console-instance", args=[hit.id])
