"""``compose.yaml``, held against the program and the other manifests. Nothing here starts it.

That needs a container engine and its images.
"""

import re
import shutil
import subprocess

import pytest
import yaml

from cloudigrade.settings.variables import VARIABLES
from deployment.local.service import REPOSITORY
from tests.cloudigrade.programs import settings_of
from tests.deployment.dockerfiles import instructions
from tests.deployment.manifests import KUBERNETES, documents

COMPOSE = REPOSITORY / "compose.yaml"
SERVICES = yaml.safe_load(COMPOSE.read_text())["services"]
PROCESSES = ("api", "worker", "beat", "listener")
ENTRYPOINT = ["gunicorn"]


def command_of(service):
    return service.get("entrypoint", ENTRYPOINT) + service.get("command", [])


def given(environment):
    """What a container gets where the environment of ``docker compose`` is empty."""
    plain = {name: value for name, value in environment.items() if value is not None}
    return {name: re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", value) for name, value in plain.items()}


@pytest.mark.parametrize("name", PROCESSES)
def test_processes_run_as_they_do_in_a_cluster(name):
    (container,) = next(
        one["spec"]["template"]["spec"]["containers"]
        for one in documents(KUBERNETES / "base" / f"{name}.yaml")
        if one["kind"] == "Deployment"
    )
    expected = container.get("command", ENTRYPOINT) + container.get("args", [])
    service = SERVICES[name]
    # The image's own entry point has its own arguments.
    default = ["-c", "cloudigrade/gunicorn.py", "cloudigrade.wsgi"]
    own = command_of(service) + (default if "entrypoint" not in service else [])
    assert own == expected
    assert (service["read_only"], service["tmpfs"]) == (True, ["/tmp"])


def test_the_product_is_built_from_the_dockerfile():
    for name in (*PROCESSES, "migrate"):
        service = SERVICES[name]
        assert (service["image"], service["build"]["context"]) == ("cloudigrade", ".")
        declared = {line.split("=")[0] for line in instructions() if line.startswith("ARG ")}
        assert {f"ARG {argument}" for argument in service["build"]["args"]} <= declared


@pytest.mark.parametrize("name", [*PROCESSES, "migrate"])
def test_variables_are_the_product_s_own_and_enough(name):
    environment = SERVICES[name]["environment"]
    assert set(environment) <= {variable.name for variable in VARIABLES}
    variables = given(environment)
    module = variables.pop("DJANGO_SETTINGS_MODULE").removeprefix("cloudigrade.settings.")
    database = settings_of(module, "DATABASES", **variables)["DATABASES"]["default"]
    postgres = SERVICES["postgres"]["environment"]
    assert [database[key] for key in ("NAME", "USER", "PASSWORD")] == [
        postgres[f"POSTGRES_{key}"] for key in ("DB", "USER", "PASSWORD")
    ]
    hosts = {database["HOST"], environment["REDIS_HOST"], environment["KAFKA_SERVER_HOST"]}
    assert hosts == {"postgres", "valkey", "kafka"}


def test_topics_are_those_that_the_product_uses():
    used = {one.name: one.default for one in VARIABLES}
    (script,) = SERVICES["topics"]["command"]
    listed = re.search(r"for topic in (.+); do", script)
    assert set(listed[1].split()) == {used["LISTENER_TOPIC"], used["SOURCES_STATUS_TOPIC"]}


def test_no_image_names_a_registry_host():
    """Decision 20."""
    images = [service["image"] for service in SERVICES.values()]
    images += [
        re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", value)
        for service in SERVICES.values()
        for value in service.get("build", {}).get("args", {}).values()
    ]
    for image in images:
        assert "localhost" not in image
        assert not re.search(r"[.:][^/]*/", image.replace("${REGISTRY:-}", "")), image


def test_postgresql_is_one_that_is_supported():
    """Decision 21: 14 to 17."""
    assert re.search(r"postgres:(\d+)$", SERVICES["postgres"]["image"])[1] in {
        *("14", "15", "16", "17")
    }


def test_whoever_is_waited_for_can_be():
    for name, service in SERVICES.items():
        for other, how in service.get("depends_on", {}).items():
            if how["condition"] == "service_healthy":
                assert "healthcheck" in SERVICES[other], (name, other)
            else:
                assert how["condition"] == "service_completed_successfully"
                assert SERVICES[other].get("restart", "no") in {"no", "on-failure"}
    assert all("migrate" in SERVICES[name]["depends_on"] for name in PROCESSES)
    assert "topics" in SERVICES["listener"]["depends_on"]


def test_only_the_api_is_reached_from_outside_and_from_this_machine_alone():
    ports = {name: service["ports"] for name, service in SERVICES.items() if "ports" in service}
    assert ports == {"api": ["127.0.0.1:8000:8000"]}
    assert SERVICES["api"]["environment"]["GUNICORN_BIND"].endswith(":8000")


def has_compose():
    docker = shutil.which("docker")
    asked = [docker, "compose", "version"]
    return docker is not None and subprocess.run(asked, capture_output=True).returncode == 0


@pytest.mark.skipif(not has_compose(), reason="needs docker's client with its compose plugin")
def test_docker_understands_it():
    done = subprocess.run(
        ["docker", "compose", "--file", COMPOSE, "config", "--quiet"],
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stderr) == (0, "")
