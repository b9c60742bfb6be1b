"""Machine images, and inspecting one again (spec 02 §5.5, 05 §7)."""

from django.db import transaction
from drf_spectacular.utils import extend_schema
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from api.inspection.reinspection import reinspect_image
from api.internal.browse import browse
from api.internal.resources import MACHINE_IMAGES


class MachineImagesView(browse(MACHINE_IMAGES)):  # type: ignore[misc]
    """Browse `machineimages`; have one inspected again."""

    @extend_schema(request=None, responses={200: MACHINE_IMAGES.serializer})
    @action(detail=True, methods=["post"])
    def reinspect(self, request: Request, pk: str) -> Response:
        """Begin the inspection anew; withdraws no usage until a result differs."""
        image = self.get_object()
        # The answer tells of the image as it is before its inspection starts, after the commit.
        with transaction.atomic():
            reinspect_image(image_id=image.id)
            image.refresh_from_db()
        return Response(self.get_serializer(image).data)
