"""All OpenShift templates (08 §14.6, §14.7)."""

import re

import pytest

from tests.deployment.manifests import (
    CLOWDAPP,
    CLOWDAPP_QUEUE_AGE,
    POSTIGRADE,
    STAGE_SMOKE,
    parameters,
    process,
    references,
    template,
)

TEMPLATES = (CLOWDAPP, CLOWDAPP_QUEUE_AGE, POSTIGRADE, STAGE_SMOKE)


@pytest.mark.parametrize("path", TEMPLATES, ids=lambda path: path.stem)
def test_every_parameter_is_used_and_every_reference_is_defined(path):
    assert references(path) == set(parameters(path))
    names = [one["name"] for one in template(path)["parameters"]]
    assert len(names) == len(set(names))


@pytest.mark.parametrize("path", TEMPLATES, ids=lambda path: path.stem)
def test_images_name_no_registry(path):
    for name, value in parameters(path).items():
        if name.endswith("IMAGE"):
            assert re.fullmatch(r"(cloudservices/[a-z-]+)?", value)


def test_the_smoke_job_of_stage():
    [job] = process(STAGE_SMOKE, IMAGE_TAG="1234567", UID="abc123")
    assert (job["apiVersion"], job["kind"]) == ("cloud.redhat.com/v1alpha1", "ClowdJobInvocation")
    assert job["metadata"]["name"] == "cloudigrade-smoke-1234567-abc123"
    assert job["spec"]["appName"] == "cloudigrade"
    iqe = job["spec"]["testing"]["iqe"]
    assert (iqe["marker"], iqe["dynaconfEnvName"]) == ("smoke", "stage_post_deploy")
    [uid] = [one for one in template(STAGE_SMOKE)["parameters"] if one["name"] == "UID"]
    assert (uid["generate"], uid["from"]) == ("expression", "[a-z0-9]{6}")
