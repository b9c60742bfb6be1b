"""The routes below ``/api/cloudigrade/v2/`` (spec 01). All of them only read."""

from collections.abc import Callable, Iterable
from typing import Any

from django.conf import settings
from django.db import transaction
from django.http import Http404, StreamingHttpResponse
from django.http.response import HttpResponseBase
from django.urls import reverse as path_of
from rest_framework.permissions import AllowAny, IsAuthenticated
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.reverse import reverse
from rest_framework.views import APIView

from api.clouds.aws.policy import policy_document
from api.clouds.aws.session import own_account_id
from api.clouds.azure.offer import offer_template
from api.public import components, schema, tags, usage
from api.public.authentication import IdentityHeaderAuthentication, UserNotRequiredAuthentication
from api.public.customers import customer_of
from api.public.facets import Facets
from api.public.filtered_instances import FilteredInstances
from api.public.filters import (
    ACCOUNT_PARAMETERS,
    IMAGE_PARAMETERS,
    INSTANCE_PARAMETERS,
    LARGEST_ID,
    read_filter,
)
from api.public.image_listing import ImageListing
from api.public.instance_fields import (
    IMAGE_BRACKETS,
    IMAGE_COLUMNS,
    IMAGE_SEARCH,
    INSTANCE_BRACKETS,
)
from api.public.list_queries import FACETS, STATE, read_list
from api.public.listings import AccountListing, InstanceListing, Listing
from api.public.pagination import ListingPagination, Pages
from api.public.renderers import (
    CompactJSONRenderer,
    Fragments,
    OpenAPIRenderer,
    rendered,
    stream_json,
)
from api.public.resources import (
    INSTANCES,
    INSTANCES_WITH_STATE,
    CloudAccount,
    DailyConcurrentUsage,
    Instance,
    MachineImage,
)
from api.public.shapes import PartT, serializer_of
from util.pagination import InsightsPagination

SECONDS_TO_KEEP_OFFER = 3600


class ReadOnlyView(APIView):
    """What the public routes share: JSON out, nothing in, and no transaction around reading."""

    authentication_classes: list[Any] = [IdentityHeaderAuthentication]
    permission_classes: list[Any] = [IsAuthenticated]
    renderer_classes: list[Any] = [CompactJSONRenderer]
    http_method_names = ["get", "head", "options"]

    @classmethod
    def as_view(cls, **initkwargs: Any) -> Any:
        """Return the view function."""
        return transaction.non_atomic_requests(super().as_view(**initkwargs))


def streamed(paginator: InsightsPagination, items: Iterable[Any]) -> StreamingHttpResponse:
    """Answer with a page whose items are made, and sent, one after the other."""
    envelope = paginator.get_paginated_response(None).data
    return StreamingHttpResponse(
        stream_json(envelope, "data", items), content_type=CompactJSONRenderer.media_type
    )


class ListView(ReadOnlyView):
    """A list of the customer's own."""

    pagination_class = ListingPagination

    def page(
        self,
        request: Request,
        listing: Pages,
        facets: Callable[[], Facets] | None = None,
    ) -> HttpResponseBase:
        """Answer with the requested page, and facets if these are asked for."""
        paginator = self.pagination_class()
        page = paginator.paginate_queryset(listing, request, view=self)
        paginator.facets = facets() if facets else None
        if page.is_large:
            return streamed(paginator, map(rendered, page.rows))
        return paginator.get_paginated_response(rendered(list(page.rows)))


LONGEST_PATH_ID = 1000
"""Digits of an id in a path; leading zeros count."""


def one(listing: Listing[PartT], id_text: str) -> PartT:
    """Return the row with the id of a path. Raises Http404 for what is no id of any of the rows."""
    # Python refuses to read numbers of more than some thousand digits.
    is_id = id_text.isascii() and id_text.isdigit() and len(id_text) <= LONGEST_PATH_ID
    if not is_id or int(id_text) > LARGEST_ID:
        raise Http404
    row = listing.one(int(id_text))
    if row is None:
        raise Http404
    return row


class RootView(ReadOnlyView):
    """Cloudigrade's public API."""

    @schema.extend_schema(exclude=True)
    def get(self, request: Request, format: str | None = None) -> Response:
        """Return where the resources are."""
        names = ("accounts", "instances", "images", "sysconfig", "azure-offer-template")
        return Response(
            {
                name: reverse(f"v2-{name}-list", request=request, format=format)
                for name in (*names, "concurrent")
            }
        )


