"""Tasks of inspections (spec 05)."""

from api.inspection.start import Start, start_inspections
from util.tasks import task


@task("api.tasks.start_image_inspections")
def start_image_inspections(images: list[list[str]]) -> None:
    """Start inspections; each image comes as ARN, AMI id and region."""
    start_inspections(Start(*image) for image in images)
