"""How long any customer's RHEL was on, and how much at once (spec 11 §1)."""

from rest_framework.request import Request
from rest_framework.response import Response

from api.internal.customers import USER_ID, InternalCustomerView
from api.public import measures, measures_components, schema, tags


class InternalUsageView(InternalCustomerView, measures.UsageView):
    """How long RHEL was on for any customer, by hour, day or month."""

    renderer_classes = measures.UsageView.renderer_classes

    @schema.operation(
        "listUsageOfUser",
        measures_components.Usage(many=True),
        summary="How long a customer's RHEL was on",
        tag=tags.USAGE,
        description="List how long a customer's RHEL was on, and how much at once.",
        parameters=[USER_ID, *measures.USAGE],
        errors=[400, 403],
        security=[],
    )
    def get(self, request: Request, format: str | None = None) -> Response:
        """Return a page of hours, days or months."""
        return super().get(request, format)