class AccountsView(ListView):
    """Cloud accounts."""

    @schema.operation(
        "listCloudAccounts",
        serializer_of(CloudAccount)(many=True),
        summary="List cloud accounts",
        description="List cloud accounts.",
        tag=tags.INVENTORY,
        parameters=schema.ACCOUNT_FILTERS,
        errors=[400, 403],
    )
    def get(self, request: Request, format: str | None = None) -> HttpResponseBase:
        """Return a page of the customer's accounts."""
        query = read_filter(ACCOUNT_PARAMETERS, request.query_params)
        return self.page(request, AccountListing(customer_of(request).id, query))


class AccountView(ReadOnlyView):
    """A cloud account."""

    @schema.operation(
        "retrieveCloudAccount",
        serializer_of(CloudAccount)(),
        summary="Retrieve a cloud account",
        description="Retrieve a cloud account.",
        tag=tags.INVENTORY,
        parameters=[schema.ID, *schema.ACCOUNT_FILTERS],
        errors=[400, 403, 404],
    )
    def get(self, request: Request, id: str, format: str | None = None) -> Response:
        """Return one of the customer's accounts."""
        query = read_filter(ACCOUNT_PARAMETERS, request.query_params)
        row = one(AccountListing(customer_of(request).id, query), id)
        return Response(rendered(row))


class InstancesView(ListView):
    """Instances."""

    @schema.operation(
        "listInstances",
        serializer_of(Instance)(many=True),
        summary="List instances",
        description="List instances.",
        tag=tags.INVENTORY,
        parameters=[*schema.INSTANCE_FILTERS, *schema.INSTANCE_LIST],
        errors=[400, 403],
    )
    def get(self, request: Request, format: str | None = None) -> HttpResponseBase:
        """Return a page of the customer's instances."""
        user_id = customer_of(request).id
        wanted = read_list(INSTANCE_PARAMETERS, INSTANCE_BRACKETS, request.query_params)
        if not wanted.brackets and not wanted.includes:
            return self.page(request, InstanceListing(user_id, wanted.filter))
        shape = INSTANCES_WITH_STATE if STATE in wanted.includes else INSTANCES
        listing = FilteredInstances(user_id, wanted.filter, wanted.brackets, shape)
        return self.page(request, listing, listing.facets if FACETS in wanted.includes else None)


class InstanceView(ReadOnlyView):
    """An instance."""

    @schema.operation(
        "retrieveInstance",
        serializer_of(Instance)(),
        summary="Retrieve an instance",
        description="Retrieve an instance.",
        tag=tags.INVENTORY,
        parameters=[schema.ID, *schema.INSTANCE_FILTERS],
        errors=[400, 403, 404],
    )
    def get(self, request: Request, id: str, format: str | None = None) -> Response:
        """Return one of the customer's instances."""
        query = read_filter(INSTANCE_PARAMETERS, request.query_params)
        row = one(InstanceListing(customer_of(request).id, query), id)
        return Response(rendered(row))


class ImagesView(ListView):
    """Machine images."""

    @schema.operation(
        "listMachineImages",
        serializer_of(MachineImage)(many=True),
        summary="List images",
        description="List images.",
        tag=tags.INVENTORY,
        parameters=[*schema.IMAGE_FILTERS, *schema.IMAGE_LIST],
        errors=[400, 403],
    )
    def get(self, request: Request, format: str | None = None) -> HttpResponseBase:
        """Return a page of the images that the customer's instances use."""
        wanted = read_list(IMAGE_PARAMETERS, IMAGE_BRACKETS, request.query_params)
        condition = wanted.brackets.condition(IMAGE_COLUMNS, IMAGE_SEARCH)
        query = wanted.filter + condition
        sorting = wanted.brackets.sorting(IMAGE_COLUMNS)
        listing = ImageListing(customer_of(request).id, query, sorting)
        facets = listing.facets if FACETS in wanted.includes else None
        return self.page(request, listing, facets)


class ImageView(ReadOnlyView):
    """A machine image."""

    @schema.operation(
        "retrieveMachineImage",
        serializer_of(MachineImage)(),
        summary="Retrieve an image",
        description="Retrieve an image.",
        tag=tags.INVENTORY,
        parameters=[schema.ID, *schema.IMAGE_FILTERS],
        errors=[400, 403, 404],
    )
    def get(self, request: Request, id: str, format: str | None = None) -> Response:
        """Return one of the images that the customer's instances use."""
        query = read_filter(IMAGE_PARAMETERS, request.query_params)
        row = one(ImageListing(customer_of(request).id, query), id)
        return Response(rendered(row))


