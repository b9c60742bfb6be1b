"""The manifests for clusters without Clowder (08 §21), held against schemas and the program."""

import configparser
import re

import kubernetes_validate
import pytest
import yaml
from django.urls import resolve

from cloudigrade.settings.variables import VARIABLES
from deployment.local.service import REPOSITORY
from tests.cloudigrade.programs import settings_of
from tests.deployment.manifests import (
    KUBERNETES,
    TAG,
    deployed,
    documents,
    kustomize,
    of_kind,
    process,
    rendered,
)

OVERLAYS = ("stage", "prod")
VERSIONS = ("1.29", "1.32", "1.37")
PROCESSES = ("api", "worker", "beat", "listener")
# Kinds that the cluster's operators define; Kubernetes itself has no schema of them.
CUSTOM = {"ServiceMonitor", "PodMonitor", "PrometheusRule", "ClowdApp", "ClowdJobInvocation"}
CUSTOM |= {"ScaledObject"}


@pytest.fixture(scope="module", params=OVERLAYS)
def overlay(request, tmp_path_factory):
    return rendered(deployed(tmp_path_factory.mktemp("manifests"), request.param))


def validate(objects, version):
    for one in objects:
        if one["kind"] not in CUSTOM:
            kubernetes_validate.validate(one, version, strict=True)


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("path", sorted(KUBERNETES.rglob("*.yaml")), ids=lambda path: path.stem)
def test_every_file_has_the_form_that_kubernetes_wants(path, version):
    if path.name not in ("kustomization.yaml", "process-patch.yaml"):
        validate(documents(path), version)


@pytest.mark.parametrize("version", VERSIONS)
def test_the_template_for_clowder_has_it_too(version):
    validate(process(ENV_NAME="any", IMAGE_TAG=TAG), version)


@pytest.mark.parametrize("version", VERSIONS)
def test_an_overlay_as_a_whole(overlay, version):
    validate(overlay, version)


def test_what_kustomizations_name_exists():
    for path in KUBERNETES.rglob("kustomization.yaml"):
        kustomization = yaml.safe_load(path.read_text())
        names = [*kustomization.get("resources", ()), *kustomization.get("components", ())]
        names += [one["path"] for one in kustomization.get("patches", ()) if "path" in one]
        for generator in kustomization.get("configMapGenerator", ()):
            names += [*generator.get("envs", ()), *generator.get("files", ())]
        for name in names:
            assert (path.parent / name).exists(), f"{path}: {name}"


def test_an_overlay_runs_all_processes_one_scheduler_and_one_listener(overlay):
    deployments = of_kind(overlay, "Deployment")
    assert {f"cloudigrade-{name}" for name in PROCESSES} | {"postigrade-svc"} == set(deployments)
    for name in ("beat", "listener"):
        spec = deployments[f"cloudigrade-{name}"]["spec"]
        assert (spec["replicas"], spec["strategy"]) == (1, {"type": "Recreate"})
    for name in ("api", "worker"):
        assert "replicas" not in deployments[f"cloudigrade-{name}"]["spec"]


def containers(deployment):
    spec = deployment["spec"]["template"]["spec"]
    return [*spec.get("initContainers", ()), *spec["containers"]]


def test_every_container_is_confined(overlay):
    for name, deployment in of_kind(overlay, "Deployment").items():
        pod = deployment["spec"]["template"]["spec"]
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert pod["automountServiceAccountToken"] is False
        for container in containers(deployment):
            context = container["securityContext"]
            assert context["allowPrivilegeEscalation"] is False, name
            assert context["readOnlyRootFilesystem"] is True, name
            assert context["capabilities"] == {"drop": ["ALL"]}
            assert set(container["resources"]) == {"requests", "limits"}


def test_no_image_names_a_registry(overlay):
    for deployment in of_kind(overlay, "Deployment").values():
        for container in containers(deployment):
            assert container["image"].startswith("cloudservices/")


