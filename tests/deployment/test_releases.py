"""What a roll-out, its undoing and a drain of nodes rely on (08 §14.2, §21; operations item 6)."""

import re

import pytest
import yaml

from deployment.local.service import REPOSITORY
from tests.deployment.manifests import (
    CLOWDAPP,
    KUBERNETES,
    POSTIGRADE,
    TAG,
    deployed,
    deployments,
    kustomize,
    named,
    of_kind,
    process,
    rendered,
    template,
)

OPERATIONS = REPOSITORY / "docs" / "operations.rst"
PROCESSES = ("api", "worker", "beat", "listener")
VERSION = "app.kubernetes.io/version"
DIGEST = f"sha256:{'0' * 64}"
MEBIBYTES = {"Mi": 1, "Gi": 1024}


@pytest.fixture(scope="module")
def prod(tmp_path_factory):
    return rendered(deployed(tmp_path_factory.mktemp("manifests")))


@pytest.fixture(scope="module")
def clowder():
    return process(ENV_NAME="any", IMAGE_TAG=TAG)


def images(objects):
    return {
        container["image"]
        for one in of_kind(objects, "Deployment").values()
        for kind in ("initContainers", "containers")
        for container in one["spec"]["template"]["spec"].get(kind, ())
    }


def test_no_manifest_runs_what_happens_to_be_latest(prod, clowder):
    assert images(prod) == {f"cloudservices/cloudigrade:{TAG}", "cloudservices/pgbouncer:1.24.1"}
    for name, pod in deployments(clowder).items():
        if name != "metrics":
            assert re.fullmatch(r"cloudservices/[a-z-]+:[\d.]+", pod["podSpec"]["image"])
    for path in (CLOWDAPP, POSTIGRADE, *KUBERNETES.rglob("*.yaml"), *KUBERNETES.rglob("*.env")):
        # The exporter is not ours, and off by default; its tag is as 08 §14.5 says.
        text = path.read_text().replace('CELERY_METRICS_IMAGE_TAG, value: "latest"', "")
        assert not re.search(r"\blatest\b", text), path


@pytest.mark.parametrize("overlay", ["stage", "prod"])
def test_an_overlay_without_a_tag_is_refused(overlay):
    done = kustomize(KUBERNETES / "overlays" / overlay)
    assert done.returncode != 0
    assert "IMAGE_TAG" in done.stderr


@pytest.mark.parametrize("path", [CLOWDAPP, POSTIGRADE], ids=lambda path: path.stem)
def test_a_template_without_a_tag_is_refused(path):
    [tag] = [one for one in template(path)["parameters"] if one["name"] == "IMAGE_TAG"]
    assert tag["required"] is True
    assert "value" not in tag


def test_a_digest_and_a_registry_may_be_told_on_top(tmp_path):
    deployed(tmp_path)
    name, host = "cloudservices/cloudigrade", "registry.test:5000"
    ours = {
        "resources": ["deployment/kubernetes/overlays/prod"],
        "images": [{"name": name, "newName": f"{host}/{name}", "digest": DIGEST}],
    }
    (tmp_path / "kustomization.yaml").write_text(yaml.safe_dump(ours))
    objects = rendered(tmp_path)
    [image] = {one for one in images(objects) if "cloudigrade" in one}
    assert re.fullmatch(rf"{host}/{name}(:{TAG})?@{DIGEST}", image)
    assert of_kind(objects, "Deployment")["cloudigrade-api"]["metadata"]["labels"][VERSION] == TAG


def test_manifests_and_image_are_labelled_with_their_version(prod, clowder):
    """A text, also if the commit's id looks like a number; and sysconfig shows the same."""
    for name in PROCESSES:
        one = of_kind(prod, "Deployment")[f"cloudigrade-{name}"]
        for metadata in (one["metadata"], one["spec"]["template"]["metadata"]):
            assert metadata["labels"][VERSION] == TAG
        assert VERSION not in one["spec"]["selector"]["matchLabels"]
    told = [
        one["data"]["IMAGE_TAG"]
        for one in of_kind(prod, "ConfigMap").values()
        if "IMAGE_TAG" in one["data"]
    ]
    assert told == [TAG]
    assert named(clowder, "ClowdApp", "cloudigrade")["metadata"]["labels"] == {VERSION: TAG}
    text = (REPOSITORY / "Dockerfile").read_text()
    assert 'LABEL org.opencontainers.image.version="${VERSION}"' in text
    assert 'CLOUDIGRADE_VERSION="${VERSION}"' in text


