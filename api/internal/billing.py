"""What is wrong in how any customer's RHEL is paid (spec 11 §2)."""

from rest_framework.request import Request
from rest_framework.response import Response

from api.internal.customers import USER_ID, InternalCustomerView
from api.public import billing, billing_components, schema, tags


class InternalBillingFindingsView(InternalCustomerView, billing.BillingFindingsView):
    """What is wrong in how the RHEL of a customer is paid."""

    renderer_classes = billing.BillingFindingsView.renderer_classes

    @schema.operation(
        "listBillingFindingsOfUser",
        billing_components.BillingFinding(many=True),
        summary="Findings about who is paid for a customer's RHEL",
        tag=tags.BILLING,
        description="List instances of a customer whose RHEL is paid twice, or not at all.",
        parameters=[USER_ID, *schema.DAYS, *schema.brackets(billing.PARAMETERS)],
        errors=[400, 403],
        security=[],
    )
    def get(self, request: Request, format: str | None = None) -> Response:
        """Return a page of findings."""
        return super().get(request, format)
