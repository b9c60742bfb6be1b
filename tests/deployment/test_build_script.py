"""The script that builds and pushes the image (08 §18), with an engine that only takes notes."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from deployment.local.service import REPOSITORY

ENGINE = """#!/bin/sh
printf '%s\\n' "$*" >> "$NOTES"
case $1 in login) printf 'token: %s\\n' "$(cat)" >> "$NOTES"; env >> "$NOTES.environment" ;; esac
[ "$1" != "$FAILS" ]
"""


@pytest.fixture
def checkout(tmp_path):
    """A repository with one commit and the script, and an engine in the PATH."""
    folder = tmp_path / "checkout"
    folder.mkdir()
    shutil.copy(REPOSITORY / "build_deploy.sh", folder)
    for command in (["init", "-q"], ["add", "."], ["commit", "-qm", "One"]):
        subprocess.run(
            ["git", "-c", "user.name=a", "-c", "user.email=a@b", *command], cwd=folder, check=True
        )
    engine = tmp_path / "bin" / "docker"
    engine.parent.mkdir()
    engine.write_text(ENGINE)
    engine.chmod(0o755)
    return folder


def build(checkout, **variables):
    """The exit code, the errors, and what the engine was asked to do."""
    notes = checkout.parent / "notes"
    done = subprocess.run(
        ["/bin/bash", checkout / "build_deploy.sh"],
        env={
            "PATH": f"{checkout.parent / 'bin'}{os.pathsep}{os.defpath}",
            "NOTES": str(notes),
            "CONTAINER_ENGINE": "docker",
            **variables,
        },
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, done.stderr, notes.read_text().splitlines() if notes.exists() else []


def tag_of(checkout):
    done = subprocess.run(
        ["git", "rev-parse", "HEAD"], cwd=checkout, capture_output=True, text=True, check=True
    )
    return done.stdout[:7]


def test_it_builds_logs_in_and_pushes_both_tags(checkout):
    code, errors, notes = build(
        checkout,
        REGISTRY="registry.test",
        REGISTRY_USER="robot",
        REGISTRY_TOKEN="t0ken",
        BASE_IMAGE="registry.test/base@sha256:0",
    )
    assert code == 0, errors
    image, tag = "registry.test/cloudservices/cloudigrade", tag_of(checkout)
    assert notes == [
        f"build --build-arg VERSION={tag} --build-arg BASE_IMAGE=registry.test/base@sha256:0"
        f" --tag {image}:{tag} --tag {image}:latest .",
        "login --username robot --password-stdin registry.test",
        "token: t0ken",
        f"push {image}:{tag}",
        f"push {image}:latest",
    ]


def test_credentials_do_not_stay_behind(checkout):
    build(checkout, REGISTRY="registry.test", REGISTRY_USER="robot", REGISTRY_TOKEN="t0ken")
    seen = dict(
        line.split("=", 1)
        for line in (checkout.parent / "notes.environment").read_text().splitlines()
        if "=" in line
    )
    assert not Path(seen["DOCKER_CONFIG"]).exists()
    assert seen["REGISTRY_AUTH_FILE"].startswith(seen["DOCKER_CONFIG"])


def test_without_a_registry_it_only_builds(checkout):
    code, errors, notes = build(checkout)
    assert code == 0, errors
    image, tag = "cloudservices/cloudigrade", tag_of(checkout)
    assert notes == [
        f"build --build-arg VERSION={tag} --tag {image}:{tag} --tag {image}:latest .",
    ]


def test_a_registry_needs_a_user_and_a_token(checkout):
    code, errors, notes = build(checkout, REGISTRY="registry.test")
    assert code != 0
    assert "REGISTRY_USER" in errors
    assert not [line for line in notes if line.startswith("push")]


def test_what_fails_is_not_pushed(checkout):
    code, _, notes = build(
        checkout,
        REGISTRY="registry.test",
        REGISTRY_USER="robot",
        REGISTRY_TOKEN="t0ken",
        FAILS="build",
    )
    assert code != 0
    assert len(notes) == 1


def test_an_uncommitted_change_is_refused(checkout):
    (checkout / "new").touch()
    code, errors, notes = build(checkout)
    assert (code, notes) == (1, [])
    assert "differs from its commit" in errors
