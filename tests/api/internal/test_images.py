"""Inspecting an image again: scenario 21 (spec 02 §5.5, §14)."""

import pytest

from api.models import InspectionAttempt, StaleUsage
from tests.api.internal.callers import ANYBODY, B
from tests.factories import make_instance, make_rhel_image, make_run, utc

pytestmark = pytest.mark.django_db


def test_scenario_21_an_image_is_inspected_again(story):
    image = make_rhel_image(status="inspected")
    instance = make_instance(account=story.aws, image=image)
    make_run(instance=instance, start=utc("2022-06-01"))
    InspectionAttempt.objects.create(machine_image=image)
    url = f"{B}/machineimages/{image.id}/reinspect/"
    response = ANYBODY.post(url)
    assert response.status_code == 200
    assert (response.json()["id"], response.json()["status"]) == (image.id, "pending")
    assert not InspectionAttempt.objects.filter(machine_image=image, counts=True).exists()
    assert not StaleUsage.objects.exists()
    assert ANYBODY.get(url).status_code == 405
    assert ANYBODY.post(f"{B}/machineimages/987654321/reinspect/").status_code == 404