class DailyConcurrentUsageView(ReadOnlyView):
    """Daily concurrent usage of RHEL."""

    pagination_class = InsightsPagination
    start = usage.START
    end = usage.END

    @schema.operation(
        "listDailyConcurrentUsages",
        serializer_of(DailyConcurrentUsage)(many=True),
        summary="Daily maximum use of RHEL",
        description="List the daily maximum use of RHEL.",
        tag=tags.USAGE,
        parameters=[*schema.DAYS, schema.INCLUDE_QUALITY, schema.RETRY_AFTER],
        errors=[400, 403, 425],
    )
    def get(self, request: Request, format: str | None = None) -> HttpResponseBase:
        """Return a page of days. Raises UsageUnavailable if one of them is not calculated."""
        customer = customer_of(request)
        days = usage.read_days(
            request.query_params, joined=customer.joined_on, start=self.start, end=self.end
        )
        paginator = self.pagination_class()
        page: Any = paginator.paginate_queryset(days, request, view=self)
        shown = usage.show_days(
            customer.id, page, with_quality=usage.wants_quality(request.query_params)
        )
        if isinstance(shown, Fragments):
            return paginator.get_paginated_response(shown)
        return streamed(paginator, shown)


class SysconfigView(ReadOnlyView):
    """What customers need to know of us to set up their accounts."""

    authentication_classes = [UserNotRequiredAuthentication]
    permission_classes = [AllowAny]

    @schema.operation(
        "listSysconfigViewSets",
        components.Sysconfig(),
        summary="What is needed to set up an account",
        description="Retrieve what is needed to set up a cloud account.",
        tag=tags.SETUP,
        errors=[403],
    )
    def get(self, request: Request, format: str | None = None) -> Response:
        """Return our AWS account, the policy to grant it, the Azure offer and our version."""
        return Response(
            {
                "aws_account_id": own_account_id(),
                "aws_policies": {"traditional_inspection": policy_document()},
                "azure_offer_template_path": path_of("v2-azure-offer-template-list"),
                "version": settings.CLOUDIGRADE_VERSION,
            }
        )


class AzureOfferTemplateView(ReadOnlyView):
    """The Azure Lighthouse offer, which Azure's portal fetches from its own pages."""

    authentication_classes = []
    permission_classes = [AllowAny]

    @schema.operation(
        "listAzureOfferTemplateViewSets",
        {"type": "object", "additionalProperties": True},
        summary="Azure Lighthouse template",
        description="Retrieve the template by which a customer delegates a subscription.",
        tag=tags.SETUP,
        security=[],
    )
    def get(self, request: Request, format: str | None = None) -> Response:
        """Return the template."""
        template = offer_template(
            name=settings.AZURE_LIGHTHOUSE_OFFER_NAME,
            tenant_id=settings.AZURE_TENANT_ID,
            principal_id=settings.AZURE_SP_OBJECT_ID,
        )
        return Response(
            template,
            headers={
                "Access-Control-Allow-Origin": "*",
                "Cache-Control": f"public, max-age={SECONDS_TO_KEEP_OFFER}",
            },
        )

    def options(self, request: Any, *args: Any, **kwargs: Any) -> Any:
        """Answer a browser's preflight; who just asks what there is gets that, without CORS."""
        response = super().options(request, *args, **kwargs)
        if "Access-Control-Request-Method" in request.headers:
            response["Access-Control-Allow-Origin"] = "*"
            response["Access-Control-Allow-Methods"] = ", ".join(self.allowed_methods)
            response["Access-Control-Max-Age"] = str(SECONDS_TO_KEEP_OFFER)
            asked = request.headers.get("Access-Control-Request-Headers")
            if asked:
                response["Access-Control-Allow-Headers"] = "*"
        return response


class OpenAPIView(ReadOnlyView):
    """The OpenAPI document."""

    authentication_classes = []
    permission_classes = [AllowAny]
    renderer_classes = [OpenAPIRenderer, CompactJSONRenderer]

    @schema.extend_schema(exclude=True)
    def get(self, request: Request) -> Response:
        """Return the document."""
        return Response(schema.document())