def test_both_overlays_say_what_runs_alike():
    found = [
        yaml.safe_load((KUBERNETES / "overlays" / name / "kustomization.yaml").read_text())
        for name in ("stage", "prod")
    ]
    for one, name in zip(found, ("stage", "prod"), strict=True):
        assert one.pop("namespace") == f"cloudigrade-{name}"
    assert found[0] == found[1]


def minima(objects):
    """Return how many pods of each deployment run at least."""
    found = {
        name: one["spec"].get("replicas") for name, one in of_kind(objects, "Deployment").items()
    }
    found |= {
        f"cloudigrade-{name}": pod["minReplicas"]
        for app in of_kind(objects, "ClowdApp").values()
        for name, pod in ((one["name"], one) for one in app["spec"]["deployments"])
    }
    for scaler in of_kind(objects, "HorizontalPodAutoscaler").values():
        found[scaler["spec"]["scaleTargetRef"]["name"]] = scaler["spec"]["minReplicas"]
    return found


@pytest.mark.parametrize("manifests", ["prod", "clowder"])
def test_a_drain_goes_on_and_leaves_an_api_pod(manifests, request):
    objects = request.getfixturevalue(manifests)
    pods = minima(objects)
    assert pods["cloudigrade-api"] >= 2
    budgets = {
        one["spec"]["selector"]["matchLabels"]["pod"]: one["spec"]["maxUnavailable"]
        for one in of_kind(objects, "PodDisruptionBudget").values()
    }
    assert {"cloudigrade-api", "cloudigrade-worker"} <= set(budgets)
    # Those that are alone have none: it would let no drain end.
    assert not {"cloudigrade-beat", "cloudigrade-listener"} & set(budgets)
    assert set(budgets.values()) == {1}
    assert all(pods[name] >= 2 for name in budgets if name != "cloudigrade-worker")


def test_pods_that_are_several_spread_over_nodes_and_zones(prod):
    for name in ("cloudigrade-api", "cloudigrade-worker", "postigrade-svc"):
        template = of_kind(prod, "Deployment")[name]["spec"]["template"]
        spread = template["spec"]["topologySpreadConstraints"]
        keys = {one["topologyKey"] for one in spread}
        assert keys == {"kubernetes.io/hostname", "topology.kubernetes.io/zone"}
        for one in spread:
            assert one["whenUnsatisfiable"] == "ScheduleAnyway"
            labels = one["labelSelector"]["matchLabels"]
            assert labels.items() <= template["metadata"]["labels"].items()


def test_a_rollout_can_be_undone_and_interrupts_nobody(prod):
    for name in PROCESSES:
        spec = of_kind(prod, "Deployment")[f"cloudigrade-{name}"]["spec"]
        assert spec["revisionHistoryLimit"] == 10
    strategy = of_kind(prod, "Deployment")["cloudigrade-api"]["spec"]["strategy"]
    assert strategy["rollingUpdate"] == {"maxSurge": 1, "maxUnavailable": 0}


def table():
    """Return the rows of operations.rst's table of room: process, request, limit, measured MiB."""
    text = OPERATIONS.read_text()
    rows = re.findall(
        r"^(api|worker|beat|listener) +(\d+)m / (\d+)m +(\d+)Mi / (\d+)Mi +(\d+)\b", text, re.M
    )
    return {name: tuple(map(int, numbers)) for name, *numbers in rows}


def amount(text):
    number, unit = re.fullmatch(r"(\d+)(m|Mi|Gi)", text).groups()
    return int(number) * MEBIBYTES.get(unit, 1)


def test_there_is_room_for_what_was_measured(prod, clowder):
    rows = table()
    assert set(rows) == set(PROCESSES)
    for name in PROCESSES:
        pod = of_kind(prod, "Deployment")[f"cloudigrade-{name}"]["spec"]["template"]["spec"]
        plain = pod["containers"][0]["resources"]
        given = {
            what: [amount(plain[kind][what]) for kind in ("requests", "limits")]
            for what in ("cpu", "memory")
        }
        assert (*given["cpu"], *given["memory"]) == rows[name][:4]
        assert deployments(clowder)[name]["podSpec"]["resources"] == plain
        assert given["memory"][1] >= 2 * rows[name][4]


def test_the_workers_scratch_has_room_for_the_largest_rpm_database(prod):
    """A pod that fills its volume is evicted: direct inspection copies up to 512 MB there."""
    pod = of_kind(prod, "Deployment")["cloudigrade-worker"]["spec"]["template"]["spec"]
    [scratch] = [one for one in pod["volumes"] if one["name"] == "tmp"]
    assert amount(scratch["emptyDir"]["sizeLimit"]) >= 2 * 512