def test_processes_wait_for_migrations_and_the_api_makes_them(overlay):
    deployments = of_kind(overlay, "Deployment")
    for name in PROCESSES:
        [init] = deployments[f"cloudigrade-{name}"]["spec"]["template"]["spec"]["initContainers"]
        script = "cloudigrade_init.sh" if name == "api" else "wait_for_migrations.sh"
        assert init["command"][-1] == f"/opt/cloudigrade/scripts/{script}"
        assert (REPOSITORY / "deployment" / "scripts" / script).exists()


def environment(objects, container):
    """The variables of a container; every secret is there, with a text of its own name."""
    maps = of_kind(objects, "ConfigMap")
    found = {}
    for source in container["envFrom"]:
        found |= maps[source["configMapRef"]["name"]]["data"]
    for item in container["env"]:
        found[item["name"]] = item["valueFrom"]["secretKeyRef"]["key"]
    return found


def test_every_variable_is_known(overlay):
    known = {one.name for one in VARIABLES} | {old for one in VARIABLES for old in one.fallbacks}
    for name in PROCESSES:
        for container in containers(of_kind(overlay, "Deployment")[f"cloudigrade-{name}"]):
            assert set(environment(overlay, container)) <= known


def test_every_pod_starts_with_its_environment(overlay):
    for name in PROCESSES:
        container = containers(of_kind(overlay, "Deployment")[f"cloudigrade-{name}"])[-1]
        given = environment(overlay, container) | {
            "CLOUDIGRADE_PSKS": "{}",
            "REDIS_URL": "redis://redis:6379/0",
        }
        found = settings_of("prod", "CLOUDIGRADE_VERSION", "DATABASES", **given)
        assert found["DATABASES"]["default"]["HOST"] == "host"
        assert found["CLOUDIGRADE_VERSION"] == TAG


def test_the_example_of_secrets_has_exactly_what_is_read(overlay):
    """Operations item 6: every key that a pod reads, and none that nobody does."""
    read = set()
    for deployment in of_kind(overlay, "Deployment").values():
        for container in containers(deployment):
            for item in container.get("env", ()):
                reference = item["valueFrom"]["secretKeyRef"]
                read.add((reference["name"], reference["key"]))
        for volume in deployment["spec"]["template"]["spec"].get("volumes", ()):
            if "secret" in volume:
                read |= {(volume["secret"]["secretName"], name) for name in pooler_s_files()}
    example = documents(KUBERNETES / "secrets.example.yaml")
    assert read == {
        (secret["metadata"]["name"], key) for secret in example for key in secret["stringData"]
    }
    assert {value for secret in example for value in secret["stringData"].values()} == {""}


def pooler_s_files():
    text = (KUBERNETES / "components" / "pgbouncer" / "pgbouncer.ini").read_text()
    return re.findall(r"/etc/pgbouncer/secret/(\S+)", text)


def test_api_and_listener_report_to_sentry_by_their_own_keys(overlay):
    """08 §14.3: both read DJANGO_SENTRY_DSN, from keys of their own."""
    for name in ("api", "listener"):
        container = containers(of_kind(overlay, "Deployment")[f"cloudigrade-{name}"])[-1]
        assert environment(overlay, container)["DJANGO_SENTRY_DSN"] == f"{name}-sentry-dsn"


def test_probes_and_scrapes_hit_routes_that_exist(overlay):
    api = containers(of_kind(overlay, "Deployment")["cloudigrade-api"])[-1]
    ports = {port["name"] for port in api["ports"]}
    for kind in ("startupProbe", "livenessProbe", "readinessProbe"):
        probe = api[kind]["httpGet"]
        assert probe["port"] in ports
        resolve(probe["path"])
    [endpoint] = of_kind(overlay, "ServiceMonitor")["cloudigrade-api"]["spec"]["endpoints"]
    resolve(endpoint["path"])
    assert endpoint["port"] in ports


