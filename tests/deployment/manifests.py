"""Reading manifests as a cluster would."""

import base64
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import yaml

from deployment.local.service import REPOSITORY

CLOWDAPP = REPOSITORY / "deployment" / "clowdapp.yaml"
CLOWDAPP_QUEUE_AGE = REPOSITORY / "deployment" / "clowdapp-queue-age.yaml"
POSTIGRADE = REPOSITORY / "deployment" / "postigrade.yaml"
STAGE_SMOKE = REPOSITORY / "deployment" / "stage-smoke.yaml"
KUBERNETES = REPOSITORY / "deployment" / "kubernetes"
# Digits alone: as a number it would be no label, and no variable either.
TAG = "1234567"
NO_CACHES = shutil.ignore_patterns("__pycache__", "*.py")
REFERENCE = re.compile(r"\$\{\{(\w+)\}\}|\$\{(\w+)\}")


def template(path: Path = CLOWDAPP) -> dict[str, Any]:
    return yaml.safe_load(path.read_text())


def parameters(path: Path = CLOWDAPP) -> dict[str, str]:
    return {one["name"]: one.get("value", "") for one in template(path)["parameters"]}


def references(path: Path = CLOWDAPP) -> set[str]:
    """Return the names of all parameters that a template's objects use."""
    return {
        one or other
        for text in strings(template(path)["objects"])
        for one, other in REFERENCE.findall(text)
    }


def strings(node: Any) -> Iterator[str]:
    """Yield every text below a node of a manifest."""
    if isinstance(node, str):
        yield node
    elif isinstance(node, dict):
        for value in node.values():
            yield from strings(value)
    elif isinstance(node, list):
        for value in node:
            yield from strings(value)


def change(node: Any, function: Callable[[str], Any]) -> Any:
    """Return a node with every text below it changed."""
    if isinstance(node, str):
        return function(node)
    if isinstance(node, dict):
        return {key: change(value, function) for key, value in node.items()}
    if isinstance(node, list):
        return [change(value, function) for value in node]
    return node


def process(path: Path = CLOWDAPP, /, **given: str) -> list[dict[str, Any]]:
    """Return a template's objects with its parameters filled in, as ``oc process`` does."""
    values = parameters(path) | given
    required = {one["name"] for one in template(path)["parameters"] if one.get("required")}
    assert not (missing := {name for name in required if not values[name]}), missing

    def fill(text: str) -> Any:
        whole = re.fullmatch(r"\$\{\{(\w+)\}\}", text)
        if whole:
            return yaml.safe_load(values[whole[1]])
        return re.sub(r"\$\{(\w+)\}", lambda found: values[found[1]], text)

    return change(template(path)["objects"], fill)


def of_kind(objects: list[dict[str, Any]], kind: str) -> dict[str, dict[str, Any]]:
    """Return the objects of a kind by their names."""
    return {one["metadata"]["name"]: one for one in objects if one["kind"] == kind}


def documents(path: Path) -> list[dict[str, Any]]:
    """Return the objects of one file."""
    return [one for one in yaml.safe_load_all(path.read_text()) if one]


def kustomize(path: Path) -> subprocess.CompletedProcess[str]:
    """Render a kustomization."""
    command = [str(Path(sys.executable).with_name("kubectl")), "kustomize", str(path)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def rendered(path: Path) -> list[dict[str, Any]]:
    """Return the objects of a kustomization, as a cluster would get them."""
    done = kustomize(path)
    assert done.returncode == 0, done.stderr
    return list(yaml.safe_load_all(done.stdout))


def deployed(folder: Path, overlay: str = "prod", tag: str = TAG) -> Path:
    """Copy the manifests to a folder and set the tag that an overlay runs, as a deployer does.

    Return the folder of the overlay's copy.
    """
    copy = shutil.copytree(KUBERNETES.parent, folder / "deployment", ignore=NO_CACHES)
    found = copy / "kubernetes" / "overlays" / overlay
    with (found / "environment.env").open("a") as file:
        file.write(f"IMAGE_TAG={tag}\n")
    return found


def named(objects: list[dict[str, Any]], kind: str, name: str) -> dict[str, Any]:
    [found] = [one for one in objects if one["kind"] == kind and one["metadata"]["name"] == name]
    return found


def deployments(objects: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    app = named(objects, "ClowdApp", "cloudigrade")
    return {one["name"]: one for one in app["spec"]["deployments"]}


def environment(objects: list[dict[str, Any]], container: dict[str, Any]) -> dict[str, str]:
    """Return the variables that a container gets; those of absent optional secrets are missing."""
    secrets = {
        (one["metadata"]["name"], key): base64.b64decode(value).decode()
        for one in objects
        if one["kind"] == "Secret"
        for key, value in one["data"].items()
    }
    found = {}
    for item in container["env"]:
        if "value" in item:
            found[item["name"]] = item["value"]
            continue
        reference = item["valueFrom"]["secretKeyRef"]
        if (key := (reference["name"], reference["key"])) in secrets:
            found[item["name"]] = secrets[key]
        else:
            assert reference.get("optional"), f"{item['name']} needs an unknown secret"
    return found
