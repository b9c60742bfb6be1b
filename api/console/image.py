"""One image."""

from django.http import Http404, HttpRequest, HttpResponse
from django.urls import reverse

from api.console.tables import Cell, Table
from api.console.views import ConsoleView, known_id
from api.overview.image import ImageHistory, image_history


class ImagePageView(ConsoleView):
    """An image, its inspections, and who uses it."""

    def get(self, request: HttpRequest, image_id: int) -> HttpResponse:
        """Show the image."""
        found = image_history(image_id=known_id(image_id))
        if found is None:
            raise Http404
        return self.page("image", {"found": found}, tables=[_attempts(found), _customers(found)])


def _attempts(found: ImageHistory) -> Table:
    return Table(
        name="attempts",
        title="Inspections",
        columns=("attempt", "started", "ended", "outcome", "error", "region", "counts"),
        rows=[
            (
                one.id,
                one.created_at,
                one.finished_at,
                one.outcome or "going on",
                one.error,
                one.region,
                one.counts,
            )
            for one in found.attempts
        ],
        empty="The image was never inspected.",
    )


def _customers(found: ImageHistory) -> Table:
    return Table(
        name="customers",
        title="Customers with the most instances of it",
        columns=("customer", "org id", "account number", "instances"),
        rows=[
            (
                Cell(one.user_id, reverse("console-customer", args=[one.user_id])),
                one.org_id,
                one.account_number,
                one.instances,
            )
            for one in found.customers
        ],
        empty="No instance uses it.",
    )