def test_the_listener_s_ports_agree(overlay):
    container = containers(of_kind(overlay, "Deployment")["cloudigrade-listener"])[-1]
    [port] = container["ports"]
    assert environment(overlay, container)["LISTENER_METRICS_PORT"] == str(port["containerPort"])
    assert container["livenessProbe"]["httpGet"]["port"] == port["name"]
    monitor = of_kind(overlay, "PodMonitor")["cloudigrade-listener"]["spec"]
    assert monitor["podMetricsEndpoints"][0]["port"] == port["name"]


def test_what_selects_pods_finds_some(overlay):
    pods = [
        one["spec"]["template"]["metadata"]["labels"]
        for one in of_kind(overlay, "Deployment").values()
    ]

    def finds(labels):
        return any(labels.items() <= pod.items() for pod in pods)

    for policy in of_kind(overlay, "NetworkPolicy").values():
        assert finds(policy["spec"]["podSelector"]["matchLabels"])
    for budget in of_kind(overlay, "PodDisruptionBudget").values():
        assert finds(budget["spec"]["selector"]["matchLabels"])
    for service in of_kind(overlay, "Service").values():
        assert finds(service["spec"]["selector"])
    for scaler in of_kind(overlay, "HorizontalPodAutoscaler").values():
        assert scaler["spec"]["scaleTargetRef"]["name"] in of_kind(overlay, "Deployment")


def test_the_pooler_pools_transactions():
    text = (KUBERNETES / "components" / "pgbouncer" / "pgbouncer.ini").read_text()
    settings = configparser.ConfigParser(strict=True, allow_no_value=True)
    settings.read_string(text)
    assert settings["pgbouncer"]["pool_mode"] == "transaction"
    assert settings["pgbouncer"]["auth_type"] == "scram-sha-256"


def test_the_exporter_of_celery_s_metrics_runs_nowhere_by_default(overlay):
    assert "cloudigrade-metrics" not in of_kind(overlay, "Deployment")
    for name in OVERLAYS:
        text = (KUBERNETES / "overlays" / name / "kustomization.yaml").read_text()
        assert "celery-exporter" not in text


def test_the_exporter_may_be_added(tmp_path):
    path = deployed(tmp_path, "stage") / "kustomization.yaml"
    overlay = yaml.safe_load(path.read_text())
    overlay["components"].append("../../components/celery-exporter")
    path.write_text(yaml.safe_dump(overlay))
    objects = rendered(path.parent)
    validate(objects, VERSIONS[-1])
    [container] = containers(of_kind(objects, "Deployment")["cloudigrade-metrics"])
    assert container["image"] == "cloudservices/celery-exporter-container:0.10.14"
    assert container["securityContext"]["readOnlyRootFilesystem"] is True
    assert container["args"] == [
        *("--port=9808", "--broker-url=$(REDIS_URL)", "--retry-interval=5", "--log-level=INFO"),
        *("--broker-transport-option", "global_keyprefix=$(CLOUDIGRADE_ENVIRONMENT)-"),
    ]
    name = container["env"][1]["valueFrom"]["configMapKeyRef"]["name"]
    assert of_kind(objects, "ConfigMap")[name]["data"]["CLOUDIGRADE_ENVIRONMENT"] == "stage"


def test_stage_and_prod_differ_in_what_the_documentation_shows(tmp_path):
    texts = []
    for overlay in OVERLAYS:
        done = kustomize(deployed(tmp_path / overlay, overlay))
        text = done.stdout.replace(f"cloudigrade-{overlay}", "cloudigrade-NAME")
        texts.append(re.sub(r"cloudigrade-environment-\w{10}", "cloudigrade-environment", text))
    stage, prod = ([line.rstrip() for line in text.splitlines()] for text in texts)
    assert len(stage) == len(prod)
    differing = [pair for pair in zip(stage, prod, strict=True) if pair[0] != pair[1]]
    document = (REPOSITORY / "docs" / "operations.rst").read_text()
    shown = document.partition("   -  CLOUDIGRADE_ENVIRONMENT")[1:]
    assert "".join(shown).startswith(
        "\n".join(f"   -{old}\n   +{new}" for old, new in differing) + "\n\n"
    )
